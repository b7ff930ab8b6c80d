"""The mean of several best-so-far curves, with an interval over their keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxtune.analysis._best_so_far import BestSoFar
from jaxtune.brevity import brief
from jaxtune.door import Argument, guarded, list_of, whole

MOST = 400  # points of a curve: a picture shows no more


@brief
class MeanCurve(NamedTuple):
    """The mean best score of searches that differ in their key alone.

    Args:
      amount: ``[k]`` trials or epochs, up to the end of the shortest search.
      mean: ``[k]`` mean over the searches; NaN until each of them has a score.
      low: ``[k]`` lower end of the 95 % interval of the mean; NaN with one search.
      high: ``[k]`` upper end.
      each: ``[m, k]`` the best score of each search.
    """

    amount: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    each: np.ndarray


CURVES = list_of(
    Argument("a best-so-far curve", lambda value: isinstance(value, BestSoFar)), 1
)


@guarded(curves=CURVES, resamples=whole(1, 10**5), seed=whole(0))
def mean_over_keys(
    curves: Sequence[BestSoFar], *, resamples: int = 2000, seed: int = 0
) -> MeanCurve:
    """Average best-so-far curves of searches with different keys.

    The interval is a percentile bootstrap over the searches. With fewer than six it
    is too narrow: no resample leaves their range.

    >>> import numpy as np
    >>> import jaxtune as jt
    >>> steps = np.array([1, 2])
    >>> one = jt.analysis.BestSoFar(steps, np.array([3.0, 2.0]))
    >>> other = jt.analysis.BestSoFar(steps, np.array([5.0, 1.0]))
    >>> jt.analysis.mean_over_keys([one, other]).mean.tolist()
    [4.0, 1.5]

    Args:
      curves: one for each search, see `best_so_far`.
      resamples: resamples of the searches.
      seed: seed of the resampling.

    Returns:
      The curve, at 400 amounts or fewer.
    """
    shortest = min(
        (curve.amount[-1] for curve in curves if len(curve.amount)), default=0
    )
    steps = np.unique(np.concatenate([curve.amount for curve in curves]))
    steps = steps[steps <= shortest]
    if len(steps) > MOST:
        # evenly, with both ends
        steps = steps[np.linspace(0, len(steps) - 1, MOST).round().astype(int)]
    each = np.stack([curve.at(steps) for curve in curves])
    mean, count = each.mean(axis=0), len(curves)
    low = high = np.full(len(steps), np.nan)
    if count > 1:
        drawn = np.random.default_rng(seed).integers(0, count, (resamples, count))
        # how often each search is in each resample, which is all that its mean needs
        shares = (drawn[:, :, None] == np.arange(count)).mean(axis=1)
        low, high = np.quantile(shares @ each, (LOWER, UPPER), axis=0)
    return MeanCurve(steps, mean, low, high, each)


LOWER, UPPER = 0.025, 0.975
