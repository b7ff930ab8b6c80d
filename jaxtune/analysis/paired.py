"""A paired test of two methods: the same keys, with one and with the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from jaxtune.brevity import brief
from jaxtune.door import guarded, list_of, real

LEVEL = 0.05  # of a test, and 1 less that of an interval
MOST = 14  # pairs whose signs are all enumerated
DRAWS = 20_000  # of signs, for more pairs
LARGEST = 1e150  # difference whose square is a number
NEAR = 1e-12  # relative: sums of the same numbers in another order are equal


@brief
class PairedTest(NamedTuple):
    """The difference between two methods over pairs of searches.

    Args:
      pairs: number of pairs.
      difference: mean of one less the other.
      low: lower end of the 95 % interval of the difference; NaN with one pair.
      high: upper end.
      p: p-value, two-sided: share of all choices of signs whose mean difference is as
        large. Below .05 a difference is hard to explain by luck.
      wins: pairs in which one is larger.
      losses: pairs in which it is smaller.
      gaps: the difference of each pair, in the order of the keys.
    """

    pairs: int
    difference: float
    low: float
    high: float
    p: float
    wins: int
    losses: int
    gaps: tuple[float, ...]

    @property
    def smallest_p(self) -> float:
        """The smallest p-value that so many pairs allow."""
        return smallest_p(self.pairs)


NUMBERS = list_of(real(), 1)


@guarded(one=NUMBERS, other=NUMBERS)
def paired_test(one: Sequence[float], other: Sequence[float]) -> PairedTest:
    """Test whether two methods differ, by searches with the same keys.

    The test is a paired permutation test on the mean: if the methods did not differ,
    each difference might as well have the other sign (Fisher, 1935). Up to 14 pairs all
    choices of signs are counted, otherwise a sample. The interval is that of Student's
    t for the mean difference.

    >>> import jaxtune as jt
    >>> found = jt.analysis.paired_test([5, 6, 7, 8, 9, 10], [4, 4, 6, 5, 8, 8])
    >>> found.pairs, round(found.difference, 2), found.p
    (6, 1.67, 0.03125)

    Args:
      one: ``[n]`` numbers of one method.
      other: ``[n]`` those of the other, in the same order of keys.

    Returns:
      The difference, its interval, and the p-value.

    Raises:
      ValueError: lists of different lengths, or differences above 1e150.
    """
    if len(one) != len(other):
        raise ValueError(
            f"paired_test: got {len(one)} and {len(other)} numbers. Give both for the "
            "same keys."
        )
    with np.errstate(over="ignore"):  # it is refused below
        gaps = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    if not np.abs(gaps).max() <= LARGEST:
        raise ValueError(
            f"paired_test: numbers differ by {np.abs(gaps).max():g}. Use a unit in "
            f"which they differ by {LARGEST:g} at most."
        )
    mean, count = float(gaps.mean()), len(gaps)
    low = high = math.nan
    if count > 1:
        error = gaps.std(ddof=1) / math.sqrt(count)
        reach = float(stats.t.ppf(1 - LEVEL / 2, count - 1) * error)
        low, high = mean - reach, mean + reach
    wins, losses = int((gaps > 0).sum()), int((gaps < 0).sum())
    return PairedTest(
        pairs=count,
        difference=mean,
        low=low,
        high=high,
        p=_p_value(gaps),
        wins=wins,
        losses=losses,
        gaps=tuple(gaps.tolist()),
    )


def _p_value(gaps: np.ndarray) -> float:
    """Return the share of sign choices with a mean as far from 0 as that of gaps."""
    count = len(gaps)
    seen = abs(gaps.sum()) - NEAR * np.abs(gaps).sum()
    if count <= MOST:
        bits = np.arange(2**count)[:, None] >> np.arange(count)
        signs = 1 - 2 * (bits & 1)
        return float((np.abs(signs @ gaps) >= seen).mean())
    signs = np.random.default_rng(0).choice([-1, 1], (DRAWS, count))
    # the choice that was seen is one of them, so no p-value is 0
    return float(((np.abs(signs @ gaps) >= seen).sum() + 1) / (DRAWS + 1))


def smallest_p(pairs: int) -> float:
    """Return the smallest p-value of a paired test: all signs alike."""
    return 2.0 ** (1 - pairs) if pairs <= MOST else 1 / (DRAWS + 1)


def fewest_pairs(tests: int = 1) -> int:
    """Return the fewest pairs that can show a difference, with so many tests."""
    return 1 + math.ceil(math.log2(tests / LEVEL))


def adjusted(values: Sequence[float]) -> list[float]:
    """Return p-values for several tests at once (Holm, 1979), in the same order."""
    result, reached = [0.0] * len(values), 0.0
    for place, row in enumerate(np.argsort(values, kind="stable").tolist()):
        reached = max(reached, min(1.0, (len(values) - place) * values[row]))
        result[row] = reached
    return result
