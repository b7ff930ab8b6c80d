"""Successive halving (Jamieson & Talwalkar, 2016, AISTATS).

All trials train a little; the best one in ``eta`` of them train ``eta`` times as long,
and so on until the few that are left have trained in full.
"""

from __future__ import annotations

import numpy as np

from jaxtune.door import guarded, optional, real, whole
from jaxtune.registry import maker
from jaxtune.schedulers.base import (
    Bracket,
    Decide,
    Plan,
    Progress,
    Scheduler,
    best,
    geometric,
    own_scheduler,
    rung_counts,
    synchronous,
)

# what the schedulers that halve share
ETA = real(2, 1e6)._replace(
    words="a number of at least 2", way_out="One in eta trials goes on; 3 is usual."
)
BOUND = real(-10, 10)


@maker
@guarded(eta=ETA, min_epochs=optional(whole(1)), bound=BOUND)
def successive_halving(
    eta: float = 3, min_epochs: int | None = None, bound: float = 0.0
) -> Scheduler:
    """Stop the worst trials at each rung and promote the best one in ``eta``.

    >>> import jaxtune as jt
    >>> jt.schedulers.successive_halving(eta=3).plan(64, 20)
    Plan(64 trials, at most 324 epochs
      bracket 1: 64 to epoch 2, 21 to epoch 7, 7 to epoch 20)

    Args:
      eta: at each rung one in ``eta`` trials is promoted, and trains ``eta`` times as
        long.
      min_epochs: smallest first rung. If not given, there are at most two rungs before
        the last, none before epoch 2: scores after one epoch often say nothing.
      bound: trials are compared by the mean over their seeds plus ``bound`` standard
        errors of it; above 0, uncertain trials get the benefit of the doubt.

    Returns:
      A scheduler. Its ``plan`` raises ``ValueError`` where the epochs or trials leave
      nothing to halve.

    Raises:
      ValueError: an argument out of range.
    """

    def plan(trials: int, epochs: int) -> Plan:
        rungs = rungs_of("successive_halving", epochs, eta, min_epochs)
        bracket = Bracket(0, rungs, rung_counts(trials, eta, len(rungs)))
        return Plan((bracket,), final=True)

    return own_scheduler(plan, promote_the_best(bound))


def promote_the_best(bound: float) -> Decide:
    """Make a ``decide`` that promotes the planned number of trials at each rung."""

    def choose(
        bracket: Bracket, rung: int, progress: Progress, rows: np.ndarray
    ) -> np.ndarray:
        return best(progress, rung, rows, bracket.counts[rung + 1], bound)

    return synchronous(choose)


def rungs_of(
    name: str, epochs: int, eta: float, min_epochs: int | None
) -> tuple[int, ...]:
    """Return the rungs of one bracket.

    Raises:
      ValueError: there is no rung before the last.
    """
    rungs = (
        geometric(epochs, eta, 2, 2)
        if min_epochs is None
        else geometric(epochs, eta, min_epochs)
    )
    if len(rungs) == 1:
        least = 2 if min_epochs is None else min_epochs
        raise ValueError(
            f"{name}: epochs={epochs} leaves no rung before the last with eta={eta:g} "
            f"and at least {least} epochs before it. Train longer, or lower min_epochs."
        )
    return rungs
