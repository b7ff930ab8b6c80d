"""Adapters from Linen modules, NNX factories and plain functions to one form.

A model gets the hyperparameters that it names: keywords of ``__call__`` (or of ``init``
and ``apply``), and, for static ones, fields of a Linen module or keywords of an NNX
factory. The keyword ``train`` (or ``deterministic``, its opposite) separates training
from evaluation, and ``choices`` has the values that traced choices stand for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from jaxtune.random import DROPOUT, OTHER
from jaxtune.types import Array, Key, PyTree


class Model(NamedTuple):
    """A model as pure functions; its ``state`` changes in training without gradients.

    Args:
      init: ``(key, x, hparams) -> (params, state)``.
      apply: ``(params, state, x, key, hparams, train) -> (outputs, state)``.
    """

    init: Callable[[Key, Array, Mapping[str, Any]], tuple[PyTree, PyTree]]
    apply: Callable[..., tuple[Array, PyTree]]


def as_model(model: Any) -> Model:
    """Adapt any model of a user.

    Args:
      model: a Linen module, an NNX factory ``rngs -> module``, or ``(init, apply)``
        with ``init(key, x) -> params`` and ``apply(params, x) -> outputs``.

    Returns:
      The model as two pure functions.

    Raises:
      ValueError: anything else.
    """
    import flax.linen as nn

    if isinstance(model, Model):
        return model
    if isinstance(model, nn.Module):
        return linen(model)
    if (
        isinstance(model, tuple | list)
        and len(model) == 2
        and all(map(callable, model))
    ):
        init_fn, apply_fn = model
        return functions(init_fn, apply_fn)
    if callable(model):
        return nnx_factory(model)
    raise ValueError(
        f"model: got {model!r}. Use a Linen module, a function rngs -> NNX module, or "
        "a pair (init, apply) of functions."
    )


def linen(module: Any) -> Model:
    """Adapt a Linen module; its collections other than ``params`` become the state."""
    fields = {name for name in module.__dataclass_fields__ if name not in _LINEN_OWN}
    named = _keywords(type(module).__call__)

    def bound(hparams: Mapping[str, Any]) -> Any:
        return module.clone(**_static(fields - named, hparams))

    def init(key: Key, x: Array, hparams: Mapping[str, Any]) -> tuple[PyTree, PyTree]:
        # "params" is the key itself: the weights are those of module.init(key, x)
        keys = {"params": key, "dropout": jax.random.fold_in(key, DROPOUT)}
        variables = bound(hparams).init(keys, x, **_wanted(named, hparams, False))
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
        module, kwargs = bound(hparams), _wanted(named, hparams, train)
        variables = {"params": params, **state}
        if not train:
            return module.apply(variables, x, **kwargs), state
        rngs = {"dropout": key}
        mutable = list(state)
        # with mutable, even an empty list, Linen returns the pair (outputs, state)
        return module.apply(variables, x, rngs=rngs, mutable=mutable, **kwargs)

    return Model(init, apply)


_LINEN_OWN = ("parent", "name")


def functions(init_fn: Callable[..., Any], apply_fn: Callable[..., Any]) -> Model:
    """Adapt ``init(key, x)`` (or ``init(key)``) and ``apply(params, x)``."""
    for_init, for_apply = _keywords(init_fn), _keywords(apply_fn)
    takes_input = _takes_input(init_fn)

    def init(key: Key, x: Array, hparams: Mapping[str, Any]) -> tuple[PyTree, PyTree]:
        inputs = (key, x) if takes_input else (key,)
        positional = _first_names(init_fn, len(inputs))
        kwargs = _wanted(for_init - positional, hparams, False)
        return init_fn(*inputs, **kwargs), {}

    def apply(
        params: PyTree,
        state: PyTree,
        x: Array,
        key: Key,
        hparams: Mapping[str, Any],
        train: bool,
    ) -> tuple[Array, PyTree]:
        kwargs = _wanted(for_apply - _first_names(apply_fn, 2), hparams, train, key)
        return apply_fn(params, x, **kwargs), state

    return Model(init, apply)


def nnx_factory(factory: Callable[..., Any]) -> Model:
    """Adapt ``rngs -> nnx.Module``; variables other than ``Param`` become the state."""
    from flax import nnx

    def build(key: Key, hparams: Mapping[str, Any]) -> Any:
        dropout, other = (jax.random.fold_in(key, s) for s in (DROPOUT, OTHER))
        # a recurrent cell asks for a stream "carry": any name must find one
        rngs = nnx.Rngs(other, params=key, dropout=dropout)
        module = factory(rngs, **_static(_keywords(factory), hparams))
        if not isinstance(module, nnx.Module):
            raise ValueError(
                f"model: the factory returned {type(module).__name__}, not an NNX "
                "module. Use a function rngs -> module."
            )
        return module

    def init(key: Key, x: Array, hparams: Mapping[str, Any]) -> tuple[PyTree, PyTree]:
        del x
        parts = nnx.split(build(key, hparams), nnx.Param, ...)
        return parts[1], parts[2]  # type: ignore[misc]

    def apply(
        params: PyTree,
        state: PyTree,
        x: Array,
        key: Key,
        hparams: Mapping[str, Any],
        train: bool,
    ) -> tuple[Array, PyTree]:
        del key  # the module's own streams are part of its state
        # the graph is rebuilt abstractly, so that no weight is drawn a second time
        shape = jax.eval_shape(lambda: jax.random.key(0))
        abstract = nnx.eval_shape(lambda k: build(k, hparams), shape)
        # copy: without it a second use of the variables under grad raises
        module = nnx.merge(nnx.graphdef(abstract), params, state, copy=True)
        (module.train if train else module.eval)()
        named = _keywords(type(module).__call__)
        outputs = module(x, **_wanted(named, hparams, train))
        return outputs, nnx.state(module, nnx.Not(nnx.Param))

    return Model(init, apply)


_AUXILIARY = {"train", "deterministic", "key", "hparams", "choices"}


def _wanted(
    named: set[str], hparams: Mapping[str, Any], train: bool, key: Any = None
) -> dict[str, Any]:
    offered = {"train": train, "deterministic": not train, "hparams": hparams}
    offered["choices"] = getattr(hparams, "choices", {})
    if key is not None:
        offered["key"] = key
    extra = {name: value for name, value in offered.items() if name in named}
    return extra | {name: hparams[name] for name in hparams if name in named}


def _static(named: set[str], hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hyperparameters that may set fields: those known while compiling."""
    found = {name: hparams[name] for name in hparams if name in named}
    return {n: value for n, value in found.items() if not isinstance(value, jax.Array)}


def _keywords(function: Callable[..., Any]) -> set[str]:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {p.name for p in _parameters(function) if p.kind in kinds}


def _takes_input(init_fn: Callable[..., Any]) -> bool:
    """Return whether ``init`` has a place for ``x`` after the key."""
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in _parameters(init_fn)):
        return True
    second = _parameters(init_fn)[1:2]
    return any(
        p.kind is not inspect.Parameter.KEYWORD_ONLY
        and p.default is inspect.Parameter.empty
        and p.name not in _AUXILIARY
        for p in second
    )


def _first_names(function: Callable[..., Any], count: int) -> set[str]:
    return {p.name for p in _parameters(function)[:count]}


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    if isinstance(function, type):  # NNX's metaclass hides the signature of a class
        init = inspect.getattr_static(function, "__init__")
        return list(inspect.signature(init).parameters.values())[1:]
    return list(inspect.signature(function).parameters.values())
