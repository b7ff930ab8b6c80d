"""Adapters from whatever a user calls a model to one form.

A model gets the hyperparameters that it names: keywords of ``__call__`` (or of ``init``
and ``apply``), fields of a Linen module, or keywords of a factory. A flag such as
``train``, or its opposite ``deterministic``, separates training from evaluation.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from jaxtune.tasks import equinox_models
from jaxtune.tasks.calling import KEYS, Model, call_of, libraries_of, offers, parameters
from jaxtune.types import Array, Key, PyTree


def as_model(model: Any) -> Model:
    """Adapt any model of a user.

    Args:
      model: a Linen module, a factory ``rngs -> NNX module`` or ``key -> Equinox
        module``, or ``(init, apply)`` with ``init(key, x) -> params`` and
        ``apply(params, x) -> outputs``.

    Returns:
      The model as pure functions.

    Raises:
      ValueError: anything else.
    """
    import flax.linen as nn

    from jaxtune.tasks import linen_models

    if isinstance(model, Model):
        return model
    if isinstance(model, type) and issubclass(model, nn.Module):
        model = _instance(model)
    if isinstance(model, nn.Module):
        return linen_models.from_module(model)
    if (
        isinstance(model, tuple | list)
        and len(model) == 2
        and all(map(callable, model))
    ):
        init_fn, apply_fn = model
        of = getattr(init_fn, "__self__", None)
        if isinstance(of, nn.Module) and of is getattr(apply_fn, "__self__", None):
            # its variables are not all trained, and its streams need names
            return linen_models.from_module(of)
        return from_functions(init_fn, apply_fn)
    _refuse_instances(model)
    if callable(model):
        return _of_factory(model)
    raise ValueError(
        f"model: got {model!r}. Use a Linen module, a function rngs -> NNX module or "
        "key -> Equinox module, or a pair (init, apply) of functions."
    )


def _of_factory(factory: Callable[..., Any]) -> Model:
    """Adapt a class of Equinox or NNX, or a function that makes a module."""
    from jaxtune.tasks import nnx_models

    if isinstance(factory, type) and "equinox" in libraries_of(factory):
        return equinox_models.from_key(factory)
    model = nnx_models.from_factory(factory)
    names = [p.name for p in parameters(factory)]
    # who makes Equinox's modules has imported it
    if "equinox" not in sys.modules or "rngs" in names or not {*names} & {*KEYS}:
        return model
    return equinox_models.from_key_or_streams(factory, model)


def _instance(module: type) -> Any:
    try:
        return module()
    except TypeError as error:
        raise ValueError(
            f"model: got the class {module.__name__}. Use an instance of it: {error}"
        ) from None


def _refuse_instances(model: Any) -> None:
    """Refuse models whose weights are drawn already: each trial draws its own."""
    if isinstance(model, type):
        return
    libraries = libraries_of(type(model))
    name = type(model).__name__
    if "flax" in libraries and hasattr(model, "set_attributes"):
        raise ValueError(
            f"model: got an NNX module {name}, whose weights are drawn already. Use a "
            f"function that makes one: lambda rngs: {name}(..., rngs=rngs)."
        )
    if "equinox" in libraries:
        raise ValueError(
            f"model: got an Equinox module {name}, whose weights are drawn already. "
            f"Use a function that makes one: lambda key: {name}(..., key=key)."
        )
    if "torch" in libraries:
        raise ValueError(
            f"model: got a PyTorch module {name}, which JAX cannot train. Write it "
            "with Flax, or as a pair (init, apply)."
        )


def from_functions(init_fn: Callable[..., Any], apply_fn: Callable[..., Any]) -> Model:
    """Adapt ``init(key, x)`` (or ``init(key)``) and ``apply(params, x)``.

    Haiku's ``apply(params, rng, x)`` is taken too.
    """
    takes_input = _takes_input(init_fn)
    for_init = call_of(init_fn, "init", skip=1)
    second = [p.name for p in parameters(apply_fn)[1:2]]
    keyed = bool(second) and second[0] in KEYS and len(parameters(apply_fn)) > 2
    for_apply = call_of(apply_fn, "apply", skip=2 if keyed else 1)

    def init(key: Key, x: Array, hparams: Mapping[str, Any]) -> tuple[PyTree, PyTree]:
        offered = offers(hparams, False)
        if takes_input:
            args, keywords = for_init.arguments(x, offered, hparams)
        else:
            known = {**offered, **hparams}
            args, keywords = (), {n: known[n] for n in for_init.names if n in known}
        return init_fn(key, *args, **keywords), {}

    def apply(
        params: PyTree,
        state: PyTree,
        x: Array,
        key: Key,
        hparams: Mapping[str, Any],
        train: bool,
    ) -> tuple[Array, PyTree]:
        offered = offers(hparams, train, key)
        args, keywords = for_apply.arguments(x, offered, hparams)
        before = (params, key) if keyed else (params,)

        def run(more: Mapping[str, Any]) -> tuple[Any, PyTree]:
            return apply_fn(*before, *args, **keywords, **more), state

        if train:
            for_apply.check_flags(offered, hparams, run)
        return run({})

    return Model(init, apply)


def _takes_input(init_fn: Callable[..., Any]) -> bool:
    """Return whether ``init`` has a place for ``x`` after the key."""
    known = parameters(init_fn)
    if any(p.kind is p.VAR_POSITIONAL for p in known):
        return True
    auxiliary = offers({}, False)
    return any(
        p.kind is not p.KEYWORD_ONLY
        and p.default is p.empty
        and p.name not in auxiliary
        for p in known[1:2]
    )
