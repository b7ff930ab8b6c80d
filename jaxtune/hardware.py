"""The kinds of device that plans know, and the constants of each.

``JAXTUNE_HARDWARE=accelerator`` makes a CPU count as an accelerator: wide blocks, two
of them in flight, the same rules for widths and programs. It makes a search on a CPU
slower, and is there to exercise those paths where no accelerator is at hand.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import jax

from jaxtune.environment import cores

SWITCH = "JAXTUNE_HARDWARE"


class Hardware(NamedTuple):
    """The constants of a kind of device.

    Args:
      name: of the kind.
      ahead: blocks in flight for each device; ``None`` for one on each core.
      width: lanes of a block where nothing else decides.
      widths: those that are measured for a long search, ascending.
      worth_measuring: operations of a search that is long enough to measure widths.
      worth_a_program: operations that one more program has to save in a search of
        usual size, about as many as take the time of compiling it.
    """

    name: str
    ahead: int | None
    width: int
    widths: tuple[int, ...]
    worth_measuring: float
    worth_a_program: float

    def places(self, devices: int) -> int:
        """Return the number of blocks that are in flight on some devices.

        >>> from jaxtune.hardware import ACCELERATOR
        >>> ACCELERATOR.places(devices=4)
        8

        Args:
          devices: of this process.
        """
        if self.ahead is None:
            return max(cores(), devices)
        return self.ahead * devices


# more than 8 lanes are a few per cent faster at best, and leave more of the last block
# of a round empty: benchmarks/README.md, "Scaling"
CPU = Hardware("cpu", None, 8, (1, 4, 16, 64), 1e13, 5e11)
# one block computes while the host prepares the next one
ACCELERATOR = Hardware("accelerator", 2, 512, (64, 256, 1024, 4096), 3e14, 5e13)
KINDS = {kind.name: kind for kind in (CPU, ACCELERATOR)}


def hardware_of(platform: str | None = None) -> Hardware:
    """Return the constants of a kind of device.

    >>> from jaxtune.hardware import hardware_of
    >>> hardware_of("tpu").name
    'accelerator'

    Args:
      platform: of the devices, as JAX calls it; this process's if not given.

    Raises:
      ValueError: a switch that names no kind.
    """
    chosen = os.environ.get(SWITCH)
    if chosen and chosen not in KINDS:
        raise ValueError(f"{SWITCH}={chosen!r}. Use one of: {', '.join(KINDS)}.")
    platform = platform or jax.default_backend()
    return KINDS[chosen or ("cpu" if platform == "cpu" else "accelerator")]
