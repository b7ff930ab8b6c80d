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

    The seconds and rates are those of `planning.cost`; ``benchmarks/rates.py`` measures
    them.

    Args:
      name: of the kind.
      ahead: blocks in flight for each device; ``None`` for one on each core.
      width: most lanes of a block that trains.
      widths: those that are measured for a long search, ascending.
      worth_measuring: operations of a search that is long enough to measure widths.
      launch: seconds of a kernel that computes next to nothing.
      operations: floating-point operations a second, of one block.
      bandwidth: bytes a second that one block writes; what it reads is in it.
      block: seconds that the host takes for a block.
      compile: seconds of compiling one more program of usual size.
      trained: operations a second of whole trainings, in all places together.
      side_by_side: numbers of blocks that run at once on machines of this kind; what a
        width costs is the sum over all of them, so that it suits each.
      memory: bytes of a device that does not tell.
    """

    name: str
    ahead: int | None
    width: int
    widths: tuple[int, ...]
    worth_measuring: float
    launch: float
    operations: float
    bandwidth: float
    block: float
    compile: float
    trained: float
    side_by_side: tuple[int, ...]
    memory: float

    @property
    def worth_a_program(self) -> float:
        """Operations that one more program has to save in a search of usual size."""
        return self.compile * self.trained

    @property
    def has_own_memory(self) -> bool:
        """True where states must be copied to the host, since memory is not shared."""
        return self.ahead is not None

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


CPU = Hardware(
    name="cpu",
    ahead=None,
    # more than 8 lanes are a few per cent faster at best, and leave more of the last
    # block of a round empty: benchmarks/README.md, "Scaling"
    width=8,
    widths=(1, 4, 16, 64),
    worth_measuring=1e13,
    launch=2.3e-7,
    operations=7e10,
    bandwidth=8e9,
    block=2e-3,
    compile=2.5,
    trained=2e11,
    side_by_side=(2, 4),
    memory=4e9,
)
# of one H100 (80GB HBM3, jax 0.11.2). Launches and bandwidth are those that fit the
# rates of networks of 128 and 16 units in blocks of 64 to 4096 lanes (tests/test_cost):
# about 32 kernels take 32 microseconds, and a lane's step writes 215 kB in .23.
# Products as small as theirs reach 34 TFLOP/s there, the training of 128 units 12; the
# three large programs of a search of nine hyperparameters compile for 6.8 s
ACCELERATOR = Hardware(
    name="accelerator",
    # one block computes while the host prepares the next one
    ahead=2,
    width=4096,
    widths=(64, 256, 1024, 4096),
    worth_measuring=3e14,
    launch=1e-6,
    operations=3.4e13,
    bandwidth=9.5e11,
    block=1e-3,
    compile=2.3,
    trained=1.2e13,
    side_by_side=(1,),
    memory=16e9,
)
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
