"""From a task and a space to the workload of a search."""

from __future__ import annotations

import jax

from jaxtune.forms import AS_WRITTEN, runs_lane_by_lane, table_for
from jaxtune.hardware import CPU, Hardware, hardware_of
from jaxtune.planning.cost import cost_of, seconds_of_a_block
from jaxtune.planning.layout import lay_out
from jaxtune.planning.memory import bytes_of_a_lane, room_for_a_block
from jaxtune.planning.touched import bytes_in_a_step, written
from jaxtune.planning.tracing import Traced, trace
from jaxtune.planning.workload import Workload
from jaxtune.space import Space
from jaxtune.tasks import Task
from jaxtune.tasks.optimizer_argument import lengths_read
from jaxtune.types import Key

OBJECTIVE_WIDTH = 256  # values of a plain function that fill a block
MOST_VALUES = 2**16
LONG = 0.1  # seconds of a block of values, by the model
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
      width: lanes in a block; if not given, the most that suit the task and the
        device.
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
    return workload if width else _widest(workload, space, device, platform)


def _widest(
    workload: Workload, space: Space, device: Hardware, platform: str
) -> Workload:
    """Choose the most lanes in a block, from the task, the space and the device.

    A search has blocks of fewer lanes where it has less work, see `planning.fitting`.
    """
    traced = trace(workload, space)
    if not workload.trains:
        width = _width_of_values(traced, device)
    elif device == CPU:
        return workload._replace(width=_width_in_cache(workload, traced))
    else:
        width = device.width
    needs = bytes_of_a_lane(traced)
    room = room_for_a_block(workload.task, device, platform)
    while width > 1 and width * needs > room:
        width //= 2
    return workload._replace(width=width)


def _width_in_cache(workload: Workload, traced: tuple[Traced, ...]) -> int:
    """Return the lanes of a block whose steps stay in a CPU's cache."""
    forms = workload.layout.forms
    if any(runs_lane_by_lane(program.jaxpr, forms) for program in traced):
        return 1
    largest = max(bytes_in_a_step(program.jaxpr.jaxpr) for program in traced)
    width = CPU.width
    while width > 1 and width * largest > CACHE:
        width //= 2
    return width


def _width_of_values(traced: tuple[Traced, ...], device: Hardware) -> int:
    """Return the most values of a plain function that are computed together."""
    programs = [program.jaxpr.jaxpr for program in traced]
    largest = max(map(written, programs))
    costs = [cost_of(program) for program in programs]

    def is_long(width: int) -> bool:
        times = [seconds_of_a_block(cost, width, device) for cost in costs]
        return max(times) > LONG or width * largest > CACHE

    width = MOST_VALUES
    # many small values share what a block costs the host; large ones gain nothing, and
    # more cores than are planned for can share more blocks
    while width > OBJECTIVE_WIDTH and is_long(width):
        width //= 2
    return width
