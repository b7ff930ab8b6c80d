"""What every block of a search has in common."""

from __future__ import annotations

from typing import NamedTuple

import jax

from jaxtune.population.planner import Layout, layout
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
    """

    subject: Task | Objective
    key: Key
    width: int
    epochs: int = 0
    layout: Layout = Layout()
    split: str = "valid"
    rates: tuple[tuple[int, float], ...] = ()

    @property
    def trains(self) -> bool:
        """Whether trials are trained, or a plain function is evaluated."""
        return isinstance(self.subject, Task)


def prepare(
    subject: Task | Objective,
    space: Space,
    key: Key,
    epochs: int = 0,
    width: int | None = None,
    programs: int | None = None,
) -> Workload:
    """What every block of a search over this space has in common.

    Args:
      subject: a task or a plain function.
      space: the whole space, before any zooming.
      key: root key.
      epochs: how long every lane trains.
      width: lanes in a block; chosen for the device if not given.
      programs: at most so many for padded shapes; chosen if not given.

    Returns:
      The workload, with the layout of its programs.

    Raises:
      ValueError: a space that the task cannot take.
    """
    width = width or default_width(subject)
    return Workload(subject, key, width, epochs, layout(subject, space, programs))


def default_width(subject: Task | Objective) -> int:
    """Lanes in a block. A constant of the device: a lane's rounding depends on it."""
    if not isinstance(subject, Task):
        return OBJECTIVE_WIDTH
    return CPU_WIDTH if jax.default_backend() == "cpu" else ACCELERATOR_WIDTH
