"""Choices that the points of a search speak against: two rules for `zoom`.

Of ``n`` points, ``has [n, k]`` says which have which of ``k`` choices.
"""

from __future__ import annotations

from typing import Protocol

import jax.numpy as jnp
from jax.scipy.special import ndtr

from jaxtune import ranking
from jaxtune.types import Array


class Unwanted(Protocol):
    """Return ``[k]`` bool: the choices to drop, none of which a chosen point has."""

    def __call__(
        self, has: Array, active: Array, chosen: Array, scores: Array, evidence: Array
    ) -> Array: ...


def worse(
    has: Array, active: Array, chosen: Array, scores: Array, evidence: Array
) -> Array:
    """Return the choices whose points rank too low for bad luck.

    The rank sum test of Mann & Whitney (Annals of Mathematical Statistics, 1947) of the
    points with a choice against the others, with the normal approximation; failed ones
    rank last. As many tests are made as there are choices left, so ``evidence`` is
    shared among them (Bonferroni).

    Args:
      has: ``[n, k]`` bool, which point has which choice.
      active: ``[n]`` bool, the points for which the dimension matters.
      chosen: ``[n]`` bool, the best points.
      scores: ``[n]``, oriented.
      evidence: ``[]`` the probability of dropping any choice by chance.

    Returns:
      ``[k]`` bool.
    """
    scores = jnp.where(active, ranking.worst_if_failed(scores), jnp.inf)
    ordered = jnp.sort(scores)
    # equal scores share the mean of their ranks; the points that do not count are last
    first = jnp.searchsorted(ordered, scores, side="left")
    last = jnp.searchsorted(ordered, scores, side="right")
    ranks = jnp.where(active, (first + last + 1) / 2, 0.0)
    n, m = active.sum().astype(jnp.float32), has.sum(0).astype(jnp.float32)
    others = n - m
    total = (jnp.where(has, ranks[:, None], 0.0)).sum(0)
    expected, variance = m * (n + 1) / 2, m * others * (n + 1) / 12
    enough = (m >= 2) & (others >= 2)
    spread = jnp.sqrt(jnp.where(enough, variance, 1.0))
    # a half closer, since sums of ranks are whole numbers
    chance = ndtr((total + 0.5 - expected) / spread)
    tests = (m > 0).sum()
    return enough & (chance * tests < evidence) & ~(has & chosen[:, None]).any(0)


def absent(
    has: Array, active: Array, chosen: Array, scores: Array, evidence: Array
) -> Array:
    """Return the choices that the best lack, too improbably for bad luck.

    Of ``n`` points ``m`` have a choice. The probability that none of ``k`` points drawn
    without replacement has it is the product of ``(n - m - j) / (n - j)`` over
    ``j = 0 ... k - 1``.

    Args:
      has: ``[n, k]`` bool, which point has which choice.
      active: ``[n]`` bool, the points for which the dimension matters.
      chosen: ``[n]`` bool, the best points.
      scores: not needed.
      evidence: ``[]`` the probability below which a choice is dropped.

    Returns:
      ``[k]`` bool.
    """
    del scores
    n, k = active.sum(), chosen.sum()
    tried, best = has.sum(0), (has & chosen[:, None]).sum(0)
    j = jnp.arange(len(active))[:, None]
    ratio = jnp.maximum(n - tried[None] - j, 0) / jnp.maximum(n - j, 1)
    luck = jnp.prod(jnp.where(j < k, ratio, 1.0), axis=0)
    return (best == 0) & (luck < evidence)
