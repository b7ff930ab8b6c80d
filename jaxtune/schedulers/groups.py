"""A scheduler for each of several groups of trials, which compares within them."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxtune.schedulers.base import (
    Bracket,
    Decision,
    Plan,
    Progress,
    Scheduler,
    together,
)
from jaxtune.types import Key

COLUMNS = tuple(name for name in Progress._fields if name != "slots")


def apart(scheduler: Scheduler, groups: int) -> Scheduler:
    """Return a scheduler that decides over every ``groups``-th trial on its own.

    So no trial is stopped for those of another group.

    >>> import jaxtune as jt
    >>> from jaxtune.schedulers.groups import apart
    >>> plan = apart(jt.schedulers.successive_halving(), 2).plan(18, 9)
    >>> [bracket.rows.tolist()[:3] for bracket in plan.brackets], plan.rungs
    ([[0, 2, 4], [1, 3, 5]], 2)

    Args:
      scheduler: of one group; it has no ``explore``.
      groups: their number. A trial belongs to the group of its row modulo it.
    """

    def plan(trials: int, epochs: int) -> Plan:
        own = scheduler.plan(trials // groups, epochs)
        brackets = [
            Bracket(b.first * groups + group, b.epochs, b.counts, groups)
            for group in range(groups)
            for b in own.brackets
        ]
        budget = None if own.budget is None else own.budget * groups
        return own._replace(brackets=tuple(brackets), budget=budget)

    def decide(key: Key, plan: Plan, progress: Progress) -> Decision:
        parts, trials = [], len(progress.epochs)
        each, more = divmod(progress.slots, groups)
        for group in range(groups):
            rows = np.arange(group, trials, groups)
            known = {n: getattr(progress, n) for n in COLUMNS}
            columns: dict[str, Any] = {
                n: v if v is None else v[rows] for n, v in known.items()
            }
            own = progress._replace(**columns, slots=each + (group < more))
            found = scheduler.decide(key, _plan_of(plan, group, groups), own)
            source = np.where(found.source < 0, found.source, rows[found.source])
            parts.append(Decision(rows[found.trial], source, found.epochs))
        return together(parts)

    return Scheduler(plan, decide)


def _plan_of(plan: Plan, group: int, groups: int) -> Plan:
    """Return the plan of one group, with the rows that its scheduler knows."""
    own = [
        Bracket(b.first // groups, b.epochs, b.counts)
        for b in plan.brackets
        if b.first % groups == group
    ]
    budget = None if plan.budget is None else plan.budget // groups
    return plan._replace(brackets=tuple(own), budget=budget)
