"""Patience: a trial stops when its own score has not become better for some epochs.

Early stopping as it is known from training loops (Prechelt, 1998): no trial is compared
with another.
"""

from __future__ import annotations

import numpy as np

from jaxtune.door import guarded, optional, real, whole
from jaxtune.registry import maker
from jaxtune.schedulers.base import (
    Bracket,
    Decision,
    Plan,
    Progress,
    Scheduler,
    decision,
    own_scheduler,
    start_new_trials,
    together,
)
from jaxtune.types import Key


@maker
@guarded(
    epochs=whole(1),
    interval=whole(1),
    min_delta=real(0, 1e30),
    min_epochs=optional(whole(1)),
)
def patience(
    epochs: int = 5,
    interval: int = 1,
    min_delta: float = 0.0,
    min_epochs: int | None = None,
) -> Scheduler:
    """Stop a trial when none of its last scores is better than the best before.

    A trial that it stops is complete: its score compares with those of trials that
    trained longer, most naturally with ``jaxtune.search(..., score="best")``. The
    others take its lanes.

    >>> import jaxtune as jt
    >>> jt.schedulers.patience(2, interval=5).plan(64, 20)
    Plan(64 trials, at most 1,280 epochs
      bracket 1: 64 to epoch 5, 64 to epoch 10, 64 to epoch 15, 64 to epoch 20)

    Args:
      epochs: a trial stops when its best score is so many epochs old.
      interval: epochs between two looks at the scores. Each look costs a trip to the
        host and a new packing of blocks; larger is cheaper, and stops later.
      min_delta: a score is better if it is better by more than this.
      min_epochs: no trial stops before so many epochs.

    Returns:
      A scheduler. Its ``plan`` raises ``ValueError`` where no trial can stop before the
      end.

    Raises:
      ValueError: an argument out of range.
    """

    def plan(trials: int, budget: int) -> Plan:
        rungs = (*range(interval, budget, interval), budget)
        # the earliest that may be found to be too old is the first
        stops = [at for at in rungs[:-1] if _is_old(rungs[0], at)]
        if not stops:
            raise ValueError(
                f"patience: a training of {budget} epochs ends before a trial could "
                f"stop, with a patience of {epochs} and interval={interval}. Train "
                "longer, or lower them."
            )
        bracket = Bracket(0, rungs, (trials,) * len(rungs))
        return Plan((bracket,), own_pace=True)

    def _is_old(best: int, now: int) -> bool:
        return now - best >= epochs and now >= (min_epochs or 0)

    def decide(key: Key, plan: Plan, progress: Progress) -> Decision:
        del key
        (bracket,) = plan.brackets
        parts = [start_new_trials(plan, progress)]
        arrived = (progress.target > 0) & ~progress.running & ~progress.failed
        for rung, epoch in enumerate(bracket.epochs[:-1]):
            here = np.flatnonzero(arrived & (progress.target == epoch))
            best = _best_rungs(progress.scores[here, : rung + 1], min_delta)
            going = [not _is_old(bracket.epochs[at], epoch) for at in best]
            parts.append(decision(here[going], bracket.epochs[rung + 1]))
        return together(parts)

    return own_scheduler(plan, decide)


def _best_rungs(scores: np.ndarray, min_delta: float) -> np.ndarray:
    """Return the rung ``[k]`` of each trial's best of scores ``[k, r]``."""
    best = np.zeros(len(scores), int)
    rows = np.arange(len(scores))
    for rung in range(scores.shape[1]):
        best[scores[:, rung] > scores[rows, best] + min_delta] = rung
    return best
