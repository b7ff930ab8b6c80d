"""How good the best of n trials is: what a smaller or a larger search would give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxtune import ranking
from jaxtune.results.result import Result


class BestOf(NamedTuple):
    """The expected best of some trials.

    Args:
      trials: how many are tried.
      score: expected best score, in the user's direction.
      low: lower end of the 95 % interval.
      high: upper end.
    """

    trials: int
    score: float
    low: float
    high: float


def best_of(
    result: Result,
    counts: Sequence[int] | None = None,
    *,
    round: int = 0,
    resamples: int = 400,
    seed: int = 0,
) -> tuple[BestOf, ...]:
    """What the best of ``n`` trials of one round is expected to score.

    The expectation over draws with replacement, exactly (Dodge et al., EMNLP 2019);
    the interval is that of resampled trials. If the curve is still steep at its end,
    more trials would have helped. Failed trials count as tried.

    Args:
      result: what a search found.
      counts: numbers of trials; powers of two and all of the round if not given.
      round: whose trials, from 0. Those of the first one are drawn from the whole
        space, unless a model chose them.
      resamples: of the trials, for the intervals.
      seed: of the resampling.

    Returns:
      A row for each number.

    Raises:
      ValueError: a round without a score, or a number below 1.
    """
    trials, mode = result.trials, result.setup.mode
    own = (trials["round"] == round) & (trials["status"] != "waiting")
    longest = trials.epochs[own].max(initial=0)
    scores = ranking.orient(trials["score"][own].astype(np.float64), mode)
    # scores of trials that were stopped early do not compare
    scores[trials.epochs[own] < longest] = np.nan
    fine = np.isfinite(scores)
    if not fine.any():
        raise ValueError(f"best_of: no trial of round {round} has a score.")
    n = len(scores)
    if counts is None:
        counts = sorted({2**k for k in range(n.bit_length()) if 2**k <= n} | {n})
    if min(counts) < 1:
        raise ValueError(f"best_of: got {min(counts)} trials. Use numbers from 1.")
    worst = scores[fine].min()
    ordered = np.sort(np.where(fine, scores, worst))
    random = np.random.default_rng(seed)
    again = np.sort(ordered[random.integers(0, n, (resamples, n))], axis=1)
    weights = _weights(n, np.asarray(counts))
    expected, draws = ordered @ weights, again @ weights
    ends = np.quantile(draws, (0.025, 0.975), axis=0)
    sign = ranking.direction(mode)
    low, high = np.sort(sign * ends, axis=0)
    return tuple(
        BestOf(int(count), *map(float, numbers))
        for count, *numbers in zip(counts, sign * expected, low, high, strict=True)
    )


def _weights(n: int, counts: np.ndarray) -> np.ndarray:
    """``[n, k]`` probability that the i-th smallest of ``n`` is the best of a draw."""
    share = np.arange(n + 1)[:, None] / n
    return np.diff(share ** counts[None], axis=0)
