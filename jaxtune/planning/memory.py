"""What a program takes of a device's memory; nothing is allocated to ask."""

from __future__ import annotations

import os
import sys
from typing import Any

from jaxtune.planning.workload import Workload
from jaxtune.programs import block as blocks
from jaxtune.programs.block import Block, Static


def footprint(workload: Workload, block: Block, static: Static) -> int:
    """Bytes of arguments, results and temporaries of the program that takes most.

    Args:
      workload: the task or function.
      block: any block of the width in question.
      static: what its program is compiled for.

    Returns:
      Bytes; 0 where the compiler does not say.
    """
    subject: Any = workload.sample.subject
    call = (subject, workload.key, block)
    if workload.trains:
        started = blocks.shape(*call, static)
        lowered = blocks.advance.lower(*call, started, workload.epochs, static)
    else:
        lowered = blocks.measure.lower(*call, static)
    said = lowered.compile().memory_analysis()
    if said is None:
        return 0
    return int(
        said.argument_size_in_bytes
        + said.output_size_in_bytes
        + said.temp_size_in_bytes
        - said.alias_size_in_bytes
    )


def available(device: Any) -> int:
    """Bytes that a device has for us; of a CPU half of what the machine has.

    Where nobody says, as on Windows, no limit: a block that does not fit is halved.
    """
    said = device.memory_stats() or {}
    if "bytes_limit" in said:
        return said["bytes_limit"] - said.get("bytes_in_use", 0)
    if not hasattr(os, "sysconf"):
        return sys.maxsize
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
