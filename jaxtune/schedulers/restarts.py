"""A scheduler whose rungs are trainings of their own, in place of one that goes on."""

from __future__ import annotations

import numpy as np

from jaxtune.schedulers.base import Decision, Plan, Progress, Scheduler
from jaxtune.types import Key


def from_scratch(scheduler: Scheduler) -> Scheduler:
    """Return a scheduler that decides the same, and whose trials start at every rung.

    Its plan counts the epochs of all these trainings.

    >>> import jaxtune as jt
    >>> from jaxtune.schedulers.restarts import from_scratch
    >>> from_scratch(jt.schedulers.successive_halving()).plan(27, 18)
    Plan(27 trials, at most 162 epochs
      bracket 1: 27 on 2/18 of the data, 9 on 6/18, 3 on 18/18)

    Args:
      scheduler: one that compares trials at its rungs.

    Returns:
      The scheduler. Its ``plan`` and ``decide`` raise ``ValueError`` for what needs a
      training that goes on.
    """

    def plan(trials: int, epochs: int) -> Plan:
        found = scheduler.plan(trials, epochs)
        if found.own_pace:
            raise ValueError(
                "budget='examples': this scheduler stops a trial whose score does not "
                "improve while it trains, and here every rung is a training of its "
                "own. Use budget='epochs', or a scheduler that compares trials."
            )
        if found.budget is not None:
            raise ValueError(
                "budget='examples': this scheduler shares out epochs between trials "
                "that go on, and here every rung is a training of its own. Use "
                "budget='epochs', or a scheduler such as successive_halving()."
            )
        return found._replace(restarts=True)

    def decide(key: Key, plan: Plan, progress: Progress) -> Decision:
        found = scheduler.decide(key, plan, progress)
        source, trial = np.asarray(found.source), np.asarray(found.trial)
        if ((source >= 0) & (source != trial)).any():
            raise ValueError(
                "budget='examples': the scheduler lets a trial go on from another "
                "one's state, and here every rung is a training of its own. Use "
                "budget='epochs'."
            )
        return found

    return Scheduler(plan, decide)
