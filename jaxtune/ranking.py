"""The order of trials by their scores: failed ones last, ties by id.

Trials are ordered here; elsewhere a score is at most compared with a threshold or the
best so far, and the model of a sampler ranks the values that it fits. These functions
take oriented scores: higher is better, NaN means failed. NumPy arrays are ranked in
NumPy: schedulers rank a few trials at a time, too few to compile a program for.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.types import Array, ArrayLike

MODES = {"max": 1.0, "min": -1.0}


def _library(scores: ArrayLike) -> Any:
    return jnp if isinstance(scores, jax.Array) else np


def orient(scores: ArrayLike, mode: str) -> Any:
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
    xp = _library(scores)
    nan = xp.full_like(scores, xp.nan)
    return xp.where(xp.isfinite(scores), direction(mode) * scores, nan)


def direction(mode: str) -> float:
    """Return the sign that turns a score of this mode into "higher is better"."""
    if mode not in MODES:
        raise ValueError(f"mode: got {mode!r}. Use 'max' or 'min'.")
    return MODES[mode]


def order(scores: ArrayLike) -> Any:
    """Return indices from the best score to the worst; failed last, ties by index.

    Args:
      scores: oriented scores ``[n]``, in the order of trial ids.

    Returns:
      ``[n]`` int.
    """
    return _library(scores).argsort(-worst_if_failed(scores), stable=True)


def top(scores: ArrayLike, count: int | Array) -> Array:
    """Mark the best ``count`` trials that did not fail.

    Args:
      scores: oriented scores ``[n]``.
      count: how many to mark; fewer are marked when fewer are finite.

    Returns:
      ``[n]`` bool.
    """
    scores = jnp.asarray(scores)
    best = jnp.arange(scores.size) < count
    chosen = jnp.zeros(scores.shape, bool).at[order(scores)].set(best)
    return chosen & jnp.isfinite(scores)


def worst_if_failed(scores: ArrayLike) -> Any:
    """Replace every score that is not finite by minus infinity."""
    xp = _library(scores)
    return xp.where(xp.isfinite(scores), scores, -xp.inf)


def comparable(scores: np.ndarray, epochs: np.ndarray) -> bool:
    """Return whether all trials that did not fail trained for equally many epochs."""
    return len(np.unique(epochs[np.isfinite(scores)])) <= 1


def standing(scores: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Return values that order trials by epochs trained, and then by score.

    A score after two epochs cannot be compared with one after twenty. If all trials
    trained equally long, these are the scores themselves, otherwise ranks.

    Args:
      scores: oriented scores ``[n]``.
      epochs: ``[n]`` epochs that each trial trained.

    Returns:
      ``[n]`` float, higher is better; NaN stays NaN.
    """
    if comparable(scores, epochs):
        return scores
    finite = np.isfinite(scores)
    rank = np.empty(len(scores), np.float32)
    # lexsort's last key comes first; of equal trials the smaller id ranks higher
    ids = np.arange(len(scores))
    rank[np.lexsort((-ids, worst_if_failed(scores), epochs))] = ids
    return np.where(finite, rank, np.float32(np.nan))
