"""The test of a race: which configurations are clearly behind the leader.

Each look compares the means of those that are still in with the best of them, by
Student's t with the noise that they have in common. Repeats are independent trainings:
the scores of two good configurations with the same seeds hardly correlate
(docs/race.md), so there is nothing to gain from pairs of them. Of folds there is, and
the mean over the folds, which all configurations share, is one measurement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr

from jaxtune import ranking
from jaxtune.goals.limits import Limit
from jaxtune.goals.order import aimed_standing

LEVEL = 0.05  # chance that the best of all leaves, over all looks of a race


class Measured(NamedTuple):
    """The measurements of configurations, a row for each.

    Args:
      trials: ``[m]`` ids of the trials that were repeated, in the order in which they
        were chosen.
      rows: of each its repeats, as rows of the table.
      means: name to ``[m]``, of the score and of what limits name; not finite where a
        repeat failed.
      standing: ``[m]`` a number to rank by, see `aimed_standing`.
    """

    trials: np.ndarray
    rows: list[np.ndarray]
    means: dict[str, np.ndarray]
    standing: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """``[m]`` the measurements of each."""
        return np.asarray([len(row) for row in self.rows])


def measured_of(
    repeat_of: np.ndarray,
    columns: Mapping[str, np.ndarray],
    mode: str,
    limits: Sequence[Limit] = (),
) -> Measured:
    """Return the measurements of the configurations that were measured again.

    Args:
      repeat_of: ``[n]`` the trial that each repeats, -1 for others.
      columns: of the table of trials, name to ``[n]``.
      mode: ``"max"`` or ``"min"``.
      limits: of the search; the means of repeats are held against them.
    """
    trials, first = np.unique(repeat_of[repeat_of >= 0], return_index=True)
    trials = trials[np.argsort(first)]
    rows = [np.flatnonzero(repeat_of == trial) for trial in trials]
    named = {limit.name for limit in limits} & set(columns) | {"score"}
    # of a trial that failed once in several measurements nothing is known to be good
    means = {
        name: np.asarray(
            [np.mean(columns[name][row], dtype=np.float64) for row in rows]
        )
        for name in sorted(named)
    }
    oriented = ranking.orient(means["score"], mode)
    alike = np.zeros(len(trials), int)
    standing = aimed_standing(oriented, alike, means, limits, ())
    return Measured(trials, rows, means, standing)


def still_in(
    found: Measured, scores: np.ndarray, mode: str, looks: Sequence[int]
) -> np.ndarray:
    """Return ``[m]`` bool: the configurations that stay in a race after its last look.

    Args:
      found: the measurements of the race.
      scores: ``[n]`` of the table.
      mode: ``"max"`` or ``"min"``.
      looks: measurements of each configuration at each look of the race.
    """
    # who left before has fewer measurements
    stays = (found.counts == found.counts.max()) & np.isfinite(found.standing)
    here = np.flatnonzero(stays)
    if len(here) < 2:
        return stays
    sign = ranking.direction(mode)
    measured = [sign * scores[found.rows[i]].astype(np.float64) for i in here]
    leader = int(ranking.order(found.standing[here])[0])
    tests = (len(found.trials) - 1) * len(looks)
    stays[here] = ~behind(measured, leader, tests)
    return stays


def seeds_at_looks(batches: Sequence[int], top: int) -> list[int]:
    """Return how often each configuration has been measured at each look.

    >>> seeds_at_looks((16, 16, 32, 64), top=8)
    [2, 4, 8, 16]

    Args:
      batches: measurements before each look, if all of them stay.
      top: configurations that begin.
    """
    return [int(count) // top for count in np.cumsum(batches)]


def behind(measured: Sequence[np.ndarray], leader: int, tests: int) -> np.ndarray:
    """Return ``[m]`` bool: the configurations that a test separates from the leader.

    >>> import numpy as np
    >>> clear = [np.array([1.0, 1.1]), np.array([0.0, 0.1]), np.array([1.0, 1.2])]
    >>> behind(clear, leader=2, tests=8).tolist()
    [False, True, False]

    Args:
      measured: of each configuration its measurements, two or more; higher is better.
      leader: the row of the best one.
      tests: number of tests of the race, which share the level (Bonferroni).
    """
    means = np.asarray([values.mean() for values in measured])
    counts = np.asarray([len(values) for values in measured])
    noise, degrees = variance_within(measured)
    gaps = means[leader] - means
    if noise == 0.0:
        # scores of few values, such as the accuracy over few examples, agree by chance:
        # of equal configurations all n of one fall on one value and all m of another
        # on a higher one with at most the probability 2^-(n + m)
        return (gaps > 0) & (tests * 0.5 ** (counts + counts[leader]) < LEVEL)
    errors = np.sqrt(noise * (1 / counts + 1 / counts[leader]))
    return stdtr(degrees, -gaps / errors) * tests < LEVEL


def variance_within(measured: Sequence[np.ndarray]) -> tuple[float, int]:
    """Return the variance within configurations, of all together, and its degrees."""
    squares = sum(((values - values.mean()) ** 2).sum() for values in measured)
    degrees = sum(len(values) - 1 for values in measured)
    return float(squares / degrees) if degrees else 0.0, degrees
