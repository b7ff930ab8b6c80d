"""Linen modules as pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
from flax.errors import InvalidRngError

from jaxtune.random import DROPOUT, OTHER
from jaxtune.tasks.calling import Model, call_of, modes, offers
from jaxtune.tasks.rates import dropped
from jaxtune.types import Array, Key, PyTree

_OWN = ("parent", "name")  # fields of every Linen module


def from_module(module: Any) -> Model:
    """Adapt a Linen module; its collections other than ``params`` become the state."""
    fields = {name for name in module.__dataclass_fields__ if name not in _OWN}
    call = call_of(type(module).__call__, f"{type(module).__name__}.__call__", skip=1)
    free = fields - set(call.names)
    flags = tuple((n, getattr(module, n, None)) for n in sorted(free))
    own_flags = call._replace(
        where=f"the class {type(module).__name__}",
        flags=tuple((n, value) for n, value in flags if isinstance(value, bool)),
        open=False,
    )

    def bound(
        hparams: Mapping[str, Any], train: bool, more: Mapping[str, Any] = {}
    ) -> Any:
        set_here = {name: value for name, value in modes(train).items() if name in free}
        set_here |= {name: hparams[name] for name in hparams if name in free}
        set_here |= more
        return module.clone(**set_here) if set_here else module

    def init(key: Key, x: Array, hparams: Mapping[str, Any]) -> tuple[PyTree, PyTree]:
        # "params" is the key itself: the weights are those of module.init(key, x)
        keys = {"params": key, "dropout": jax.random.fold_in(key, DROPOUT)}
        args, keywords = call.arguments(x, offers(hparams, False), hparams)
        with nn.intercept_methods(_traced_dropout):
            variables = bound(hparams, False).init(keys, *args, **keywords)
        state = {name: part for name, part in variables.items() if name != "params"}
        return variables.get("params", {}), state

    def apply(
        params: PyTree,
        state: PyTree,
        x: Array,
        key: Key,
        hparams: Mapping[str, Any],
        train: bool,
    ) -> tuple[Array, PyTree]:
        offered = offers(hparams, train, key)
        args, keywords = call.arguments(x, offered, hparams)
        variables = {"params": params, **state}
        # with mutable, even an empty list, Linen returns (outputs, state)
        mutable = {"mutable": list(state)} if train else {}

        def run(
            more: Mapping[str, Any], fields: Mapping[str, Any] = {}
        ) -> tuple[Any, PyTree]:
            def with_streams(rngs: dict[str, Key]) -> Any:
                ready = bound(hparams, train, fields)
                everything = {**mutable, **keywords, **more}
                return ready.apply(variables, *args, rngs=rngs, **everything)

            with nn.intercept_methods(_traced_dropout):
                out = _with_streams(with_streams, key if train else None)
            return out if train else (out, state)

        if train:
            call.check_flags(offered, hparams, run)
            own_flags.check_flags(offered, hparams, lambda more: run({}, more))
        return run({})

    if not callable(getattr(module, "multipliers", None)):
        return Model(init, apply)

    def multipliers(hparams: Mapping[str, Any]) -> Any:
        return bound(hparams, True).multipliers(hparams)

    return Model(init, apply, multipliers)


def set_linen_module(module: Any, hparams: Mapping[str, Any]) -> Any:
    """Return a module whose fields are the hyperparameters of these names."""
    fields = {n: v for n, v in hparams.items() if n in module.__dataclass_fields__}
    named = {name: value for name, value in fields.items() if name not in _OWN}
    return module.clone(**named) if named else module


def _with_streams(run: Callable[[dict[str, Key]], Any], key: Key | None) -> Any:
    """Run a module with the streams of random numbers that it asks for.

    Of other names than ``dropout`` it draws from Linen's default stream, ``params``. A
    key that is not used would be in the program, so this one is made when it is missed.
    """
    first = {} if key is None else {"dropout": key}
    try:
        return run(first)
    except InvalidRngError:
        # in evaluation too there may be noise: the same for all trials
        base = jax.random.key(0) if key is None else key
        return run({**first, "params": jax.random.fold_in(base, OTHER)})


def _traced_dropout(
    next_method: Callable[..., Any],
    args: tuple[Any, ...],
    keywords: dict[str, Any],
    context: Any,
) -> Any:
    """Compute Linen's dropout for a traced rate, which it compares with 0 in Python."""
    module = context.module
    traced = isinstance(module, nn.Dropout) and isinstance(module.rate, jax.Array)
    if not traced or context.method_name != "__call__":
        return next_method(*args, **keywords)
    return _dropout(module, *args, **keywords)


def _dropout(
    module: nn.Dropout,
    inputs: Array,
    deterministic: bool | None = None,
    rng: Key | None = None,
) -> Array:
    """Return what Linen's layer returns for a rate of the same value."""
    if nn.merge_param("deterministic", module.deterministic, deterministic):
        return inputs
    key = module.make_rng(module.rng_collection) if rng is None else rng
    return dropped(inputs, module.rate, key, module.broadcast_dims)
