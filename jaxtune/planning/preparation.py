"""From a task and a space to the workload of a search."""

from __future__ import annotations

import jax

from jaxtune.forms import AS_WRITTEN, table_for
from jaxtune.planning.layout import lay_out
from jaxtune.planning.workload import Workload
from jaxtune.space import Space
from jaxtune.tasks import Task
from jaxtune.types import Key

CPU_WIDTH, ACCELERATOR_WIDTH, OBJECTIVE_WIDTH = 8, 512, 256


def prepare(
    task: Task,
    space: Space,
    key: Key,
    epochs: int = 0,
    width: int | None = None,
    programs: int | None = None,
    platform: str | None = None,
    rewrite: bool = True,
) -> Workload:
    """Return the workload of a search over this space.

    Args:
      task: a task, checked.
      space: the whole space, before any zooming.
      key: root key.
      epochs: epochs of a full training; 0 for a plain function.
      width: lanes in a block; chosen for the device if not given.
      programs: at most so many for padded shapes; chosen if not given.
      platform: of the devices, such as ``"cpu"``; this process's if not given.
      rewrite: whether slow operations are put into the forms of `jaxtune.forms`.

    Returns:
      The workload, with the layout of its programs.

    Raises:
      ValueError: a space that the task cannot take.
    """
    platform = platform or jax.default_backend()
    on_cpu = platform == "cpu"
    width = width or default_width(task, on_cpu)
    layout = lay_out(task, space, programs, on_cpu)
    forms = table_for(platform) if rewrite else AS_WRITTEN
    return Workload(task, key, width, epochs, layout._replace(forms=forms))


def default_width(task: Task, on_cpu: bool) -> int:
    """Return the lanes in a block, a constant of the device."""
    # the last bits of a lane depend on the width, so it must not depend on the load
    if not task.trains:
        return OBJECTIVE_WIDTH
    return CPU_WIDTH if on_cpu else ACCELERATOR_WIDTH
