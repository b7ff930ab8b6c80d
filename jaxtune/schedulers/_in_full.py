"""No early stopping: every trial trains in full."""

from __future__ import annotations

from jaxtune.registry import maker
from jaxtune.schedulers.base import (
    Bracket,
    Decision,
    Plan,
    Progress,
    Scheduler,
    own_scheduler,
    start_new_trials,
)
from jaxtune.types import Key


@maker
def in_full() -> Scheduler:
    """Train every trial for the whole budget: the default.

    >>> import jaxtune as jt
    >>> jt.schedulers.in_full().plan(64, 20)
    Plan(64 trials, at most 1,280 epochs
      bracket 1: 64 to epoch 20)

    Returns:
      A scheduler with one rung, at the end, at which nothing is compared.
    """

    def plan(trials: int, epochs: int) -> Plan:
        return Plan((Bracket(0, (epochs,), (trials,)),), compares=False)

    def decide(key: Key, plan: Plan, progress: Progress) -> Decision:
        del key
        return start_new_trials(plan, progress)

    return own_scheduler(plan, decide)
