"""The median stopping rule (Golovin et al., 2017, KDD: Google Vizier).

A trial stops where its best score so far is below a median: that of the mean scores, up
to the same rung, of all trials that arrived there.
"""

from __future__ import annotations

import numpy as np

from jaxtune import ranking
from jaxtune.door import guarded, optional, whole
from jaxtune.registry import maker
from jaxtune.schedulers.base import (
    Bracket,
    Plan,
    Progress,
    Scheduler,
    own_scheduler,
    synchronous,
)


@maker
@guarded(interval=optional(whole(1)), min_epochs=optional(whole(1)))
def median_stopping(
    interval: int | None = None, min_epochs: int | None = None
) -> Scheduler:
    """Stop the trials that are worse than the median of all.

    >>> import jaxtune as jt
    >>> jt.schedulers.median_stopping(interval=5).plan(64, 20)
    Plan(64 trials, at most 1,280 epochs
      bracket 1: 64 to epoch 5, 64 to epoch 10, 64 to epoch 15, 64 to epoch 20)

    Args:
      interval: epochs between decisions; a fifth of the budget if not given.
      min_epochs: epoch of the first decision at the earliest; ``interval`` if not
        given.

    Returns:
      A scheduler. Its ``plan`` raises ``ValueError`` where no decision is made before
      the end.

    Raises:
      ValueError: an argument out of range.
    """

    def plan(trials: int, epochs: int) -> Plan:
        step = interval or max(1, round(epochs / 5))
        least = min_epochs or step
        rungs = [e for e in range(step, epochs, step) if e >= least]
        if not rungs:
            raise ValueError(
                f"median_stopping: epochs={epochs} ends before the first decision, at "
                f"interval={step} and min_epochs={least}. Train longer, or lower them."
            )
        rungs.append(epochs)
        bracket = Bracket(0, tuple(rungs), (trials,) * len(rungs))
        return Plan((bracket,), final=True)

    def choose(
        bracket: Bracket, rung: int, progress: Progress, rows: np.ndarray
    ) -> np.ndarray:
        del bracket
        until = progress.scores[rows, : rung + 1]
        usable = np.isfinite(until).all(axis=1)
        if not usable.any():
            return rows[:0]
        median = np.median(until[usable].mean(axis=1))
        highest = ranking.worst_if_failed(until).max(axis=1)
        return rows[usable & (highest >= median)]

    return own_scheduler(plan, synchronous(choose))
