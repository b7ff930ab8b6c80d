"""The expected best score of n trials: would a smaller or a larger search do?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxtune import ranking
from jaxtune.brevity import brief
from jaxtune.door import guarded, list_of, optional, whole
from jaxtune.results.result import A_RESULT, Result


@brief
class BestOf(NamedTuple):
    """The expected best score of some trials.

    Args:
      trials: number of trials.
      score: expected best score, in the user's direction.
      low: lower end of the 95 % interval.
      high: upper end.
    """

    trials: int
    score: float
    low: float
    high: float


@guarded(
    result=A_RESULT,
    counts=optional(list_of(whole(1), 1)),
    round=whole(0),
    resamples=whole(1, 10**6),
    seed=whole(0),
)
def best_of(
    result: Result,
    counts: Sequence[int] | None = None,
    *,
    round: int = 0,
    resamples: int = 400,
    seed: int = 0,
) -> tuple[BestOf, ...]:
    """Compute the expected score of the best of ``n`` trials of one round.

    The expectation over draws with replacement is exact (Dodge et al., EMNLP 2019); the
    interval comes from resampled trials. If the curve is still steep at its end, more
    trials would have helped. Failed trials count as tried. It is about trials that were
    drawn alike: those of a sampler that learns get better, and so would more of them.

    >>> import jax
    >>> import jaxtune as jt
    >>> result = jt.search(
    ...     lambda key, h: h["x"],
    ...     jt.Space(x=jt.uniform(0.0, 1.0)),
    ...     key=jax.random.key(0),
    ...     trials=16,
    ...     mode="max",
    ...     sampler="sobol",
    ...     verbose=0,
    ... )
    >>> for row in jt.analysis.best_of(result, [1, 4, 8]):
    ...     print(row.trials, round(row.score, 1))
    1 0.5
    4 0.8
    8 0.9

    Args:
      result: the result of a search.
      counts: numbers of trials; powers of two and all of the round if not given.
      round: number of the round, from 0. Trials of the first one are drawn from the
        whole space, unless a model chose them.
      resamples: resamples of the trials, for the intervals.
      seed: seed of the resampling.

    Returns:
      A row for each number.

    Raises:
      ValueError: a round without a score, or a number below 1.
    """
    trials, mode = result.trials, result.setup.mode
    here = (trials["round"] == round) & trials.done
    longest = trials.epochs[here].max(initial=0)
    scores = ranking.orient(trials["score"][here].astype(np.float64), mode)
    # scores of trials that were stopped early cannot be compared with the others
    scores[trials.epochs[here] < longest] = np.nan
    fine = np.isfinite(scores)
    if not fine.any():
        raise ValueError(f"best_of: no trial of round={round} has a score.")
    n = len(scores)
    if counts is None:
        counts = sorted({2**k for k in range(n.bit_length()) if 2**k <= n} | {n})
    # a failure counts as the worst score
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
        BestOf(int(count), float(score), float(lowest), float(highest))
        for count, score, lowest, highest in zip(
            counts, sign * expected, low, high, strict=True
        )
    )


def _weights(n: int, counts: np.ndarray) -> np.ndarray:
    """Return ``[n, k]``: probability that the i-th smallest is the best of a draw."""
    # (i / n)^count is the probability that no draw is above the i-th smallest
    share = np.arange(n + 1)[:, None] / n
    return np.diff(share ** counts[None], axis=0)
