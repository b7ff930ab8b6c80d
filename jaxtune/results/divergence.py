"""Failed trials: their number, and the part of the space where they are."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jaxtune.brevity import brief
from jaxtune.results.trials import Trials
from jaxtune.space import Space


@brief
class Region(NamedTuple):
    """A range of one hyperparameter that holds every failed trial.

    Args:
      name: of the hyperparameter.
      low: its smallest value among failed trials; of a choice, the value itself.
      high: its largest.
      failed: failed trials inside, for which the hyperparameter matters.
      tried: all trials inside.
    """

    name: str
    low: Any
    high: Any
    failed: int
    tried: int

    @property
    def share(self) -> float:
        """Share of the trials inside that failed."""
        return self.failed / self.tried


@brief
class Divergence(NamedTuple):
    """The failures of a search.

    Args:
      trials: number of failed trials.
      lanes: number of trainings, one for each seed, with a score that is not finite.
      rounds: number of failed trials of each round.
      regions: ranges that hold them, the one with the largest share of failures first.
    """

    trials: int
    lanes: int
    rounds: tuple[int, ...]
    regions: tuple[Region, ...]


def locate_failures(space: Space, trials: Trials) -> Divergence:
    """Count failures and find where they lie.

    Args:
      space: the space that was searched.
      trials: all of its trials.

    Returns:
      Counts, and one region for each number, or for each value of a choice.
    """
    failed = trials.failed
    rounds = trials["round"]
    counts = [int(failed[rounds == n].sum()) for n in range(int(rounds.max()) + 1)]
    # of a run that was interrupted, some trials have no score and have not failed
    known = trials.done
    regions = [
        region
        for name in space.searched
        for region in _regions(space, name, trials[name], failed, known)
    ]
    lanes = int((~np.isfinite(trials.scores[known])).sum())
    ranked = sorted(regions, key=lambda region: -region.share)
    return Divergence(int(failed.sum()), lanes, tuple(counts), tuple(ranked))


def _regions(
    space: Space, name: str, column: np.ndarray, failed: np.ndarray, known: np.ndarray
) -> list[Region]:
    if space[name].by_index:
        values = [v for v in space[name].choices if _equal(column, v)[failed].any()]
        spans = [(value, value, _equal(column, value)) for value in values]
    else:
        numbers = column.astype(np.float64)
        # NaN where a condition makes the dimension inactive: it is not to blame there
        here = numbers[failed & ~np.isnan(numbers)]
        if not here.size:
            return []
        inside = (numbers >= here.min()) & (numbers <= here.max())
        low, high = (
            space[name].value(column.dtype.type(end))
            for end in (here.min(), here.max())
        )
        spans = [(low, high, inside)]
    counted = [(inside & failed, inside & known) for *_, inside in spans]
    return [
        Region(name, low, high, int(bad.sum()), int(tried.sum()))
        for (low, high, _), (bad, tried) in zip(spans, counted, strict=True)
    ]


def _equal(column: np.ndarray, value: Any) -> np.ndarray:
    # one by one: a choice may be a tuple, which NumPy would compare element by element
    return np.asarray([entry == value for entry in column], bool)
