"""The bytes that a lane reads and writes in a training step, counted in its jaxpr.

A block on a CPU is fast while the bytes of all its lanes stay in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from jaxtune.planning.flops import inner_programs

# XLA writes the results of these to memory, and computes most others where they are
# read; loops count for what they stack up
WRITTEN = (
    *("dot_general", "conv_general_dilated", "gather", "scatter-add", "sort"),
    *("reduce_window_max", "reduce_window_sum", "select_and_scatter_add"),
    *("scan", "while"),
)


def bytes_in_a_step(program: Any) -> int:
    """Return the bytes that a lane touches in a training step.

    Args:
      program: the jaxpr of one lane's training, from `jaxtune.planning.tracing`.

    Returns:
      The bytes of its state (parameters, moments, statistics) and of the activations
      and gradients that a step writes. For a program without a loop, those of the
      whole program.
    """
    loops = list(_loops(program))
    if not loops:
        return written(program)
    # of all loops, that over micro-batches returns most arrays: a lane's whole state
    return _touched(max(loops, key=lambda loop: len(loop.outvars)))


def _loops(program: Any) -> Iterator[Any]:
    """Yield the outermost scans of a program."""
    for equation in program.eqns:
        if equation.primitive.name == "scan":
            yield equation
            continue
        for inner in inner_programs(equation):
            yield from _loops(inner)


def _touched(loop: Any) -> int:
    (body,) = inner_programs(loop)
    return sum(map(size_of, body.outvars)) + written(body)


def written(program: Any) -> int:
    """Return the bytes of all that a program writes to memory, each turn once."""
    total = 0
    for equation in program.eqns:
        if equation.primitive.name in WRITTEN:
            total += sum(map(size_of, equation.outvars))
        total += sum(map(written, inner_programs(equation)))
    return total


def size_of(variable: Any) -> int:
    """Return the bytes of a value in a jaxpr."""
    shape = getattr(variable.aval, "shape", ())
    return math.prod(shape) * getattr(variable.aval.dtype, "itemsize", 0)
