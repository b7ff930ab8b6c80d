"""NNX factories as pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import nnx

from jaxtune.random import DROPOUT, OTHER
from jaxtune.tasks.calling import Model, call_of, offers
from jaxtune.tasks.factories import Factory, set_by
from jaxtune.tasks.rates import dropped
from jaxtune.types import Array, Key, PyTree

STREAMS = ("rngs",)


def from_factory(factory: Callable[..., Any]) -> Model:
    """Adapt ``rngs -> nnx.Module``; variables other than ``Param`` become the state."""
    make = Factory(factory, STREAMS)

    def build(key: Key, hparams: Mapping[str, Any]) -> Any:
        dropout, other = (jax.random.fold_in(key, s) for s in (DROPOUT, OTHER))
        # a recurrent cell asks for a stream "carry": any name must find one
        module = make(nnx.Rngs(other, params=key, dropout=dropout), hparams)
        if not isinstance(module, nnx.Module):
            raise ValueError(
                f"model: the factory returned {type(module).__name__}, not an NNX "
                "module. Use a function rngs -> module."
            )
        _take_traced_rates(module)
        return module

    def init(key: Key, x: Array, hparams: Mapping[str, Any]) -> tuple[PyTree, PyTree]:
        del x
        given = _given(build, make.traced(hparams), hparams)
        parts = nnx.split(build(key, hparams), nnx.Param, given, ...)
        return parts[1], parts[3]  # type: ignore[misc]

    def apply(
        params: PyTree,
        state: PyTree,
        x: Array,
        key: Key,
        hparams: Mapping[str, Any],
        train: bool,
    ) -> tuple[Array, PyTree]:
        traced = make.traced(hparams)
        given = _given(build, traced, hparams)
        everything = nnx.merge_state(params, state)
        if not traced:
            # the graph is rebuilt abstractly, so no weight is drawn a second time
            shape = jax.eval_shape(lambda: jax.random.key(0))
            built = nnx.eval_shape(lambda k: build(k, hparams), shape)
        else:
            # what hyperparameters set is no state, since they may change in training
            built = build(jax.random.key(0), hparams)
            if given is not _nothing:
                everything = nnx.merge_state(everything, nnx.state(built, given))
        graph, kind = nnx.graphdef(built), type(built)
        call = call_of(kind.__call__, f"{kind.__name__}.__call__", 1)
        offered = offers(hparams, train, key)

        def run(more: Mapping[str, Any]) -> tuple[Any, PyTree]:
            # copy: without it a second use of the variables under grad raises
            module = nnx.merge(graph, everything, copy=True)
            (module.train if train else module.eval)()
            if "rngs" in call.names:  # its own streams are part of its state
                offered["rngs"] = _streams(key)
            args, keywords = call.arguments(x, offered, hparams)
            outputs = module(*args, **keywords, **more)
            return outputs, nnx.state(module, nnx.Not(nnx.Any(nnx.Param, given)))

        # its keywords go to layers that `train` and `eval` have set already
        if train and kind is not nnx.Sequential:
            call.check_flags(offered, hparams, run)
        return run({})

    return Model(init, apply)


def trained_nnx_module(
    factory: Callable[..., Any],
    params: PyTree,
    state: PyTree,
    hparams: Mapping[str, Any],
) -> Any:
    """Return the module that a factory makes, with trained variables, in evaluation.

    Args:
      factory: as for `from_factory`.
      params: its trained parameters.
      state: its other variables.
      hparams: plain values, so that the module's own attributes are plain too.
    """
    module = Factory(factory, STREAMS)(nnx.Rngs(0), hparams)
    nnx.update(module, nnx.merge_state(params, state))
    module.eval()
    return module


def _streams(key: Key | None) -> nnx.Rngs:
    """Return the streams of one call; in evaluation the same for all trials."""
    base = jax.random.key(0) if key is None else key
    return nnx.Rngs(jax.random.fold_in(base, OTHER), dropout=base)


class _Rate(nnx.Variable[Array]):
    """A traced rate of dropout."""


Filter = Callable[[Any, Any], bool]


def _nothing(path: Any, value: Any) -> bool:
    del path, value
    return False


def _given(
    build: Callable[..., Any], traced: dict[str, Any], hparams: Mapping[str, Any]
) -> Filter:
    """Return a filter for the arrays of a module that traced hyperparameters set."""
    if not traced:
        return _nothing
    found: list[Any] = []

    def arrays(values: dict[str, Any]) -> list[Array]:
        module = build(jax.random.key(0), {**hparams, **values})
        flat = dict(nnx.to_flat_state(nnx.state(module, nnx.Not(nnx.Param))))
        raw = {path: v for path, v in flat.items() if _is_raw(v)}
        found[:] = list(raw)
        return [v[...] if isinstance(v, nnx.Variable) else v for v in raw.values()]

    known = set_by(arrays, traced)
    depend = {path for path, is_set in zip(found, known, strict=True) if is_set}
    return (lambda path, value: tuple(path) in depend) if depend else _nothing


def _is_raw(value: Any) -> bool:
    return isinstance(value, _Rate) or not isinstance(value, nnx.Variable)


class _TracedDropout(nnx.Dropout):
    """NNX's dropout with a traced rate, which that compares with 0 in Python."""

    def __call__(
        self,
        inputs: Array,
        *,
        deterministic: bool | None = None,
        rngs: Any = None,
    ) -> Array:
        """Return what NNX's layer returns for a rate of the same value."""
        off = self.deterministic if deterministic is None else deterministic
        if off:
            return inputs
        streams = self.rngs if rngs is None else rngs
        if streams is None:
            raise ValueError("Dropout: no rngs. Pass rngs to the layer or to its call.")
        if isinstance(streams, nnx.Rngs):
            streams = streams[self.rng_collection]
        key = streams if isinstance(streams, jax.Array) else streams()
        rate = self.rate[...]  # type: ignore[index]
        return dropped(inputs, rate, key, self.broadcast_dims)


def _take_traced_rates(module: Any) -> None:
    """Let the dropout layers of a new module take traced rates."""
    for _, part in nnx.iter_modules(module):
        if type(part) is nnx.Dropout and isinstance(part.rate, jax.Array):
            part.__class__ = _TracedDropout
            part.rate = nnx.data(_Rate(part.rate))
