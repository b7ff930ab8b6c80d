"""Learning rates of their own for the layers of a model.

The steps of SGD are as large as the gradients, those of Adam do not depend on their
size, and those of others depend on it in part. If gradients are brought to one size
before the optimiser, and its updates scaled after it, the same two factors are right
for all that treat each number by itself (Yang and Littwin, 2023, "Adaptive Optimization
in the Infinite-Width Limit").
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from jaxtune.door import guarded
from jaxtune.tasks.averages import TRANSFORMATION, averages_in
from jaxtune.types import Array, PyTree

Multipliers = tuple[PyTree, PyTree]
"""Factors of the gradients and of the updates, for the parts of the parameters."""


@guarded(optimizer=TRANSFORMATION)
def scaled(
    optimizer: optax.GradientTransformation, multipliers: Multipliers | None
) -> optax.GradientTransformation:
    """Give parts of the parameters learning rates of their own.

    The gradients are multiplied before the optimiser and its updates after it. Both
    together scale the steps of SGD; those of Adam, which do not depend on the size of
    the gradients, only the second scales. So one pair is right for all optimisers that
    treat each number by itself.

    >>> import jax.numpy as jnp
    >>> import jaxtune as jt
    >>> import optax
    >>> def optimizer(hparams, multipliers):
    ...     adam = optax.scale_by_adam()
    ...     rate = optax.scale_by_learning_rate(hparams["learning_rate"])
    ...     return optax.chain(jt.optimizers.scaled(adam, multipliers), rate)
    >>> factors = ({"in": 4.0, "out": 1.0}, {"in": 1.0, "out": 0.25})
    >>> adam = optimizer({"learning_rate": 0.5}, factors)
    >>> gradients = {"in": jnp.float32(0.1), "out": jnp.float32(0.1)}
    >>> updates, _ = adam.update(gradients, adam.init(gradients))
    >>> {name: round(float(update), 3) for name, update in updates.items()}
    {'in': -0.5, 'out': -0.125}

    Args:
      optimizer: what makes a direction of a gradient. Weight decay inside it is scaled
        with the updates.
      multipliers: factors of the gradients and of the updates, two trees of numbers. A
        number stands for all parameters below its place. An optimiser of a task gets
        those of the model if it asks for ``multipliers`` by name; ``None`` if the model
        has none, and then nothing is scaled.

    Returns:
      A transformation.

    Raises:
      ValueError: multipliers that are no pair, or an average of the weights inside: it
        needs the updates as they are in the end, as in ``averaged(scaled(...))``.
    """
    if multipliers is None:
        return optimizer
    if not isinstance(multipliers, tuple) or len(multipliers) != 2:
        raise ValueError(
            f"multipliers: got {type(multipliers).__name__}. Use a pair of trees, the "
            "factors of the gradients and of the updates, or None."
        )
    before, after = map(_times, multipliers)
    chain = optax.chain(before, optimizer, after)

    def init(params: PyTree) -> PyTree:
        state = chain.init(params)
        names = averages_in(state)
        if names:
            raise ValueError(
                f"scaled: {names[0]} inside it would average other parameters than are "
                f"trained. Use scaled(...) inside {names[0]}(...)."
            )
        return state

    return optax.GradientTransformationExtraArgs(init, chain.update)


def _times(factors: PyTree) -> optax.GradientTransformation:
    """Multiply updates by factors, each for what lies below its place in the tree."""

    def times(factor: PyTree, part: PyTree) -> PyTree:
        return jax.tree.map(lambda u: scale(jnp.asarray(factor, u.dtype), u), part)

    def scale(factor: Array, leaf: Array) -> Array:
        if jnp.broadcast_shapes(factor.shape, leaf.shape) != leaf.shape:
            raise ValueError(f"a factor of shape {factor.shape} for {leaf.shape}")
        return leaf * factor

    def update(updates: PyTree, params: PyTree = None) -> PyTree:
        del params
        try:
            return jax.tree.map(times, factors, updates)
        except (TypeError, ValueError) as error:
            (reason, *_) = str(error).splitlines()
            raise ValueError(
                f"multipliers: they do not fit the parameters ({reason}). Use the same "
                "names in both trees, or one number for a whole part."
            ) from error

    return optax.stateless(update)
