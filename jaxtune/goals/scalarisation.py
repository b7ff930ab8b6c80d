"""Several goals as one score, for samplers that learn from one.

Random weights make one number of the goals, by the augmented Chebyshev function of
ParEGO (Knowles, 2006). Other weights look for another part of the front, so the points
of a round are asked for in parts with weights of their own.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np

from jaxtune.environment import in_32_bits
from jaxtune.random import PART, WEIGHTS
from jaxtune.types import Key

PARTS = 8  # of a round: each has other weights, and a model to fit
AUGMENTED = 0.05  # weight of the sum, as in the paper


def asked_in_parts(
    key: Key, count: int, ask: Callable[[Key, np.ndarray, int], np.ndarray], goals: int
) -> np.ndarray:
    """Return the points of a round, asked for in parts with weights of their own.

    Args:
      key: of the round.
      count: points.
      ask: ``(key, weights [m], n) -> points [n, d]``.
      goals: their number, ``m``.

    Returns:
      ``[count, d]``.
    """
    # parts of one size, whose program is compiled once; the last one is cut
    size = -(-count // PARTS)
    parts = [
        ask(_of(key, PART, part), draw_weights(_of(key, WEIGHTS, part), goals), size)
        for part in range(-(-count // size))
    ]
    return np.concatenate(parts)[:count]


def _of(key: Key, stream: int, part: int) -> Key:
    return jax.random.fold_in(jax.random.fold_in(key, stream), part)


@in_32_bits
def draw_weights(key: Key, goals: int) -> np.ndarray:
    """Draw weights ``[m]``, uniform among those that are positive and add up to 1."""
    drawn = jax.random.exponential(key, (goals,))
    return np.asarray(drawn / drawn.sum(), np.float64)


def scalarised(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return goals as one score, the augmented Chebyshev function.

    >>> import numpy as np
    >>> from jaxtune.goals.scalarisation import scalarised
    >>> values = np.array([[1.0, 0.0], [0.0, 1.0], [0.8, 0.8]])
    >>> int(scalarised(values, np.array([0.5, 0.5])).argmax())
    2

    Args:
      values: ``[n, m]`` oriented goals, NaN where a trial failed.
      weights: ``[m]``.

    Returns:
      ``[n]`` float32, higher is better, NaN where a goal is not finite.
    """
    fine = np.isfinite(values).all(axis=1)
    if not fine.any():
        return np.full(len(values), np.nan, np.float32)
    low, high = values[fine].min(axis=0), values[fine].max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    # what is missing to the best of each goal, as shares of what was seen
    missing = weights * (high - values) / span
    cost = missing.max(axis=1) + AUGMENTED * missing.sum(axis=1)
    return np.where(fine, -cost, np.nan).astype(np.float32)
