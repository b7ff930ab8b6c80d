"""The order of trials under constraints and several goals.

One rule for all that ranks: failed trials are last; before them those that violate a
limit, by how far; before them the others, by epochs trained, and then by the score or,
with several goals, by non-dominated sorting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxtune import ranking
from jaxtune.goals.front import by_front
from jaxtune.goals.limits import Limit, violation

# far below any score, and far above the smallest double
FAR = 1e30


class Goal(NamedTuple):
    """A metric or a size that is to become large or small.

    Args:
      name: of the metric or the size.
      mode: ``"max"`` or ``"min"``.
    """

    name: str
    mode: str


def names_in(limits: Sequence[Limit], goals: Sequence[Goal]) -> list[str]:
    """Return the names in limits and goals, each once."""
    named = [limit.name for limit in limits] + [goal.name for goal in goals]
    return list(dict.fromkeys(named))


def oriented(goals: Sequence[Goal], columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the goals of trials ``[n, m]``, higher is better, NaN is failed."""
    parts = [
        ranking.orient(np.asarray(columns[goal.name], np.float64), goal.mode)
        for goal in goals
    ]
    return np.stack(parts, axis=-1)


def aimed_standing(
    scores: np.ndarray,
    epochs: np.ndarray,
    columns: Mapping[str, np.ndarray],
    limits: Sequence[Limit],
    goals: Sequence[Goal],
) -> np.ndarray:
    """Return a number for each trial, by which they rank.

    Args:
      scores: ``[n]`` oriented scores.
      epochs: ``[n]`` epochs that each trial trained.
      columns: name to ``[n]``, of all limits and goals.
      limits: of the search.
      goals: of the search; none where it has a score only.

    Returns:
      ``[n]``: higher is better, NaN has failed. The scores themselves, where there is
      one goal, all trials trained equally long and none violates a limit; otherwise
      ranks.
    """
    count = len(scores)
    # a round in which all trials crashed knows no metric by its name
    unknown = {goal.name: np.full(count, np.nan) for goal in goals}
    columns = {**unknown, **columns}
    over = violation(limits, columns, count)
    if not goals and not over[np.isfinite(scores)].any():
        return ranking.standing(scores, epochs)
    fine, value = np.isfinite(scores), np.asarray(scores, np.float64)
    if goals:
        values = oriented(goals, columns)
        fine, value = fine & np.isfinite(values).all(axis=1), np.zeros(count)
        # fronts are of trials that compare
        for length in np.unique(epochs):
            alike = fine & (over == 0) & (epochs == length)
            if alike.any():
                value[alike] = by_front(values[alike])
    ids, rank = np.arange(count), np.empty(count, np.float32)
    value = np.where(fine, value, -np.inf)
    # lexsort's last key comes first; of equal trials the smaller id ranks higher
    rank[np.lexsort((-ids, value, epochs, -over, fine))] = ids
    return np.where(fine, rank, np.float32(np.nan))


def at_a_rung(
    scores: np.ndarray,
    columns: Mapping[str, np.ndarray],
    limits: Sequence[Limit],
    goals: Sequence[Goal],
) -> np.ndarray:
    """Return what a scheduler compares at one rung, among the trials that compete.

    Args:
      scores: ``[n]`` oriented scores at the rung; NaN failed or has not arrived.
      columns: name to ``[n]``, as measured at the rung.
      limits: of the search.
      goals: of the search.

    Returns:
      ``[n]`` float64, higher is better. With one goal it is the score, or, beyond a
      limit, a number far below all scores. With several it is a rank in (0, 1], so that
      rungs of different numbers of trials compare.
    """
    over = violation(limits, columns, len(scores))
    if not goals:
        # a number of the trial alone, so that it stays while others arrive
        beyond = -FAR * (1.0 + np.minimum(over, FAR))
        return np.where((over > 0) & np.isfinite(scores), beyond, scores)
    rank = aimed_standing(scores, np.zeros(len(scores), int), columns, limits, goals)
    fine = np.isfinite(rank)
    # failed trials have the lowest ranks, so the last one fine is 1 of their number
    return (rank.astype(np.float64) - (~fine).sum() + 1) / max(1, int(fine.sum()))
