"""Equinox modules as pure functions.

A module is a tree that is made of a key, and it computes one example. Its real arrays
are trained; its other arrays, and what `equinox.nn.State` holds, are the model's state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax

from jaxtune.tasks.calling import KEYS, Call, Model, call_of, libraries_of, offers
from jaxtune.tasks.factories import Factory, name_of_maker, set_by
from jaxtune.types import Array, Key, PyTree

BATCH = "batch"  # the axis over which the batch norms of Equinox's documentation go


def is_module(value: Any) -> bool:
    """Return whether a value is an Equinox module, or a pair of one and its state."""
    if isinstance(value, tuple):
        return len(value) == 2 and all(map(is_module, value))
    return "equinox" in libraries_of(type(value))


def from_key_or_streams(function: Callable[..., Any], otherwise: Model) -> Model:
    """Adapt a function of a key, which may as well be meant as a factory of NNX.

    Args:
      function: what it returns tells.
      otherwise: the model if that is no Equinox module.
    """
    ours = from_key(function)

    def init(key: Key, x: Array, hparams: Mapping[str, Any]) -> tuple[PyTree, PyTree]:
        try:
            return ours.init(key, x, hparams)
        except (AttributeError, TypeError, ValueError) as error:
            try:
                return otherwise.init(key, x, hparams)
            except (AttributeError, TypeError, ValueError) as other:
                name = name_of_maker(function)
                raise ValueError(
                    f"model: {name} makes no module: of a key, {error} Of nnx.Rngs, "
                    f"{other}"
                ) from error

    def apply(params: PyTree, *rest: Any) -> tuple[Array, PyTree]:
        return (ours if is_module(params) else otherwise).apply(params, *rest)

    return Model(init, apply)


def from_key(function: Callable[..., Any]) -> Model:
    """Adapt ``key -> module``, or ``key -> (module, state)``.

    The module gets the examples of a batch one by one; if its call names a key, each
    with one of its own in training.
    """
    import equinox as eqx

    build = _Builder(function)

    def init(key: Key, x: Array, hparams: Mapping[str, Any]) -> tuple[PyTree, PyTree]:
        del x
        module, memory = _parts(build(key, hparams))
        given = build.given(hparams)
        ours = [
            None if place in given else leaf
            for place, leaf in enumerate(jax.tree.leaves(module))
        ]
        trained = _only(module, map(eqx.is_inexact_array, ours))
        other = [eqx.is_array(a) and not eqx.is_inexact_array(a) for a in ours]
        state = {"arrays": _only(module, other), "memory": memory}
        return trained, {name: part for name, part in state.items() if _holds(part)}

    def apply(
        params: PyTree,
        state: PyTree,
        x: Array,
        key: Key,
        hparams: Mapping[str, Any],
        train: bool,
    ) -> tuple[Array, PyTree]:
        module, memory = _parts(build.outline(hparams))
        module = eqx.nn.inference_mode(_whole(params, state, module), value=not train)
        memory = state.get("memory", memory)
        name = f"{type(module).__name__}.__call__"
        call = call_of(type(module).__call__, name, 1)

        def run(more: Mapping[str, Any]) -> tuple[Any, PyTree]:
            def one(x: PyTree, key: Key) -> tuple[Any, PyTree]:
                offered = _offered(call, hparams, train, key, memory)
                args, keywords = call.arguments(x, offered, hparams)
                found = module(*args, **keywords, **more)
                return found if memory is not None else (found, None)

            base = jax.random.key(0) if key is None else key
            keys = jax.random.split(base, len(jax.tree.leaves(x)[0]))
            mapped = jax.vmap(one, out_axes=(0, None), axis_name=BATCH)
            outputs, changed = mapped(x, keys)
            return outputs, state if memory is None else {**state, "memory": changed}

        if train:
            offered = _offered(call, hparams, train, key, memory)
            call.check_flags(offered, hparams, run)
        return run({})

    return Model(init, apply)


def trained_equinox_module(
    function: Callable[..., Any],
    params: PyTree,
    state: PyTree,
    hparams: Mapping[str, Any],
) -> Any:
    """Return the module that a factory makes, with trained arrays, in evaluation.

    Args:
      function: as for `from_key`.
      params: its trained parameters.
      state: its other arrays.
      hparams: plain values, so that the module's own attributes are plain too.

    Returns:
      The module; a pair of it and its state if the factory makes such.
    """
    import equinox as eqx

    module, memory = _parts(Factory(function, KEYS)(jax.random.key(0), hparams))
    module = eqx.nn.inference_mode(_whole(params, state, module))
    return module if memory is None else (module, state.get("memory", memory))


class _Builder:
    """The modules that a user's function makes."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._factory, self._title = Factory(function, KEYS), name_of_maker(function)

    def __call__(self, key: Key, hparams: Mapping[str, Any]) -> Any:
        made = self._factory(key, hparams)
        if not is_module(made):
            raise ValueError(
                f"model: {self._title} returned {type(made).__name__}. Use a function "
                "key -> Equinox module, or a pair (init, apply) of functions."
            )
        return made

    def outline(self, hparams: Mapping[str, Any]) -> Any:
        """Return a module without the arrays that `init` has returned."""
        import equinox as eqx

        if self._factory.traced(hparams):  # may set arrays, and change in training
            return self(jax.random.key(0), hparams)
        # made abstractly, so no weight is drawn a second time
        made = eqx.filter_eval_shape(lambda: self(jax.random.key(0), hparams))
        return eqx.filter(made, _is_shape, inverse=True)

    def given(self, hparams: Mapping[str, Any]) -> set[int]:
        """Return the places of leaves that depend on traced hyperparameters."""
        import equinox as eqx

        traced = self._factory.traced(hparams)
        if not traced:
            return set()
        places: list[int] = []

        def arrays(values: dict[str, Any]) -> list[Array]:
            module, _ = _parts(self(jax.random.key(0), {**hparams, **values}))
            leaves = jax.tree.leaves(module)
            places[:] = [n for n, leaf in enumerate(leaves) if eqx.is_array(leaf)]
            return [leaves[place] for place in places]

        found = set_by(arrays, traced)
        return {place for place, is_set in zip(places, found, strict=True) if is_set}


def _parts(made: Any) -> tuple[Any, Any]:
    """Return a module and its state, which is ``None`` for most."""
    return made if isinstance(made, tuple) else (made, None)


def _whole(params: PyTree, state: PyTree, module: Any) -> Any:
    """Return a module with the arrays that training has, others as they are made."""
    import equinox as eqx

    others = [state["arrays"]] if "arrays" in state else []
    return eqx.combine(params, *others, module)


def _only(module: Any, kept: Iterable[bool]) -> Any:
    """Return a module with some of its leaves, and None in place of the others."""
    leaves, tree = jax.tree.flatten(module)
    some = [leaf if keep else None for leaf, keep in zip(leaves, kept, strict=True)]
    return jax.tree.unflatten(tree, some)


def _holds(tree: Any) -> bool:
    return bool(jax.tree.leaves(tree))


def _is_shape(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def _offered(
    call: Call, hparams: Mapping[str, Any], train: bool, key: Key | None, memory: Any
) -> dict[str, Any]:
    """Return what the call of a module may ask for by name."""
    offered = offers(hparams, train, key)
    if not train:  # for most modules a key that may be left out means noise
        offered = {
            name: value
            for name, value in offered.items()
            if name not in KEYS or name in call.needed
        }
    if memory is None:
        return offered
    if len(call.positions) < 2:
        raise ValueError(
            f"model: {call.where} takes no state, and its factory returns one. Use "
            "(self, x, state, *, key=None)."
        )
    return offered | {call.positions[1]: memory}
