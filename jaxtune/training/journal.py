"""What a search tells whoever remembers it, and may be told again.

A search is a function of its arguments, so all that a record must hold are the steps
that are expensive or whose last bits belong to one machine: the points of a round, what
finished blocks measured, how trials were varied, and how a round ended. A search that
goes on runs the same loop; it is told what is known, and computes the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxtune.programs.job import Finished
from jaxtune.space.points import Points
from jaxtune.training.lineage import Lineage


class BlockAssignment(NamedTuple):
    """The lanes of a block, and how far it trains them.

    Args:
      trial: ``[m]`` int.
      seed: ``[m]`` int.
      epochs: ``[m]`` int, trained when the block is done; 0 for plain functions.
      arrives: ``[m]`` bool, the lanes that are scored then.
      trains: epochs that the block trains each of them.
    """

    trial: np.ndarray
    seed: np.ndarray
    epochs: np.ndarray
    arrives: np.ndarray
    trains: int


class Journal:
    """The memory of one search, told of everything in order; this one forgets it all.

    Mutable: it numbers the blocks. A journal that remembers overrides every method.
    """

    def __init__(self) -> None:
        self._block = 0
        self._chosen: int | None = None

    def begin(self, number: int, make: Callable[[], Points]) -> Points:
        """Begin a round: its points as remembered, or made and remembered now."""
        return make()

    def ended(self, number: int) -> tuple[Points, Any] | None:
        """A round that is over, the points it began with and its ``Training``."""
        return None

    def end(self, number: int, training: Any) -> None:
        """Remember how a round ended."""

    def vary(
        self, make: Callable[[], tuple[Points, Lineage]]
    ) -> tuple[Points, Lineage]:
        """Trials took over states: what they go on with, remembered or made now."""
        return make()

    def choose(self, width: int) -> None:
        """Blocks that are not remembered have this many lanes from now on."""
        self._chosen = width

    def width(self, usual: int) -> int:
        """Lanes in the next block: those it had, if it is remembered."""
        return self._chosen or usual

    def packed(self, usual: int) -> int:
        """Lanes for which the next blocks are put together, or were."""
        return self.width(usual)

    def enter(self, work: BlockAssignment) -> tuple[int, Finished | None]:
        """The next block: its number, and what it measured if that is remembered."""
        self._block += 1
        return self._block - 1, None

    def device(self, block: int) -> str:
        """The kind of device that ran a block; nothing if that is not remembered."""
        return ""

    def back(self, block: int) -> None:
        """Blocks from this one on did not finish; it is the next one again."""
        self._block = block

    def keep(
        self,
        block: int,
        work: BlockAssignment,
        finished: Finished,
        width: int,
        device: str,
        state: list[np.ndarray],
        unneeded: list[int],
    ) -> None:
        """Remember a block, the states of those that go on, and forget older states."""

    def state(self, block: int) -> list[np.ndarray]:
        """The states that were kept with a block: leaves ``[k, ...]``."""
        raise AssertionError(f"nobody kept the states of block {block}")
