"""Device memory that a program needs; nothing is allocated to find out."""

from __future__ import annotations

import os
import sys
from typing import Any

import jax

from jaxtune.hardware import Hardware
from jaxtune.planning.touched import size_of, written
from jaxtune.planning.tracing import Traced
from jaxtune.planning.workload import Workload
from jaxtune.programs import block as block_program
from jaxtune.programs.block import Block, Static
from jaxtune.tasks import Task

SHARE = 0.9  # of a device's memory; the rest is for what the allocator cannot use


def footprint(workload: Workload, block: Block, static: Static) -> int:
    """Return the bytes of arguments, results and temporaries of the largest program.

    Args:
      workload: the task.
      block: any block of the width in question.
      static: values that its program is compiled for.

    Returns:
      Bytes; 0 where the compiler states none.
    """
    task, key = workload.sample.task, workload.key
    if task.trains:
        started = block_program.shape(task, key, block, static)
        lowered = block_program.advance.lower(
            task, key, block, started, workload.epochs, static
        )
    else:
        lowered = block_program.measure.lower(task, key, block, workload.split, static)
    needs = lowered.compile().memory_analysis()
    if needs is None:
        return 0
    # donated arguments are counted twice, once as an argument and once as an output
    return int(
        needs.argument_size_in_bytes
        + needs.output_size_in_bytes
        + needs.temp_size_in_bytes
        - needs.alias_size_in_bytes
    )


def bytes_of_a_lane(traced: tuple[Traced, ...]) -> int:
    """Return the bytes that one more lane takes, counted before anything is compiled.

    Args:
      traced: the programs of a search.

    Returns:
      The state of a lane twice, before and after a segment, with all that a step and an
      evaluation write: at least what the compiler needs, since it shares memory.
    """
    return max(map(_of_a_program, traced))


def _of_a_program(program: Traced) -> int:
    jaxpr = program.jaxpr.jaxpr
    # beside a few metrics, a lane's program returns its whole state
    return 2 * sum(map(size_of, jaxpr.outvars)) + written(jaxpr)


def room_for_a_block(task: Task, device: Hardware, platform: str) -> float:
    """Return the bytes that a block may take, beside the data and blocks in flight.

    What is free at the moment is not looked at, so that a width is that of a kind of
    device.

    Args:
      task: with its data.
      device: its kind.
      platform: of the devices, as JAX calls it.
    """
    arrays = jax.tree.leaves((task.train, task.valid, task.test, task.folds))
    data = sum(getattr(array, "nbytes", 0) for array in arrays)
    blocks = device.ahead or max(device.side_by_side)
    return SHARE * (_limit(device, platform) - data) / blocks


def _limit(device: Hardware, platform: str) -> float:
    """Return the bytes of a device; those of its kind where it is not at hand."""
    if platform != jax.default_backend():
        return device.memory
    known = jax.local_devices()[0].memory_stats() or {}  # None for a CPU
    return known.get("bytes_limit", device.memory)


def available(device: Any) -> int:
    """Return the available device memory in bytes; for a CPU, half of physical memory.

    Where the system states none, as on Windows, there is no limit: a block that does
    not fit is halved.
    """
    known = device.memory_stats() or {}  # None for a CPU
    if "bytes_limit" in known:
        return known["bytes_limit"] - known.get("bytes_in_use", 0)
    if not hasattr(os, "sysconf"):
        return sys.maxsize
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
