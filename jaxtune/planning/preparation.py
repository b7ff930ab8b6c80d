"""From a task and a space to the workload of a search."""

from __future__ import annotations

import jax

from jaxtune.forms import AS_WRITTEN, runs_lane_by_lane, table_for
from jaxtune.hardware import CPU, Hardware, hardware_of
from jaxtune.planning.layout import lay_out
from jaxtune.planning.touched import bytes_in_a_step
from jaxtune.planning.tracing import trace
from jaxtune.planning.workload import Workload
from jaxtune.space import Space
from jaxtune.tasks import Task
from jaxtune.tasks.optimizer_argument import lengths_read
from jaxtune.types import Key

OBJECTIVE_WIDTH = 256
CACHE = 16 * 2**20  # bytes of a block's step


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
      width: lanes in a block; chosen for the task and the device if not given.
      programs: at most so many for padded shapes; chosen if not given.
      platform: of the devices, such as ``"cpu"``; this process's if not given.
      rewrite: whether slow operations are put into the forms of `jaxtune.forms`.

    Returns:
      The workload, with the layout of its programs.

    Raises:
      ValueError: a space that the task cannot take.
    """
    platform = platform or jax.default_backend()
    device = hardware_of(platform)
    forms = table_for(platform) if rewrite else AS_WRITTEN
    layout = lay_out(task, space, programs, device)._replace(forms=forms)
    if layout.batching is not None and lengths_read(task.optimizer):
        # compiled into the programs of such a task, as optax's own schedules need it;
        # the programs of others serve any number of epochs
        batching = layout.batching._replace(epochs=epochs)
        layout = layout._replace(batching=batching)
    workload = Workload(task, key, width or 0, epochs, layout)
    return workload if width else _with_width(workload, space, device)


def _with_width(workload: Workload, space: Space, device: Hardware) -> Workload:
    """Choose the lanes in a block, from the task, the space and the kind of device."""
    # the last bits of a lane depend on the width, so it must not depend on the load,
    # nor on the number of trials
    if not workload.trains:
        width = OBJECTIVE_WIDTH
    elif device == CPU:
        width = _width_in_cache(workload, space)
    else:
        width = device.width
    return workload._replace(width=width)


def _width_in_cache(workload: Workload, space: Space) -> int:
    """Return the lanes of a block whose steps stay in a CPU's cache."""
    traced = trace(workload, space)
    forms = workload.layout.forms
    if any(runs_lane_by_lane(program.jaxpr, forms) for program in traced):
        return 1
    largest = max(bytes_in_a_step(program.jaxpr.jaxpr) for program in traced)
    width = CPU.width
    while width > 1 and width * largest > CACHE:
        width //= 2
    return width
