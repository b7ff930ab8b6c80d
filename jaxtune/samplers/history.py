"""The trials that a sampler knows: one masked buffer, doubled outside ``jit``.

Programs see the whole buffer, so they are compiled once for each of its sizes and not
for every number of trials. It is never shortened.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.brevity import brief
from jaxtune.space.points import buffer_size
from jaxtune.types import Array, ArrayLike


@brief
class History(NamedTuple):
    """Trials in the order of the calls of ``tell``, then empty rows.

    Args:
      points: ``[c, d]`` float32 in the present cube; outside of it for trials of a
        larger space, NaN for a choice that is no longer in this space.
      scores: ``[c]`` float32, mean over seeds, higher is better, NaN failed.
      variance: ``[c]`` float32, of that mean, from the spread of the seeds; 0 where
        there was one seed.
      batch: ``[c]`` int32, the number of the call of ``tell`` that added the row.
      trials: ``[]`` int32, how many rows hold a trial.
    """

    points: Array
    scores: Array
    variance: Array
    batch: Array
    trials: Array

    @property
    def known(self) -> Array:
        """``[c]`` bool: the rows that hold a trial."""
        return jnp.arange(self.scores.shape[0]) < self.trials

    @property
    def succeeded(self) -> Array:
        """``[c]`` bool: the rows that hold a trial with a score."""
        return self.known & jnp.isfinite(self.scores)


def empty_history(dim: int) -> History:
    """Return a history of no trials, in a buffer of no rows."""
    # arrays of NumPy, since JAX would compile a program for each kind of zeros
    points = jnp.asarray(np.zeros((0, dim), np.float32))
    none, batch = (jnp.asarray(np.zeros(0, kind)) for kind in (np.float32, np.int32))
    return History(points, none, none, batch, jnp.asarray(np.int32(0)))


def scored_trials(history: History) -> Any:
    """Return the number ``[]`` of trials with a score."""
    if any(isinstance(x, jax.core.Tracer) for x in (history.scores, history.trials)):
        return history.succeeded.sum()
    # in NumPy: five programs less for every size of the buffer
    return np.isfinite(np.asarray(history.scores)[: int(history.trials)]).sum()


def extended(history: History, points: ArrayLike, scores: ArrayLike) -> History:
    """Return the history with more trials; the buffer is doubled as often as needed.

    Args:
      history: the trials so far.
      points: ``[n, d]``.
      scores: ``[n]``, or ``[n, s]`` with a score for each seed; a trial of which any
        seed failed has failed.

    Returns:
      The history with ``n`` rows more.

    Raises:
      ValueError: shapes that do not match, or a call under ``jit``, where no buffer can
        grow.
    """
    if any(isinstance(x, jax.core.Tracer) for x in (points, scores, history.trials)):
        raise ValueError(
            "tell: this sampler's memory grows, which it cannot under jit. Call tell "
            "outside of it; ask may be traced."
        )
    dim = history.points.shape[1]
    rows, means, variances = checked(points, scores, dim)
    before = int(history.trials)
    number = 1 + int(np.asarray(history.batch)[before - 1]) if before else 0
    batch = np.full(len(rows), number, np.int32)
    after = before + len(rows)
    size = max(history.scores.shape[0], buffer_size(after))

    def join(old: Array, new: np.ndarray) -> Array:
        # in NumPy, since JAX would compile a program for every length of `new`
        column = np.zeros((size, *new.shape[1:]), new.dtype)
        column[:before] = np.asarray(old)[:before]
        column[before:after] = new
        return jnp.asarray(column)

    return History(
        points=join(history.points, rows),
        scores=join(history.scores, means),
        variance=join(history.variance, variances),
        batch=join(history.batch, batch),
        trials=jnp.asarray(np.int32(after)),
    )


def checked(
    points: ArrayLike, scores: ArrayLike, dim: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points ``[n, d]``, mean scores ``[n]`` over seeds, and their variances.

    Raises:
      ValueError: shapes that do not match.
    """
    points, scores = np.asarray(points, np.float32), np.asarray(scores, np.float32)
    if scores.ndim not in (1, 2) or points.shape != (len(scores), dim):
        raise ValueError(
            f"tell: points {points.shape} and scores {scores.shape} do not match; this "
            f"space needs (n, {dim}) and (n,), or (n, seeds)."
        )
    return points, *_summary(scores)


def _summary(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over seeds ``[n]``, and the variance of that mean ``[n]``.

    Few seeds say little about one trial's variance, so it is drawn towards the median
    variance of all trials, as if two more seeds had shown that one.
    """
    if scores.ndim == 1 or scores.shape[1] == 1:
        flat = scores.reshape(len(scores))
        return flat, np.zeros_like(flat)
    seeds = scores.shape[1]
    scores = np.where(np.isfinite(scores), scores, np.nan)
    # in float64: the square of a score may not fit
    mean, spread = scores.mean(1), scores.astype(np.float64).var(1, ddof=1)
    fine = np.isfinite(spread)
    usual = np.median(spread[fine]) if fine.any() else 0.0
    shrunk = ((seeds - 1) * spread + 2 * usual) / (seeds + 1)
    variance = np.where(fine, shrunk / seeds, 0.0)
    # finite in float32, which a model's covariance must be
    return mean, np.minimum(variance, 1e30).astype(np.float32)
