"""Pairs of methods, tested over their keys at one amount of trials or epochs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np

from jaxtune import ranking
from jaxtune.analysis._best_so_far import BestSoFar
from jaxtune.analysis.paired import PairedTest, adjusted, paired_test
from jaxtune.brevity import brief

Tracks = Mapping[str, Mapping[Hashable, BestSoFar]]


@brief
class Contrast(NamedTuple):
    """Two methods, compared over the keys that both have.

    Args:
      better: the method with the better mean, or the first by name.
      other: the other one.
      amount: trials or epochs after which they are compared.
      test: of how much better it is, so its difference is not negative; ``None``
        where no key has a score with both.
      p: the p-value, adjusted for all pairs of methods (Holm, 1979).
      tests: number of these pairs.
      alone: searches whose key the other method does not have.
    """

    better: str
    other: str
    amount: int
    test: PairedTest | None
    p: float
    tests: int
    alone: int


def contrasts(tracks: Tracks, mode: str) -> tuple[Contrast, ...]:
    """Test every pair of methods at the end of the shortest search.

    Args:
      tracks: name of a method to key to its best-so-far curve.
      mode: ``"max"`` or ``"min"``.

    Returns:
      A contrast for each pair, by name.
    """
    amount = common_end(tracks)
    pairs = [
        _pair(tracks, pair, amount, mode) for pair in combinations(sorted(tracks), 2)
    ]
    tested = [one.p for one in pairs if one.test is not None]
    holm = iter(adjusted(tested))
    return tuple(
        one._replace(p=next(holm) if one.test else one.p, tests=len(tested))
        for one in pairs
    )


def common_end(tracks: Tracks) -> int:
    """Return the amount at which the shortest of all searches ends."""
    return min(int(c.amount[-1]) for curves in tracks.values() for c in curves.values())


def _pair(tracks: Tracks, names: tuple[str, str], amount: int, mode: str) -> Contrast:
    ends = [_ends(tracks[name], amount, mode) for name in names]
    keys = sorted(ends[0].keys() & ends[1].keys(), key=repr)
    alone = sum(map(len, ends)) - 2 * len(keys)
    if not keys:
        return Contrast(names[0], names[1], amount, None, np.nan, 0, alone)
    one, other = ([values[key] for key in keys] for values in ends)
    test = paired_test(one, other)
    if test.difference < 0:
        names, test = names[::-1], paired_test(other, one)
    return Contrast(names[0], names[1], amount, test, test.p, 0, alone)


def _ends(
    curves: Mapping[Hashable, BestSoFar], amount: int, mode: str
) -> dict[Hashable, float]:
    """Return key to the oriented best score after an amount; those without left out."""
    last = {key: float(c.at(np.asarray([amount]))[0]) for key, c in curves.items()}
    sign = ranking.direction(mode)
    return {key: sign * value for key, value in last.items() if np.isfinite(value)}
