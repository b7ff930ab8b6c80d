"""States of lanes that wait for their next segment: on the host, or on record.

The device holds the blocks that train, however many lanes wait.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from functools import cache

import numpy as np

from jaxtune.programs.transfer import from_host
from jaxtune.types import PyTree


@dataclasses.dataclass
class StoredState:
    """One lane's state; lanes that took it over share it until they train on.

    Args:
      block: number of the block after which it was kept.
      place: its index among the states kept then.
      row: its row in memory; ``None`` if it is only on record.
      users: number of lanes that will train on from it.
    """

    block: int
    place: int
    row: int | None = None
    users: int = 0


class StateStore:
    """Rows of stacked arrays, one for each state; a row is used again when it is free.

    Mutable, for one group of lanes of one round: their states have one shape.

    Args:
      shape: gives an abstract state, stacked or not.
      recall: the leaves ``[k, ...]`` that were kept with a block, by its number.
    """

    def __init__(
        self, shape: Callable[[], PyTree], recall: Callable[[int], list[np.ndarray]]
    ):
        self._shape, self._recall = cache(shape), recall
        self._states: dict[int, StoredState] = {}
        self._free: list[int] = []
        self._rows = 0
        self._leaves: list[np.ndarray] = []
        self._kept: Counter[int] = Counter()  # states in use, by block
        self._unneeded: list[int] = []

    def put(self, lanes: np.ndarray, block: int, state: list[np.ndarray]) -> None:
        """Keep the states of some lanes.

        Args:
          lanes: ``[k]`` int; none of them has a state here.
          block: number of the block that they come from.
          state: leaves ``[k, ...]``, from `to_host`; none if they are on record.
        """
        self._kept[block] = len(lanes)
        states = [StoredState(block, place) for place in range(len(lanes))]
        for lane, kept in zip(lanes.tolist(), states, strict=True):
            self._give(lane, kept)
        if state:
            self._store(states, state)

    def take(self, lanes: np.ndarray) -> PyTree:
        """Return stacked states ``[k, ...]``; ``KeyError`` for a lane without one."""
        states = [self._states[lane] for lane in lanes.tolist()]
        # of a resumed search, only the states that lanes train on from are read
        for block in {state.block for state in states if state.row is None}:
            self._load(block)
        rows = np.asarray([state.row for state in states])
        return from_host([leaf[rows] for leaf in self._leaves], self._shape())

    def share(self, lanes: np.ndarray) -> list[StoredState]:
        """Return the states of lanes, to be given to others."""
        states = [self._states[lane] for lane in lanes.tolist()]
        # counted as users already, so that drop() in between frees none of them
        for state in states:
            state.users += 1
        return states

    def give(self, lanes: np.ndarray, states: list[StoredState]) -> None:
        """Give shared states to lanes."""
        for lane, state in zip(lanes.tolist(), states, strict=True):
            self._give(lane, state)
            state.users -= 1

    def drop(self, lanes: np.ndarray) -> None:
        """Remove the states of lanes; a lane without one is ignored."""
        for lane in lanes.tolist():
            state = self._states.pop(lane, None)
            if state is None:
                continue
            state.users -= 1
            if state.users:
                continue
            if state.row is not None:
                self._free.append(state.row)
            self._kept[state.block] -= 1
            if not self._kept[state.block]:
                self._unneeded.append(state.block)

    def pop_unneeded(self) -> list[int]:
        """Return blocks with saved states that can be deleted; each of them once."""
        blocks, self._unneeded = self._unneeded, []
        return blocks

    def _give(self, lane: int, state: StoredState) -> None:
        state.users += 1
        self._states[lane] = state

    def _load(self, block: int) -> None:
        """Bring those states of a block into memory that are used and not there."""
        found = {
            state.place: state
            for state in self._states.values()
            if state.block == block and state.row is None
        }
        places = np.asarray(list(found))
        leaves = [leaf[places] for leaf in self._recall(block)]
        self._store(list(found.values()), leaves)

    def _store(self, states: list[StoredState], leaves: list[np.ndarray]) -> None:
        missing = len(states) - len(self._free)
        if missing > 0:
            # at least doubled, so that growing copies a row only a few times
            size = max(2 * self._rows, self._rows + missing)
            old = self._leaves or [leaf[:0] for leaf in leaves]
            self._leaves = [_grown(leaf, size) for leaf in old]
            self._free.extend(range(self._rows, size))
            self._rows = size
        for state in states:
            state.row = self._free.pop()
        rows = np.asarray([state.row for state in states])
        for kept, new in zip(self._leaves, leaves, strict=True):
            kept[rows] = new


def _grown(leaf: np.ndarray, size: int) -> np.ndarray:
    new = np.empty((size, *leaf.shape[1:]), leaf.dtype)
    new[: len(leaf)] = leaf
    return new
