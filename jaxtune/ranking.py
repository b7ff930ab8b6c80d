"""The only place that compares scores.

Inside jaxtune a score is oriented: higher is better, NaN is failed. Ties go to the
smaller trial id, so an order depends on the scores alone.
"""

import jax.numpy as jnp

from jaxtune.types import Array, ArrayLike

MODES = {"max": 1.0, "min": -1.0}


def orient(scores: ArrayLike, mode: str) -> Array:
    """Turn user scores into "higher is better, NaN is failed".

    Infinite scores are failures too: no measurement of a model is infinite.

    Args:
      scores: any shape, in the user's own direction.
      mode: ``"max"`` or ``"min"``.

    Returns:
      Oriented scores of the same shape.

    Raises:
      ValueError: ``mode`` is neither.
    """
    scores = jnp.asarray(scores)
    return jnp.where(jnp.isfinite(scores), direction(mode) * scores, jnp.nan)


def direction(mode: str) -> float:
    """The sign that turns a score of this mode into "higher is better"."""
    if mode not in MODES:
        raise ValueError(f"mode: got {mode!r}. Use 'max' or 'min'.")
    return MODES[mode]


def order(scores: ArrayLike) -> Array:
    """Trial ids from best to worst; failed ones last, ties by id.

    Args:
      scores: oriented scores ``[n]``.

    Returns:
      ``[n]`` int32.
    """
    return jnp.argsort(-worst_if_failed(scores), stable=True)


def top(scores: ArrayLike, count: int) -> Array:
    """Mark the best ``count`` trials that did not fail.

    Args:
      scores: oriented scores ``[n]``.
      count: how many to mark; fewer are marked when fewer are finite.

    Returns:
      ``[n]`` bool.
    """
    scores = jnp.asarray(scores)
    best = order(scores)[:count]
    chosen = jnp.zeros(scores.shape, bool).at[best].set(True)
    return chosen & jnp.isfinite(scores)


def worst_if_failed(scores: ArrayLike) -> Array:
    """Replace every score that is not finite by minus infinity."""
    scores = jnp.asarray(scores)
    return jnp.where(jnp.isfinite(scores), scores, -jnp.inf)
