"""Device memory that a program needs; nothing is allocated to find out."""

from __future__ import annotations

import os
import sys
from typing import Any

from jaxtune.planning.workload import Workload
from jaxtune.programs import block as block_program
from jaxtune.programs.block import Block, Static


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
