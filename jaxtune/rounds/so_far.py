"""A search while it runs: its rounds until now, what follows them, and its limits."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxtune.results.result import Result
from jaxtune.results.rows import rows_of
from jaxtune.results.trials import Trials
from jaxtune.rounds.callbacks import Callback
from jaxtune.rounds.confirm import repeats_in
from jaxtune.rounds.progress import Report
from jaxtune.space import Space
from jaxtune.training.round import Training

if TYPE_CHECKING:
    from jaxtune.rounds.arguments import Search


class Limits(NamedTuple):
    """The limits of a search: reasons to end it before its time.

    Args:
      judge: ``result so far -> reason``, empty to go on; ``None`` never stops.
      drains: whether blocks that are in flight then are kept.
      keeps: whether Ctrl-C ends the search with what there is, if there is a score.
    """

    judge: Callable[[Result], str] | None = None
    drains: bool = False
    keeps: bool = False


UNLIMITED = Limits()


class SoFar(NamedTuple):
    """The rounds of a search until now; the last one may be open.

    Args:
      history: the trials of each.
      rounds: the outcome of each.
      boxes: the space of each.
    """

    history: tuple[Trials, ...] = ()
    rounds: tuple[Training, ...] = ()
    boxes: tuple[Space, ...] = ()

    def plus(self, search: Search, training: Training) -> SoFar:
        """Return these rounds and another one."""
        number, final = len(self.rounds), training.final
        ids = self.ids(len(final.points))
        schedule = search.schedule
        again = repeats_in(schedule, number, self.history, final.hparams)
        space, metric, folds = schedule.space, search.metric, search.folds
        budget_rows = search.workload.budget_rows
        rows = rows_of(space, number, ids, training, metric, folds, again, budget_rows)
        return SoFar(
            (*self.history, rows),
            (*self.rounds, training),
            (*self.boxes, final.space),
        )

    def ids(self, count: int) -> np.ndarray:
        """Return the ids ``[count]`` of the next trials."""
        first = sum(map(len, self.history))
        return np.arange(first, first + count)

    def result(self, search: Search) -> Result:
        """Return the result of these rounds; there has to be one."""
        table = functools.reduce(Trials.append, self.history)
        return Result(table, self.boxes, search.setup, self.rounds)


class Follower(NamedTuple):
    """The progress display and the callbacks of a search.

    Args:
      report: shows the progress.
      callback: called with everything that users may want to follow.
      turns: epochs of all trainings until now, or values of a plain function, as a list
        of one number, which changes.
    """

    report: Report
    callback: Callback
    turns: list[int]
