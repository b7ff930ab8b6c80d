"""Asynchronous successive halving (Li et al., 2020, MLSys): no lane ever waits.

A free lane goes to a trial that is already among the best one in ``eta`` of its rung,
or else to a new trial. Nothing waits for the slowest trial, at the price of some
promotions that a full rung would not have made.
"""

from __future__ import annotations

import numpy as np

from jaxtune.door import guarded, optional, whole
from jaxtune.registry import maker
from jaxtune.schedulers.base import (
    FOUR_BLOCKS,
    Bracket,
    Decision,
    Plan,
    Progress,
    Scheduler,
    best,
    decision,
    own_scheduler,
    together,
)
from jaxtune.schedulers.halving import BOUND, ETA, rungs_of
from jaxtune.types import Key


@maker
@guarded(
    eta=ETA,
    min_epochs=optional(whole(1)),
    concurrent=optional(whole(1)),
    bound=BOUND,
)
def asha(
    eta: float = 3,
    min_epochs: int | None = None,
    concurrent: int | None = None,
    bound: float = 0.0,
) -> Scheduler:
    """Promote a trial as soon as it is among the best one in ``eta`` of its rung.

    Decisions are made at the ends of segments, in the order of trial ids. They depend
    on scores and on ``concurrent`` alone, never on timing: the same key gives the same
    table.

    >>> import jaxtune as jt
    >>> jt.schedulers.asha().plan(64, 20)
    Plan(64 trials, at most 1,280 epochs, four blocks at once
      bracket 1: 64 to epoch 2, 64 to epoch 7, 64 to epoch 20)

    Args:
      eta: the best one in ``eta`` trials of a rung is promoted.
      min_epochs: as in `successive_halving`.
      concurrent: trials in training at once. If not given, as many as fill four blocks;
        with more than four cores or devices, pass a larger number. Blocks are full
        when ``concurrent`` times the number of seeds is a multiple of their width.
      bound: as in `successive_halving`.

    Returns:
      A scheduler. Its ``plan`` raises ``ValueError`` where the epochs leave nothing to
      halve.

    Raises:
      ValueError: an argument out of range.
    """

    def plan(trials: int, epochs: int) -> Plan:
        rungs = rungs_of("asha", epochs, eta, min_epochs)
        bracket = Bracket(0, rungs, (trials,) * len(rungs))
        return Plan((bracket,), concurrent or FOUR_BLOCKS)

    def decide(key: Key, plan: Plan, progress: Progress) -> Decision:
        del key
        (bracket,) = plan.brackets
        parts, free = [], progress.slots
        # the highest rung first, as in the paper: trials that are nearly done
        for rung in reversed(range(len(bracket.epochs) - 1)):
            rows = _promotable(bracket, rung, progress)[:free]
            parts.append(decision(rows, bracket.epochs[rung + 1]))
            free -= len(rows)
        idle = np.flatnonzero(progress.target == 0)[:free]
        parts.append(decision(idle, bracket.epochs[0], fresh=True))
        return together(parts)

    def _promotable(bracket: Bracket, rung: int, progress: Progress) -> np.ndarray:
        """Return the trials to promote from a rung, best first."""
        at = bracket.epochs[rung]
        here = np.flatnonzero(progress.epochs >= at)
        # trials that failed on the way count as arrived, and are never the best
        failed = np.flatnonzero(progress.failed & (progress.target == at))
        count = len(np.union1d(here, failed))
        chosen = best(progress, rung, here, int(count / eta), bound)
        return chosen[progress.target[chosen] == at]

    return own_scheduler(plan, decide)
