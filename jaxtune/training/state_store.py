"""States of lanes that wait for their next segment, where their blocks left them.

They stay on the device that trained them. They go to the host where their bytes on a
device exceed a share of its memory, or where a block beside them found no room.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from jaxtune.planning.memory import available
from jaxtune.programs.kept import KeptStates, Source

MISSING = -1  # the row of a state that was not recorded, as nothing needed it
SHARE = 0.25  # of a device's memory that states which wait may take


@dataclasses.dataclass
class StoredState:
    """One lane's state; lanes that took it over share it until they train on.

    Args:
      block: number of the block after which it was kept.
      place: its index among the states kept then.
      users: number of lanes that will train on from it.
    """

    block: int
    place: int
    users: int = 0


class MissingStates(Exception):
    """The states of a block are not on record, and lanes go on from them.

    Args:
      block: its number; after `Journal.forget` it is trained again.
    """

    def __init__(self, block: int):
        super().__init__(block)
        self.block = block


class RecordedStates(NamedTuple):
    """States of a block that are on record, or will be.

    Args:
      places: ``[k]`` int, of the states among those that the block left.
      parts: the states, in this order.
    """

    places: np.ndarray
    parts: tuple[KeptStates, ...]


class StateStore:
    """The states of a round; mutable.

    Args:
      recall: the states that were recorded with a block, by its number.
      limit: bytes that may stay on all devices; a share of their memory if ``None``.
    """

    def __init__(
        self, recall: Callable[[int], RecordedStates], limit: int | None = None
    ):
        self._recall, self._limit = recall, limit
        self._states: dict[int, StoredState] = {}  # by lane
        # by block, in the order of the blocks; parts only of those in memory
        self._of_block: dict[int, list[StoredState]] = {}
        self._parts: dict[int, tuple[KeptStates, ...]] = {}
        self._used: Counter[int] = Counter()  # states with users, by block
        self._there: dict[int, int] = {}  # blocks on a device, with their bytes
        self._dropped: list[StoredState] = []
        # a journal may ask what is needed in a thread of its own
        self._lock = threading.RLock()
        self._unneeded: list[int] = []

    def put(self, lanes: np.ndarray, block: int, parts: tuple[KeptStates, ...]) -> None:
        """Keep the states of some lanes.

        Args:
          lanes: ``[k]`` int; none of them has a state here.
          block: number of the block that they come from.
          parts: their states, in this order; none if they are on record.
        """
        states = [StoredState(block, place) for place in range(len(lanes))]
        self._of_block[block] = states
        for lane, state in zip(lanes.tolist(), states, strict=True):
            self._give(lane, state)
        if not parts:
            return
        self._parts[block] = parts
        if any(part.on_device for part in parts):
            self._there[block] = sum(part.nbytes for part in parts)
            self._make_room()

    def take(self, lanes: np.ndarray, wanted: np.ndarray) -> tuple[Source, ...]:
        """Return where the lanes of a block go on from.

        Args:
          lanes: ``[W]`` int, of the block.
          wanted: ``[W]`` bool, those that go on; the others start.

        Raises:
          KeyError: a lane without a state.
          MissingStates: a block is recorded without a state that is needed now.
        """
        sources: dict[tuple[int, int], Source] = {}
        for at in np.flatnonzero(wanted).tolist():
            state = self._states[int(lanes[at])]
            number, row = 0, state.place
            parts = self._in_memory(state.block)
            while row >= len(parts[number].rows):
                row, number = row - len(parts[number].rows), number + 1
            part = parts[number]
            if part.rows[row] == MISSING:
                raise MissingStates(state.block)
            source = sources.setdefault(
                (state.block, number),
                Source(part.leaves, np.full(len(lanes), -1, np.int32)),
            )
            source.rows[at] = part.rows[row]
        return tuple(sources.values())

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
        """Remove the states of lanes, at `settle`; one without a state is ignored."""
        for lane in lanes.tolist():
            state = self._states.pop(lane, None)
            if state is not None:
                self._dropped.append(state)

    def settle(self) -> None:
        """Free what was dropped, since the reason for it is on record.

        Until then `needed` counts it: if the search is interrupted in between, the
        record ends before the block that the states were dropped for.
        """
        with self._lock:
            while self._dropped:
                self._free(self._dropped.pop())

    def _free(self, state: StoredState) -> None:
        state.users -= 1
        if state.users:
            return
        self._used[state.block] -= 1
        if not self._used[state.block]:
            for known in (self._of_block, self._parts, self._there, self._used):
                known.pop(state.block, None)  # type: ignore[attr-defined]
            self._unneeded.append(state.block)

    def pop_unneeded(self) -> list[int]:
        """Return blocks with saved states that can be deleted; each of them once."""
        with self._lock:
            blocks, self._unneeded = self._unneeded, []
        return blocks

    def needed(self, block: int) -> RecordedStates | None:
        """Return the states of a block from which lanes go on, to be recorded.

        Args:
          block: its number; its states are in memory.

        Returns:
          The states where they are; ``None`` if no lane needs one.
        """
        with self._lock:
            states, kept = self._of_block.get(block, []), self._parts.get(block, ())
            used = np.asarray([state.users > 0 for state in states], bool)
        if not used.any():
            return None
        parts, begin = [], 0
        for part in kept:
            here = used[begin : begin + len(part.rows)]
            parts.append(part._replace(rows=part.rows[here]))
            begin += len(part.rows)
        return RecordedStates(np.flatnonzero(used), tuple(parts))

    def leave_devices(self) -> bool:
        """Bring all states to the host, and return whether any was not there."""
        return self._bring(list(self._there))

    def _give(self, lane: int, state: StoredState) -> None:
        self._used[state.block] += not state.users
        state.users += 1
        self._states[lane] = state

    def _in_memory(self, block: int) -> tuple[KeptStates, ...]:
        """Return the parts of a block, read from the record if they are only there."""
        if block not in self._parts:
            # of a resumed search, only the states that lanes train on from are read
            places, (part,) = self._recall(block)
            rows = np.full(len(self._of_block[block]), MISSING)
            rows[places] = part.rows
            self._parts[block] = (part._replace(rows=rows),)
        return self._parts[block]

    def _make_room(self) -> None:
        """Bring the oldest states to the host where too many are on the devices."""
        if self._limit is None:
            self._limit = int(SHARE * sum(map(available, jax.local_devices())))
        left, oldest = sum(self._there.values()), []
        for block, size in self._there.items():
            if left <= self._limit:
                break
            oldest.append(block)
            left -= size
        self._bring(oldest)

    def _bring(self, blocks: list[int]) -> bool:
        for block in blocks:
            del self._there[block]
            self._parts[block] = tuple(part.on_host() for part in self._parts[block])
        return bool(blocks)
