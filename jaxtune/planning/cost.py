"""The seconds that a block takes, estimated from the jaxpr of one lane.

A kernel takes as long as its launch, or as what it computes or moves for all lanes,
whichever is longer. Only ratios matter here: they choose between widths.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from jaxtune.hardware import Hardware
from jaxtune.planning.flops import count_operations, inner_programs
from jaxtune.planning.touched import WRITTEN, size_of

# each of these is a kernel of its own beside those that write to memory
REDUCTIONS = (
    *("reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "argmax", "argmin"),
    *("reduce_and", "reduce_or", "cumsum", "cumlogsumexp", "threefry2x32"),
)
LOOPS = ("scan", "while")


class LaneCost(NamedTuple):
    """The work of one lane: of an epoch, or of a value of a plain function.

    Args:
      kernels: that are launched, one after another; the same for any number of lanes.
      operations: floating-point operations.
      bytes: that these kernels write to memory.
    """

    kernels: float
    operations: float
    bytes: float


def cost_of(program: Any) -> LaneCost:
    """Return the cost of a program; a loop of unknown length counts one turn.

    Args:
      program: the jaxpr of one lane.
    """
    kernels, written = _kernels(program)
    return LaneCost(1 + kernels, count_operations(program), written)


def seconds_of_a_block(cost: LaneCost, lanes: int, device: Hardware) -> float:
    """Return the seconds of a block on one device, without what the host adds.

    >>> from jaxtune.hardware import ACCELERATOR
    >>> small = LaneCost(kernels=24, operations=4e6, bytes=5e5)
    >>> one, many = (seconds_of_a_block(small, n, ACCELERATOR) for n in (1, 64))
    >>> many < 2 * one
    True

    Args:
      cost: of one lane.
      lanes: of the block.
      device: its kind.
    """
    launches = cost.kernels * device.launch
    moved = lanes * cost.bytes / device.bandwidth
    computed = lanes * cost.operations / device.operations
    # the kernels of a program are of many sizes: where launches and work take about
    # the same time, some wait for the one and some for the other
    return math.hypot(launches, max(moved, computed))


def _kernels(program: Any) -> tuple[float, float]:
    """Return the kernels of a program, and the bytes of what they write."""
    kernels, written = 0.0, 0.0
    for equation in program.eqns:
        name, inner = equation.primitive.name, inner_programs(equation)
        times = equation.params.get("length", 1) if name == "scan" else 1
        for body in inner:
            # what a turn of a loop hands on is computed by kernels of its own
            handed = body.outvars if name in LOOPS else []
            some, more = _kernels(body)
            kernels += times * (some + len(handed))
            written += times * (more + sum(map(size_of, handed)))
        if not inner and name in (*WRITTEN, *REDUCTIONS):
            kernels += 1
        if not inner and name in WRITTEN:
            written += sum(map(size_of, equation.outvars))
    return kernels, written
