"""The constraints and goals of trials at the rungs of a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from jaxtune.goals.limits import SIZES, Limit
from jaxtune.goals.order import Goal, at_a_rung, names_in
from jaxtune.schedulers import Plan


class RungAims:
    """Numbers of trials at their rungs, for limits and goals; mutable.

    Args:
      limits: of the search.
      goals: of the search.
      plan: of the scheduler.
      trials: of the round.
      sizes: name to ``[n]`` true sizes. They change where a trial takes over another's
        state.
    """

    def __init__(
        self,
        limits: Sequence[Limit],
        goals: Sequence[Goal],
        plan: Plan,
        trials: int,
        sizes: Mapping[str, np.ndarray],
    ):
        self._limits, self._goals, self._plan = limits, goals, plan
        self.sizes = sizes
        names = set(names_in(limits, goals)) - set(SIZES)
        shape = trials, plan.rungs
        self._measured = {name: np.full(shape, np.nan) for name in sorted(names)}

    def note(
        self,
        rows: np.ndarray,
        rung: np.ndarray,
        metrics: Mapping[str, np.ndarray],
        shape: tuple[int, int],
    ) -> None:
        """Note what trials measured when they arrived at a rung.

        Args:
          rows: ``[k]`` rows in the round.
          rung: ``[k]`` the rung of each.
          metrics: name to the values of all lanes.
          shape: trials and seeds.
        """
        if not len(rows):  # metrics are known by name after a block has been scored
            return
        for name, known in self._measured.items():
            values = metrics[name].reshape(shape)[rows].astype(np.float64)
            known[rows, rung] = values.mean(axis=1)

    def compared(self, scores: np.ndarray) -> np.ndarray:
        """Return what a scheduler compares, from oriented scores ``[n, r]``."""
        # at its own pace a trial is compared with itself, by its score
        if self._plan.own_pace or not (self._limits or self._goals):
            return scores
        result = np.full_like(scores, np.nan)
        for bracket in self._plan.brackets:
            rows = bracket.rows
            for rung in range(len(bracket.epochs)):
                columns = {name: v[rows, rung] for name, v in self._measured.items()}
                columns |= {name: v[rows] for name, v in self.sizes.items()}
                result[rows, rung] = at_a_rung(
                    scores[rows, rung], columns, self._limits, self._goals
                )
        return result
