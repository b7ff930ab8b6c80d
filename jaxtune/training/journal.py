"""The memory of a search: everything that happened, in order.

A search is a function of its arguments, so a record must hold only the steps that are
expensive or whose last bits belong to one machine: the points of a round, the results
of blocks, the configurations after takeovers, and the end of a round. A search that is
resumed runs the same loop; its journal returns what is known, and the rest is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxtune.programs.job import BlockResult
from jaxtune.space.points import Points
from jaxtune.training.packing import Segment
from jaxtune.training.state_store import RecordedStates, StateStore
from jaxtune.training.trajectory import Lineage


class BlockAssignment(NamedTuple):
    """The lanes of a block, and how far it trains them.

    Args:
      trial: ``[m]`` int.
      seed: ``[m]`` int.
      epochs: ``[m]`` int, trained when the block has finished; 0 for plain functions.
      arrives: ``[m]`` bool, the lanes that are scored then.
      trains: epochs that the block trains each of them.
    """

    trial: np.ndarray
    seed: np.ndarray
    epochs: np.ndarray
    arrives: np.ndarray
    trains: int


class FinishedBlock(NamedTuple):
    """A block that has finished, now or before a search was resumed.

    While a block is in flight, the runner holds one of these with an empty result.

    Args:
      segment: the lanes of the round that it trained.
      number: of the block.
      width: its lanes, padding included.
      assignment: the same lanes by trial and seed, and how far they trained.
      result: its metrics, statuses and states.
      new: whether it ran now.
    """

    segment: Segment
    number: int
    width: int
    assignment: BlockAssignment
    result: BlockResult
    new: bool = False


class Journal:
    """The journal of one search; this one only numbers the blocks and forgets the rest.

    Mutable. A journal that remembers overrides all but `set_width` and `rewind`.
    """

    remembered = 0  # blocks that it knew when the search began
    stopped = ""  # why the search ended before its time

    def __init__(self) -> None:
        # the number is the block's name on record: blocks are looked up in their order
        self._block = 0
        self._chosen: int | None = None

    def begin(self, number: int, make: Callable[[], Points]) -> Points:
        """Return the points of a round: as remembered, or made and remembered now.

        A round that is remembered may have more of them, see `add`.
        """
        # make is called only for a new round: a sampler may have to fit a model
        return make()

    def add(self, number: int, more: Points) -> None:
        """Remember more points of a round, behind those that it began with."""

    def ended(self, number: int) -> tuple[Points, Any] | None:
        """Return the points and the ``Training`` of a round; ``None`` if it is open."""
        return None

    def begun(self, number: int) -> bool:
        """Return whether it remembers the beginning of a round."""
        return False

    def end(self, number: int, training: Any) -> None:
        """Remember the end of a round."""

    def explore(
        self, make: Callable[[], tuple[Points, Lineage]]
    ) -> tuple[Points, Lineage]:
        """Return the configurations after takeovers: remembered, or made now."""
        return make()

    def set_width(self, width: int) -> None:
        """Give blocks that are not remembered this many lanes from now on."""
        self._chosen = width

    def width(self, usual: int) -> int:
        """Return the lanes of the next block: those it had, if it is remembered."""
        # a width that was halved once stays: the usual one would not fit again either
        return self._chosen or usual

    def packing_width(self, usual: int) -> int:
        """Return the width that the next blocks are, or were, packed for."""
        return self.width(usual)

    def lookup_block(
        self, assignment: BlockAssignment
    ) -> tuple[int, BlockResult | None]:
        """Return the number of the next block, and its result if it is remembered."""
        self._block += 1
        return self._block - 1, None

    def rewind(self, block: int) -> None:
        """Go back to a block: it and those after it did not finish."""
        self._block = block

    def keep(self, block: FinishedBlock, states: StateStore) -> None:
        """Remember a block, and its states; forget those that nothing needs any more.

        Args:
          block: a new one.
          states: of the round, after this block.
        """

    def forget(self, block: int) -> None:
        """Forget a block, so that it is trained again."""

    def states(self, block: int) -> RecordedStates:
        """Return the states that were recorded with a block."""
        # this journal reports no block as known, so all states are in memory
        raise AssertionError(f"no journal keeps the states of block {block}")
