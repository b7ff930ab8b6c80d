"""What a sampler was told: one masked buffer, doubled outside ``jit``, never shortened.

Programs see the buffer alone, so they are compiled once for each of its sizes and not
for every number of trials.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.types import Array, ArrayLike

SMALLEST = 32  # rows of the first buffer


class History(NamedTuple):
    """Trials in the order in which they were told; the rows past ``told`` are empty.

    Args:
      points: ``[c, d]`` float32 in the present cube; outside of it for trials of a
        larger space, NaN for a choice that this space has no more.
      scores: ``[c]`` float32, mean over seeds, higher is better, NaN failed.
      variance: ``[c]`` float32, of that mean, from the spread of the seeds; 0 where
        there was one seed.
      batch: ``[c]`` int32, rows of equal number were told at once.
      told: ``[]`` int32, how many rows hold a trial.
    """

    points: Array
    scores: Array
    variance: Array
    batch: Array
    told: Array

    @property
    def known(self) -> Array:
        """``[c]`` bool: the rows that hold a trial."""
        return jnp.arange(self.scores.shape[0]) < self.told

    @property
    def succeeded(self) -> Array:
        """``[c]`` bool: the rows that hold a trial with a score."""
        return self.known & jnp.isfinite(self.scores)


def empty_history(dim: int) -> History:
    """Nothing told yet, in a buffer of no rows."""
    none = jnp.zeros(0, jnp.float32)
    points, batch = jnp.zeros((0, dim), jnp.float32), jnp.zeros(0, jnp.int32)
    return History(points, none, none, batch, jnp.int32(0))


def extended(history: History, points: ArrayLike, scores: ArrayLike) -> History:
    """More trials; the buffer is doubled as often as needed.

    Args:
      history: what is known.
      points: ``[n, d]``.
      scores: ``[n]``, or ``[n, s]`` with a score for each seed; a trial of which any
        seed failed has failed.

    Returns:
      The history with ``n`` rows more.

    Raises:
      ValueError: shapes that do not match, or a call under ``jit``, where no buffer can
        grow.
    """
    if any(isinstance(x, jax.core.Tracer) for x in (points, scores, history.told)):
        raise ValueError(
            "tell: this sampler's memory grows, which it cannot under jit. Call tell "
            "outside of it; ask may be traced."
        )
    dim = history.points.shape[1]
    rows, means, variances = checked(points, scores, dim)
    before = int(history.told)
    number = 1 + int(history.batch[before - 1]) if before else 0
    columns = (rows, means, variances, np.full(len(rows), number, np.int32))
    after, size = before + len(rows), history.scores.shape[0]
    while size < after:
        size = max(2 * size, SMALLEST)
    join = _joined(before, size)
    grown = map(join, history[:4], columns)
    return History._make([*grown, jnp.int32(after)])


def _joined(before: int, size: int) -> Callable[[Array, np.ndarray], Array]:
    """Columns of ``size`` rows, the first ``before`` of them old."""

    def join(old: Array, new: np.ndarray) -> Array:
        rows = np.zeros((size, *new.shape[1:]), new.dtype)
        rows[:before] = np.asarray(old)[:before]
        rows[before : before + len(new)] = new
        return jnp.asarray(rows)

    return join


def checked(
    points: ArrayLike, scores: ArrayLike, dim: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points ``[n, d]``, mean scores ``[n]`` over seeds, and variances of the means.

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
    """Mean over seeds, and the variance of that mean.

    Few seeds tell little of one trial's spread, so each is drawn towards the median of
    all: as if that one had been seen with two more seeds.
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
    return mean, np.minimum(variance, 1e30).astype(np.float32)
