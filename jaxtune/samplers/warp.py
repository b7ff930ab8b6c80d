"""Scores for a model, warped so that outliers and failures do not dominate.

The better half keeps its distances, in units of its own spread; the worse half is
replaced by the normal distribution's quantiles of its ranks, failures last (the
half-rank warping of Song et al., 2024, "The Vizier Gaussian process bandit algorithm").
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxtune.samplers.history import History
from jaxtune.types import Array


def warped(history: History) -> tuple[Array, Array]:
    """Return scores of mean 0 and variance 1 over the known rows, and their variances.

    Args:
      history: ``c`` rows.

    Returns:
      ``[c]`` values, 0 in empty rows, and ``[c]`` variances of them.
    """
    known, fine = history.known, history.succeeded
    scores = jnp.where(fine, history.scores, -jnp.inf)
    values, slope = _half_rank(scores, known, fine)
    count = jnp.maximum(known.sum(), 1)
    mean = jnp.where(known, values, 0.0).sum() / count
    centred = jnp.where(known, values - mean, 0.0)
    scale = jnp.sqrt((centred**2).sum() / count)
    # equal scores have no scale
    scale = jnp.where(scale > 0, scale, 1.0)
    return centred / scale, history.variance * (slope / scale) ** 2


def _half_rank(scores: Array, known: Array, fine: Array) -> tuple[Array, Array]:
    """Return warped values ``[c]``, and the slope of the warping ``[]``."""
    pairs = known[None, :] & known[:, None]
    worse = (pairs & (scores[None, :] < scores[:, None])).sum(1)
    equal = (pairs & (scores[None, :] == scores[:, None])).sum(1)
    # equal scores share the middle of their ranks
    share = (worse + equal / 2) / jnp.maximum(known.sum(), 1)
    lowest = jnp.min(jnp.where(fine, scores, jnp.inf))
    middle = jnp.min(jnp.where(fine & (share >= 0.5), scores, jnp.inf))
    middle = jnp.where(jnp.isfinite(middle), middle, lowest)
    better = fine & (scores >= middle)
    above = jnp.where(better, scores - middle, 0.0)
    spread = jnp.sqrt((above**2).sum() / jnp.maximum(better.sum(), 1))
    spread = jnp.where(spread > 0, spread, 1.0)
    quantile = jax.scipy.special.ndtri(jnp.clip(share, 1e-4, 0.5))
    # a poor score's variance counts by the same slope: noise is one number for all
    return jnp.where(better, above / spread, quantile), 1.0 / spread
