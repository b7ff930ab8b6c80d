"""The best configurations of a search, measured again, and which is likely the best.

The scores by which they were chosen are the best of many, and so partly luck. They have
no part here: only measurements that were made after the choice count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from jaxtune import ranking
from jaxtune.goals.limits import Limit, violation
from jaxtune.printing import counted
from jaxtune.results.racing import measured_of, still_in, variance_within

DRAWS = 4000  # from the posterior: the error of a probability is below one per cent
GRID = 40  # values of the spread between configurations
NONE = np.zeros(0)


class Confirmed(NamedTuple):
    """Configurations that were measured again, the best mean first; prints as a table.

    In a race those come first that were in it to the end, then who left it last.

    Args:
      trial: ``[m]`` ids of the trials that were repeated.
      measurements: ``[m]`` how often each was measured again.
      mean: ``[m]`` mean of these measurements; NaN if one of them failed.
      error: ``[m]`` its standard error, of the noise that all of them have in common.
      probability: ``[m]`` of being the best of them, see `chances`.
      scores: of each its measurements, one for each repeat, seed and fold.
      low: ``[m]`` lower end of the 95 % interval of the mean, by Student's t.
      high: ``[m]`` its upper end.
      out: ``[m]`` after how many measurements it left the race, clearly behind the
        leader or failed; 0 for one that stayed to the end. Empty without a race.
    """

    trial: np.ndarray
    measurements: np.ndarray
    mean: np.ndarray
    error: np.ndarray
    probability: np.ndarray
    scores: tuple[np.ndarray, ...]
    low: np.ndarray = NONE
    high: np.ndarray = NONE
    out: np.ndarray = NONE

    def __repr__(self) -> str:
        lines = [
            f"  trial {trial}: {mean:.6g} ± {error:.2g} of {count}, best with "
            f"probability {shown_chance(chance)}"
            if np.isfinite(mean)
            else f"  trial {trial}: failed, of {count}"
            for trial, count, mean, error, chance in zip(*self[:5], strict=True)
        ]
        for row, count in enumerate(self.out):
            lines[row] += f"; out after {count}" if count else "; in to the end"
        head = f"Confirmed({len(lines)} configurations, mean ± standard error"
        return "\n".join([head, *lines]) + ")"

    @property
    def words(self) -> str:
        """The finding in one line."""
        first, count = self.trial[0], len(self.trial)
        if not np.isfinite(self.mean[0]):
            return f"all {count} that were measured again failed"
        if not self.probability[0]:
            return f"none of {count} measured again meets the constraints"
        if count == 1:
            return f"trial {first} alone was measured again"
        chance = shown_chance(self.probability[0])
        which = f"{count} measured again"
        if len(self.out):
            total = int(self.measurements.sum())
            which = f"{count} in a race of {counted(total, 'measurement')}"
        return f"trial {first} is best with probability {chance} of {which}"


def shown_chance(chance: float) -> str:
    """Return a probability in two digits; neither 0 nor 1 is claimed."""
    if 0.005 <= chance <= 0.995:
        return f"{chance:.2f}"
    return "above 0.99" if chance > 0.5 else "below 0.01"


def confirmed_of(
    repeat_of: np.ndarray,
    columns: Mapping[str, np.ndarray],
    each: np.ndarray,
    mode: str,
    limits: Sequence[Limit] = (),
    looks: Sequence[int] = (),
) -> Confirmed:
    """Return what repeats say of the configurations that they repeat.

    Args:
      repeat_of: ``[n]`` the trial that each repeats, -1 for others.
      columns: of the table of trials, name to ``[n]``.
      each: ``[n, s]`` the scores of all seeds and folds of each trial.
      mode: ``"max"`` or ``"min"``.
      limits: of the search; the means of repeats are held against them.
      looks: of a race, see `seeds_at_looks`; empty where there is none.

    Returns:
      A row for each configuration that is repeated.
    """
    found = measured_of(repeat_of, columns, mode, limits)
    score, counts, rows = columns["score"], found.counts, found.rows
    fine = np.isfinite(found.standing)
    means = np.where(fine, found.means["score"], np.nan)
    measured = [score[row].astype(np.float64) for row in rows]
    errors, chance = np.full(len(rows), np.nan), np.zeros(len(rows))
    reach = errors.copy()
    if fine.any():
        noise, degrees = variance_within(_only(measured, fine))
        errors[fine] = np.sqrt(noise / counts[fine])
        reach[fine] = stdtrit(degrees, 0.975) * errors[fine] if noise else 0.0
    fine &= violation(limits, found.means, len(rows)) == 0
    if fine.any():
        sign = ranking.direction(mode)
        chance[fine] = chances([sign * values for values in _only(measured, fine)])
    stays = np.ones(len(rows), bool)
    if looks:
        # nobody is measured after the last look, so that nobody leaves there
        ended = np.isfinite(found.standing) & (counts >= looks[-1])
        stays = still_in(found, score, mode, looks) | ended
    # lexsort's last key comes first; of equal ones that of the smaller id ranks higher
    value = ranking.worst_if_failed(found.standing)
    last = (-counts, ~stays) if looks else ()
    order = np.lexsort((found.trials, -value, *last))
    return Confirmed(
        trial=found.trials[order],
        measurements=counts[order],
        mean=means[order],
        error=errors[order],
        probability=chance[order],
        scores=tuple(each[rows[i]].ravel() for i in order),
        low=(means - reach)[order],
        high=(means + reach)[order],
        out=np.where(stays, 0, counts)[order] if looks else NONE,
    )


def _only(measured: Sequence[np.ndarray], rows: np.ndarray) -> list[np.ndarray]:
    """Return the measurements of some configurations ``[m]`` bool."""
    return [values for values, kept in zip(measured, rows, strict=True) if kept]


def ranked_by(confirmed: Confirmed, own: np.ndarray) -> np.ndarray:
    """Return ranks ``[n]``: those that were measured again first, by what was found.

    Args:
      confirmed: the finding.
      own: ``[n]`` the standing of each trial by itself; NaN has failed.

    Returns:
      float32, higher is better. NaN where ``own`` has it, and for a trial of which a
      repeat failed.
    """
    value, again = np.array(own, np.float64), np.zeros(len(own))
    places = -np.arange(len(confirmed.trial), dtype=np.float64)
    value[confirmed.trial] = np.where(np.isfinite(confirmed.mean), places, np.nan)
    again[confirmed.trial] = 1
    ids, rank = np.arange(len(own)), np.empty(len(own), np.float32)
    # lexsort's last key comes first; of equal trials the smaller id ranks higher
    rank[np.lexsort((-ids, ranking.worst_if_failed(value), again))] = ids
    return np.where(np.isfinite(value), rank, np.float32(np.nan))


def chances(measured: Sequence[np.ndarray]) -> np.ndarray:
    """Return the probability ``[m]`` that each configuration has the highest mean.

    The model: measurements differ from the mean of their configuration by normal noise
    of one variance, and means from each other by a normal spread, whose scale has a
    half-Cauchy prior of the size of a mean's error (Gelman, 2006). So of configurations
    that measure alike none is called the best. Computed from draws that are the same
    each time.

    >>> import numpy as np
    >>> from jaxtune.results.confirmed import chances
    >>> apart = chances([np.array([1.0, 1.1, 0.9]), np.array([0.0, 0.1, -0.1])])
    >>> bool(apart[0] > 0.99)
    True
    >>> chances([np.array([0.5, 0.5]), np.array([0.5, 0.5])]).tolist()
    [0.5, 0.5]

    Args:
      measured: of each configuration its measurements; higher is better.
    """
    means = np.asarray([values.mean() for values in measured])
    counts = np.asarray([len(values) for values in measured])
    variance, degrees = variance_within(measured)
    if len(means) == 1:
        return np.ones(1)
    tied = means == means.max()
    if variance == 0.0:  # no noise: the highest is the best
        return tied / tied.sum()
    random = np.random.default_rng(0)
    # noise, given the spread within configurations
    noise = variance * degrees / random.chisquare(degrees, DRAWS // 2)
    within = noise[:, None] / counts  # [draws, m]
    scale = np.sqrt(variance / counts.mean())
    most = 10 * max(scale, np.ptp(means))
    grid = np.geomspace(scale / 30, most, GRID)
    tau = _spreads(means, within, grid, scale, random)
    total = within + tau[:, None] ** 2
    # the mean of all, then each configuration, between its measurements and that
    weight = 1 / total
    pull = within / total
    around = (1 - pull) * means + pull * _centre(means, weight)
    off = pull * random.standard_normal((len(total), 1)) / np.sqrt(_sum(weight))
    off += np.sqrt((1 - pull) * within) * random.standard_normal(pull.shape)
    # each draw and its mirror image, so that the better of two is never the less likely
    drawn = np.concatenate([around + off, around - off])
    return np.bincount(drawn.argmax(1), minlength=len(means)) / len(drawn)


def _spreads(
    means: np.ndarray,
    within: np.ndarray,
    grid: np.ndarray,
    scale: float,
    random: np.random.Generator,
) -> np.ndarray:
    """Return a spread of the configurations' means for each draw of the noise."""
    found = np.empty((len(grid), len(within)))
    for row, tau in enumerate(grid):
        total = within + tau**2
        weight = 1 / total
        distance = ((means - _centre(means, weight)) ** 2 * weight).sum(1)
        likely = 0.5 * (np.log(weight).sum(1) - np.log(weight.sum(1)) - distance)
        # the grid is even in the logarithm, which gives a spread tau its weight
        found[row] = likely - np.log1p((tau / scale) ** 2) + np.log(tau)
    # the largest of these has Gumbel noise: a draw in proportion to the densities
    return grid[(found + random.gumbel(size=found.shape)).argmax(0)]


def _centre(means: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return weighted means ``[draws, 1]`` of all configurations."""
    return _sum(weight * means) / _sum(weight)


def _sum(values: np.ndarray) -> np.ndarray:
    return values.sum(axis=1, keepdims=True)
