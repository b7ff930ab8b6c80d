"""The workload of a search: everything that all its blocks have in common."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from jaxtune.brevity import brief
from jaxtune.planning.layout import Layout, with_examples
from jaxtune.planning.scoring import Scoring
from jaxtune.tasks import Task
from jaxtune.types import Key


@brief
class Workload(NamedTuple):
    """Everything that the blocks of a search have in common.

    Args:
      task: the task; ``None`` in a run that was loaded without it.
      key: root key.
      width: lanes in a block.
      epochs: epochs of a full training; 0 for a plain function.
      layout: how shapes become programs.
      split: the split to score on.
      rates: the measurements that led to the width, see `choose_width`.
      across: number of devices that share the lanes of a block: the bits are those of a
        block of ``width / across`` lanes.
      scoring: the rule by which lanes get their metrics.
      keep: ``"predictions"`` if those on the validation split are kept.
      shared: trials, one after another, that draw the same random numbers: the values
        that a study compares.
      budget_rows: training rows of a lane, if budgets are shares of them; 0 if they
        are epochs.
    """

    task: Task
    key: Key
    width: int
    epochs: int = 0
    layout: Layout = Layout()
    split: str = "valid"
    rates: tuple[tuple[int, float], ...] = ()
    across: int = 1
    scoring: Scoring = Scoring()
    keep: str | None = None
    shared: int = 1
    budget_rows: int = 0

    def alone(self, epochs: int) -> Workload:
        """Return the workload of a lane that is trained again, on one device."""
        width = self.width // self.across
        # a training on a subset of the rows takes all epochs
        length = self.epochs if self.budget_rows else epochs
        return self._replace(epochs=length, width=width, across=1)

    @property
    def trains(self) -> bool:
        """True if trials are trained, false if a plain function is evaluated."""
        # the task is not at hand in a run that was loaded without it
        return self.epochs > 0 if self.task is None else self.task.trains

    @property
    def added(self) -> tuple[str, ...]:
        """Names of the columns that the table has beside the usual ones."""
        return (*self.scoring.added, *(["examples"] if self.budget_rows else []))

    @property
    def budget(self) -> int:
        """Length of a whole training in turns: its epochs, or 1 for a function."""
        # with no turn at all, a plain function would have arrived before it began
        return max(1, self.epochs)

    @property
    def on_all_rows(self) -> Workload:
        """The workload of a training on all training data, without folds.

        There is no validation split then, so it is scored on what it has trained on.
        """
        task = dataclasses.replace(self.task, folds=None)
        return self._replace(
            task=task,
            layout=with_examples(self.layout, task, self.epochs),
            budget_rows=self.budget_rows and task.examples,
            split="train" if self.split == "valid" else self.split,
        )

    @property
    def sample(self) -> Workload:
        """The workload on data that are at hand: for a stream, on its first rows.

        Its programs are as large and as fast as those of the search, and compute the
        same, so these are traced and measured in their place.

        Raises:
          ValueError: a stream that reads less than a batch at once.
        """
        task, batching = self.task, self.layout.batching
        if task.stream is None or batching is None:
            return self
        rows = min(task.stream.rows, task.examples)
        if rows < batching.micro:
            raise ValueError(
                f"stream: rows={rows} are less than a batch of {batching.micro}. Use "
                "more rows, or smaller batches."
            )
        # whole micro-batches only, as in an epoch of the search
        fewer = batching._replace(examples=rows // batching.micro * batching.micro)
        return self._replace(
            task=dataclasses.replace(task, train=task.held, shuffle=False),
            layout=self.layout._replace(batching=fewer),
        )
