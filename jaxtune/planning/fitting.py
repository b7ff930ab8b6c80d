"""The width of a block for the lanes of a search: no wider than its work.

The last bits of a lane depend on the width, so it follows from the arguments of a
search and the kind of device alone: never from the load, nor from the number of cores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from jaxtune.checks import warn
from jaxtune.hardware import Hardware, hardware_of
from jaxtune.planning.cost import LaneCost, cost_of, seconds_of_a_block
from jaxtune.planning.loads import Load, of_each_program
from jaxtune.planning.tracing import Traced
from jaxtune.planning.workload import Workload
from jaxtune.space import Space

DIVISIONS = 16  # blocks at most that a load is divided into evenly
DIVIDED = 16  # loads that are, the largest first
NEARLY = 1.1
FEW = 16  # lanes of a narrow block: its padding matters little


class Fitted(NamedTuple):
    """A width, with the reason in a few words."""

    width: int
    why: str


def fit_width(
    workload: Workload,
    space: Space,
    traced: tuple[Traced, ...],
    loads: Sequence[Load],
    across: int = 1,
    platform: str | None = None,
) -> Fitted:
    """Return the width that trains the lanes of a search in the least time.

    Args:
      workload: its width is the widest that is tried.
      space: the whole space.
      traced: the programs of the search.
      loads: the lanes of all its programs together, from `loads_of`.
      across: devices that share the lanes of a block.
      platform: of the devices; this process's if not given.
    """
    device = hardware_of(platform)
    costs = [cost_of(one.jaxpr.jaxpr) for one in traced]
    cost = max(costs, key=lambda one: seconds_of_a_block(one, 1, device))
    each = of_each_program(loads, workload.layout, space)
    widest = max(load.lanes for load in each)
    width = fastest(cost, each, workload.width, device, across)
    if width >= widest:
        return Fitted(width, "all lanes of a round")
    if width >= workload.width:
        return Fitted(width, "the most for this task on this kind of device")
    return Fitted(width, f"{-(-widest // width)} blocks for the lanes of a round")


def fastest(
    cost: LaneCost,
    loads: Counter[Load],
    most: int,
    device: Hardware,
    across: int = 1,
) -> int:
    """Return the width of the least time by the model of `planning.cost`.

    >>> from jaxtune.hardware import ACCELERATOR
    >>> small = LaneCost(kernels=24, operations=4e6, bytes=5e5)
    >>> [
    ...     fastest(small, Counter([Load(lanes, 10)]), 4096, ACCELERATOR)
    ...     for lanes in (8, 64, 5000)
    ... ]
    [8, 64, 2500]

    Args:
      cost: of one lane and turn.
      loads: of each program, counted.
      most: the widest that is tried, on one device.
      device: its kind.
      across: devices that share the lanes of a block.
    """

    def seconds(width: int) -> tuple[float, int]:
        # of two that are equal the narrower one
        return seconds_of_loads(cost, loads, width, device, across), width

    lanes = sorted({load.lanes for load in loads}, reverse=True)[:DIVIDED]
    tried = {2**power for power in range(most.bit_length())} | {most}
    tried |= {-(-n // k) for n in lanes for k in range(1, DIVISIONS + 1)}
    tried |= {-(-n // -(-n // most)) for n in lanes}
    # rounded up: a share of a block has to be whole
    shared = {-(-width // across) * across for width in tried if width <= most * across}
    best = min(shared, key=seconds)
    usual = most * across
    if max(most, device.width) > FEW or usual > lanes[0]:
        return best
    # the model errs by as much, and the usual width is that of other searches
    return usual if seconds(usual)[0] <= NEARLY * seconds(best)[0] else best


def seconds_of_loads(
    cost: LaneCost,
    loads: Counter[Load],
    width: int,
    device: Hardware,
    across: int = 1,
) -> float:
    """Return the seconds of some loads in blocks of a width; see `fastest`."""
    turn = seconds_of_a_block(cost, width // across, device)
    total = 0.0
    for load, count in loads.items():
        blocks = -(-load.lanes // width)
        for places in device.side_by_side:
            waves = -(-blocks // places)
            total += count * (waves * load.turns * turn + blocks * device.block)
    return total


def occupancy_of(loads: Sequence[Load], width: int) -> float:
    """Return the share of lanes that are no padding, if all have one program."""
    live = sum(load.lanes * load.turns for load in loads)
    computed = sum(-(-load.lanes // width) * width * load.turns for load in loads)
    return live / computed


def warn_if_empty(loads: Sequence[Load], block: int) -> None:
    """Warn where most lanes of the blocks that a user chose are padding."""
    share = occupancy_of(loads, block)
    if share < 0.5 and block > FEW:
        largest = max(load.lanes for load in loads)
        warn(
            f"block={block}: {1 - share:.0%} of the lanes that are computed are empty, "
            f"since no more than {largest} train together. Leave block out, or use at "
            f"most block={largest}.",
        )
