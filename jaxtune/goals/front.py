"""The front of several goals: dominance, crowding, and the volume that it covers.

A trial dominates another one if it is at least as good in every goal and better in one.
Non-dominated sorting and the crowding distance are those of NSGA-II (Deb, Pratap,
Agarwal & Meyarivan, 2002). Values are oriented: higher is better in every column.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def dominance_ranks(values: np.ndarray) -> np.ndarray:
    """Return the front of each trial: 0 is dominated by none, 1 only by those of 0, ...

    Each trial is put into the first front that has none better, best trials first
    (Zhang, Tian, Cheng & Jin, 2015). So a trial meets no later one that dominates it.

    >>> import numpy as np
    >>> from jaxtune.goals.front import dominance_ranks
    >>> dominance_ranks(np.array([[2, 1], [1, 2], [1, 1], [0, 0]])).tolist()
    [0, 0, 1, 2]

    Args:
      values: ``[n, m]`` oriented goals, all finite.

    Returns:
      ``[n]`` int.
    """
    values = np.asarray(values, np.float64)
    ranks = np.zeros(len(values), int)
    fronts: list[list[int]] = []
    for row in np.lexsort(-values.T[::-1]):
        # fronts that dominate a trial are the first ones, so the border is bisected
        low, high = 0, len(fronts)
        while low < high:
            middle = (low + high) // 2
            if _dominated(values[row], values[fronts[middle]]):
                low = middle + 1
            else:
                high = middle
        if low == len(fronts):
            fronts.append([])
        fronts[low].append(int(row))
        ranks[row] = low
    return ranks


def _dominated(one: np.ndarray, others: np.ndarray) -> bool:
    """Return whether some of the others ``[k, m]`` dominate one ``[m]``."""
    as_good = (others >= one).all(axis=1)
    return bool((as_good & (others > one).any(axis=1)).any())


def crowding_distance(values: np.ndarray) -> np.ndarray:
    """Return the crowding distance of each trial of a front.

    It is the sum over the goals of the distance between a trial's two neighbours, as a
    share of the front's range; infinite at the ends.

    Args:
      values: ``[n, m]`` goals of one front.

    Returns:
      ``[n]`` float.
    """
    values = np.asarray(values, np.float64)
    distance = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]]
        distance[order[[0, -1]]] = np.inf
        if span > 0:
            gaps = (column[order[2:]] - column[order[:-2]]) / span
            distance[order[1:-1]] += gaps
    return distance


def by_front(values: np.ndarray) -> np.ndarray:
    """Return one number for each trial, by which non-dominated sorting orders them.

    Earlier fronts first; within a front the least crowded first; ties by place.

    Args:
      values: ``[n, m]`` oriented goals, all finite.

    Returns:
      ``[n]`` float, all different: higher is better.
    """
    ranks, distance = dominance_ranks(values), np.zeros(len(values))
    for front in np.unique(ranks):
        distance[ranks == front] = crowding_distance(values[ranks == front])
    places = np.arange(len(values))
    number = np.empty(len(values))
    number[np.lexsort((places, -distance, ranks))] = places[::-1]
    return number


def volume(values: np.ndarray, reference: Sequence[float] | np.ndarray) -> float:
    """Return the hypervolume: of all that some trial dominates, down to a reference.

    It is exact for any number of goals, by slices along the last one; the work grows
    quickly with their number, and is small for two or three.

    >>> import numpy as np
    >>> from jaxtune.goals.front import volume
    >>> volume(np.array([[3, 1], [1, 2]]), [0, 0])
    4.0

    Args:
      values: ``[n, m]`` oriented goals.
      reference: ``[m]`` a point; trials that are not better than it in every goal add
        nothing.

    Returns:
      The volume, in the product of the goals' units.
    """
    reference = np.asarray(reference, np.float64)
    above = np.asarray(values, np.float64) - reference
    above = above[(above > 0).all(axis=1)]
    return _volume(above) if len(above) else 0.0


def _volume(above: np.ndarray) -> float:
    """Return the volume between 0 and points ``[n, m]``, all positive."""
    if above.shape[1] == 1:
        return float(above.max())
    above = above[np.argsort(-above[:, -1], kind="stable")]
    depths = above[:, -1] - np.append(above[1:, -1], 0.0)
    if above.shape[1] == 2:
        # in a slice the volume is the best of those that reach it
        return float(np.dot(np.maximum.accumulate(above[:, 0]), depths))
    slices = [
        _volume(above[: last + 1, :-1]) * depth
        for last, depth in enumerate(depths)
        if depth > 0
    ]
    return float(sum(slices))
