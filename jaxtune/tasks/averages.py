"""Averaged weights: an optimiser may train one set of parameters and mean another.

`evaluate` gets the mean ones. They are found by the type of the optimiser's state, so
an average may stand anywhere in a chain.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax.contrib import ScheduleFreeState, schedule_free_eval_params

from jaxtune.door import FUNCTION, Argument, guarded, optional, real
from jaxtune.types import Array, PyTree


class AveragedState(NamedTuple):
    """The state of `averaged`."""

    inner: PyTree  # of the transformation
    steps: Array  # [] int32
    average: PyTree  # in float32 at least


class ViewedState(NamedTuple):
    """The state of `evaluated_with`."""

    inner: PyTree  # of the transformation


class Viewed(optax.GradientTransformationExtraArgs):  # type: ignore[misc]
    """A transformation with the function that says what is evaluated."""

    # no field: optax takes a transformation apart as a pair
    view: Callable[[PyTree, PyTree], PyTree]


TRANSFORMATION = Argument(
    "an optax transformation",
    # of a class there are descriptors
    lambda value: all(callable(getattr(value, n, None)) for n in ("init", "update")),
    "Use one such as optax.sgd(0.1).",
)


@guarded(
    transformation=TRANSFORMATION,
    decay=optional(real(0, below=1, traced=True)),
    begin=real(0, traced=True),
)
def averaged(
    transformation: optax.GradientTransformation,
    decay: Array | float | None = None,
    begin: Array | int = 0,
) -> optax.GradientTransformationExtraArgs:
    """Evaluate an average of the parameters over the steps of a training.

    Training itself is unchanged. With ``decay`` the average is an exponential one,
    corrected for its first steps (Polyak averaging, EMA); without, it is the plain mean
    of all parameters since step ``begin`` (stochastic weight averaging, Izmailov et
    al., 2018).

    >>> import jax.numpy as jnp
    >>> import jaxtune as jt
    >>> import optax
    >>> optimizer = jt.optimizers.averaged(optax.sgd(1.0), decay=0.5)
    >>> params = jnp.zeros(())
    >>> state = optimizer.init(params)
    >>> for _ in range(2):  # the parameters are -1 and -2
    ...     updates, state = optimizer.update(jnp.ones(()), state, params)
    ...     params = optax.apply_updates(params, updates)
    >>> round(float(state.average), 4)  # (0.25 * -1 + 0.5 * -2) / 0.75
    -1.6667

    Args:
      transformation: the whole optimiser, since the average is of what it leads to.
      decay: the weight of the past in each step, below 1; ``None`` for a plain mean.
      begin: steps before the average; until then the last parameters are evaluated.

    Returns:
      A transformation with the same updates.
    """
    inner = optax.with_extra_args_support(transformation)

    def init(params: PyTree) -> AveragedState:
        # a copy, as programs give the memory of params and of states away
        average = jax.tree.map(lambda p: jnp.array(p, _wide(p)), params)
        return AveragedState(inner.init(params), jnp.int32(0), average)

    def update(
        updates: PyTree, state: AveragedState, params: PyTree = None, **extra: Any
    ) -> tuple[PyTree, AveragedState]:
        if params is None:
            raise ValueError("averaged: update needs the parameters. Pass params.")
        updates, after = inner.update(updates, state.inner, params, **extra)
        steps = optax.safe_increment(state.steps)
        # the weight of the newest: 1 in the first step, so that nothing has to be
        # corrected for a start at zero
        counted = jnp.maximum(steps - begin, 1).astype(jnp.float32)
        if decay is None:
            weight = 1 / counted
        else:
            past = jnp.asarray(decay, jnp.float32)
            weight = (1 - past) / (1 - past**counted)

        def average(mean: Array, param: Array) -> Array:
            return mean + weight.astype(mean.dtype) * (param.astype(mean.dtype) - mean)

        new = optax.apply_updates(params, updates)
        mean = jax.tree.map(average, state.average, new)
        return updates, AveragedState(after, steps, mean)

    return optax.GradientTransformationExtraArgs(init, update)


@guarded(transformation=TRANSFORMATION, view=FUNCTION)
def evaluated_with(
    transformation: optax.GradientTransformation,
    view: Callable[[PyTree, PyTree], PyTree],
) -> optax.GradientTransformationExtraArgs:
    """Evaluate parameters that are computed from the optimiser's state.

    >>> import jax.numpy as jnp
    >>> import jaxtune as jt
    >>> import optax
    >>> def optimizer(hparams):
    ...     noisy = optax.chain(optax.trace(0.9), optax.sgd(hparams["learning_rate"]))
    ...     return jt.optimizers.evaluated_with(
    ...         noisy, lambda state, params: jax.tree.map(jnp.tanh, params)
    ...     )
    >>> import jax
    >>> jax.tree.leaves(optimizer({"learning_rate": 0.1}).init(jnp.ones(())))
    [Array(0., dtype=float32)]

    Args:
      transformation: the whole optimiser.
      view: ``(state, params) -> params``, with the optimiser's state after the last
        step; what it returns is evaluated, and training goes on from ``params``.

    Returns:
      A transformation with the same updates, to be returned as it is: inside another
      one its ``view`` is out of reach, which is an error.
    """
    inner = optax.with_extra_args_support(transformation)

    def init(params: PyTree) -> ViewedState:
        return ViewedState(inner.init(params))

    def update(
        updates: PyTree, state: ViewedState, params: PyTree = None, **extra: Any
    ) -> tuple[PyTree, ViewedState]:
        updates, after = inner.update(updates, state.inner, params, **extra)
        return updates, ViewedState(after)

    made = Viewed(init, update)
    made.view = view
    return made


# the states of transformations that mean other parameters than they train
KINDS = {
    AveragedState: "averaged",
    ViewedState: "evaluated_with",
    ScheduleFreeState: "schedule_free",
}


def seen_params(
    state: PyTree,
    params: PyTree,
    optimizer: Callable[[], optax.GradientTransformation],
) -> PyTree:
    """Return the parameters to evaluate.

    Args:
      state: of the optimiser.
      params: that are trained.
      optimizer: returns the optimiser; called only if that is needed.

    Raises:
      ValueError: several averages, or one of some of the parameters.
    """
    found = _averages(state)
    if not found:
        return params
    if isinstance(state, ViewedState):
        return getattr(optimizer(), "view")(state.inner, params)  # noqa: B009
    names = averages_in(state)
    if len(found) > 1 or isinstance(found[0], ViewedState):
        raise ValueError(
            f"optimizer: {' and '.join(names)} inside another transformation: it is "
            "not clear which parameters to evaluate. Return jaxtune.optimizers."
            "evaluated_with(optimizer, view) as the whole optimiser."
        )
    mean = found[0].average if isinstance(found[0], AveragedState) else found[0].z
    whole: Any = jax.tree.structure(params)
    if jax.tree.structure(mean) != whole:
        raise ValueError(
            f"optimizer: {names[0]} has an average of some of the parameters only. "
            "Return jaxtune.optimizers.evaluated_with(optimizer, view), which says "
            "what to evaluate."
        )
    if isinstance(found[0], AveragedState):
        return jax.tree.map(lambda m, p: m.astype(p.dtype), mean, params)
    return schedule_free_eval_params(found[0], params)


def averages_in(state: PyTree) -> list[str]:
    """Return what made the averages in the state of an optimiser, by name."""
    return [KINDS[type(node)] for node in _averages(state)]


def _averages(state: PyTree) -> list[Any]:
    """Return the outermost states of the kinds above, and those inside of them."""

    def one_of_them(node: Any) -> bool:
        return isinstance(node, tuple(KINDS))

    found = jax.tree.leaves(state, is_leaf=one_of_them)
    nodes = [node for node in found if one_of_them(node)]
    return nodes + [deep for node in nodes for deep in _averages(_inner(node))]


def _inner(node: Any) -> Any:
    is_free = isinstance(node, ScheduleFreeState)
    return node.base_optimizer_state if is_free else node.inner


def _wide(leaf: Array) -> Any:
    return jnp.promote_types(leaf.dtype, jnp.float32)
