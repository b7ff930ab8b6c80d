"""What every block of a search has in common."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax

from jaxtune.planning.layout import Layout, layout
from jaxtune.space import Space
from jaxtune.tasks import Task
from jaxtune.types import Key, Objective

CPU_WIDTH, ACCELERATOR_WIDTH, OBJECTIVE_WIDTH = 8, 512, 256


class Workload(NamedTuple):
    """What every block of a search has in common.

    Args:
      subject: a task or a plain function.
      key: root key.
      width: lanes in a block.
      epochs: how long every lane trains.
      layout: how shapes become programs.
      split: what is scored on.
      rates: what was measured to choose the width, see ``calibrate``.
      across: devices that share the lanes of a block: it is as if it were so much
        narrower.
    """

    subject: Task | Objective
    key: Key
    width: int
    epochs: int = 0
    layout: Layout = Layout()
    split: str = "valid"
    rates: tuple[tuple[int, float], ...] = ()
    across: int = 1

    def alone(self, epochs: int) -> Workload:
        """The same for a lane that is trained again, on one device."""
        width = self.width // self.across
        return self._replace(epochs=epochs, width=width, across=1)

    @property
    def trains(self) -> bool:
        """Whether trials are trained, or a plain function is evaluated."""
        return isinstance(self.subject, Task)

    @property
    def sample(self) -> Workload:
        """The same, on data that are at hand: for a stream, on its first rows.

        Its programs are as large and as fast as those of the search, and compute the
        same; what is asked of programs beforehand is asked of these.

        Raises:
          ValueError: a stream that brings less than a batch at once.
        """
        task, batching = self.subject, self.layout.batching
        if not isinstance(task, Task) or task.stream is None or batching is None:
            return self
        rows = min(task.stream.rows, task.examples)
        if rows < batching.micro:
            raise ValueError(
                f"stream: rows={rows} are less than a batch of {batching.micro}. Use "
                "more rows, or smaller batches."
            )
        fewer = batching._replace(examples=rows // batching.micro * batching.micro)
        return self._replace(
            subject=dataclasses.replace(task, train=task.held, shuffle=False),
            layout=self.layout._replace(batching=fewer),
        )


def prepare(
    subject: Task | Objective,
    space: Space,
    key: Key,
    epochs: int = 0,
    width: int | None = None,
    programs: int | None = None,
    platform: str | None = None,
) -> Workload:
    """What every block of a search over this space has in common.

    Args:
      subject: a task or a plain function.
      space: the whole space, before any zooming.
      key: root key.
      epochs: how long every lane trains.
      width: lanes in a block; chosen for the device if not given.
      programs: at most so many for padded shapes; chosen if not given.
      platform: of the devices, such as ``"cpu"``; this process's if not given.

    Returns:
      The workload, with the layout of its programs.

    Raises:
      ValueError: a space that the task cannot take.
    """
    on_cpu = (platform or jax.default_backend()) == "cpu"
    width = width or default_width(subject, on_cpu)
    plan = layout(subject, space, programs, on_cpu)
    return Workload(subject, key, width, epochs, plan)


def default_width(subject: Task | Objective, on_cpu: bool) -> int:
    """Lanes in a block. A constant of the device: a lane's rounding depends on it."""
    if not isinstance(subject, Task):
        return OBJECTIVE_WIDTH
    return CPU_WIDTH if on_cpu else ACCELERATOR_WIDTH
