"""The configurations of a round until now, and the states that they took over."""

from __future__ import annotations

import numpy as np

from jaxtune.space.points import Points, joined_points
from jaxtune.training.trajectory import (
    Lineage,
    concatenate_lineages,
    first_rows,
    no_lineage,
)


class Configured:
    """The configurations of the trials of a round; mutable.

    Args:
      trials: ``[n]`` trial ids of the whole round.
      start: the configurations of the first trials.
    """

    def __init__(self, trials: np.ndarray, start: Points):
        self.trials, self._points = trials, start
        self._rows = [first_rows(trials[: len(start.points)], start)]
        self._taken_over = False
        self.filled = self._filled()

    @property
    def asked(self) -> int:
        """Number of trials that have a configuration, the first of the round."""
        return len(self._points.points)

    @property
    def points(self) -> Points:
        """The configurations that there are, as they are now."""
        return self._points

    @property
    def lineage(self) -> Lineage:
        """The states that were taken over, see `Lineage`."""
        if not self._taken_over:
            return no_lineage(self._points)
        return concatenate_lineages(self._rows)

    def add(self, whole: Points) -> None:
        """Take in a batch: the points that were asked for until now.

        Args:
          whole: all of them, as they began; what was taken over since stays.
        """
        new = whole.take(np.arange(self.asked, len(whole.points)))
        first, last = self.asked, len(whole.points)
        self._rows.append(first_rows(self.trials[first:last], new))
        self._points = joined_points([self._points, new])
        self.filled = self._filled()

    def take_over(self, points: Points, lineage: Lineage) -> None:
        """Take in the configurations after some takeovers, and their lineage."""
        self._points, self._taken_over = points, True
        self._rows.append(lineage)
        self.filled = self._filled()

    def _filled(self) -> Points:
        """Return ``n`` rows: trials to come repeat the last one, as padding does."""
        rows = np.minimum(np.arange(len(self.trials)), self.asked - 1)
        return self._points.take(rows)
