"""States of lanes between two segments: on the device that trained them, or the host.

The states of a block stay as they are, a leaf for all of its lanes, for as long as one
of them is needed. A later block is put together from those of several.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxtune.programs.transfer import from_host, to_host
from jaxtune.types import PyTree


class KeptStates(NamedTuple):
    """States that a block has left.

    Args:
      leaves: ``[R, ...]``, on a device, or on the host with keys as numbers.
      rows: ``[k]`` int, which of the ``R`` they are, in the order of the lanes.
    """

    leaves: list[Any]
    rows: np.ndarray

    @property
    def on_device(self) -> bool:
        """True if they must be copied to be on the host."""
        return _on_device(self.leaves)

    @property
    def nbytes(self) -> int:
        """Bytes of all ``R``."""
        return sum(leaf.nbytes for leaf in self.leaves)

    def on_host(self) -> KeptStates:
        """Return the same ``k`` states on the host, and no others."""
        leaves = to_host(self.leaves, self.rows)
        return KeptStates(leaves, np.arange(len(self.rows)))

    def __reduce__(self) -> Any:
        # another process gets what it needs, and cannot read this one's devices
        leaves, rows = self.on_host()
        return KeptStates, (leaves, rows)


class Source(NamedTuple):
    """States of one block from which lanes of another go on.

    Args:
      leaves: ``[R, ...]``, as in `KeptStates`.
      rows: ``[W]`` int32, one of the ``R`` for each lane of the block; -1 for lanes
        that go on from another source, or start.
    """

    leaves: list[Any]
    rows: np.ndarray

    @property
    def lanes(self) -> np.ndarray:
        """``[m]`` int, the lanes that go on from here."""
        return np.flatnonzero(self.rows >= 0)

    def __reduce__(self) -> Any:
        rows = np.full_like(self.rows, -1)
        rows[self.lanes] = np.arange(len(self.lanes))
        return Source, (to_host(self.leaves, self.rows[self.lanes]), rows)


def keep(state: PyTree, rows: np.ndarray, on_device: bool) -> KeptStates:
    """Return some states of a block, to be kept.

    Args:
      state: stacked states ``[W, ...]``.
      rows: ``[k]`` int, those that are needed.
      on_device: whether they stay there; a CPU's memory is the host's, so they are on
        both without a copy.
    """
    if on_device:
        return KeptStates(jax.tree.leaves(state), rows)
    # a view; where most of it is not needed, a copy of the rest takes less memory
    most = 2 * len(rows) > len(jax.tree.leaves(state)[0])
    if most:
        return KeptStates(to_host(state, slice(None)), rows)
    return KeptStates(to_host(state, rows), np.arange(len(rows)))


Gather = Callable[[PyTree, PyTree, np.ndarray], PyTree]
"""``(state [R, ...], other [W, ...], source [W]) -> [W, ...]``: lane ``source[i]`` of
the first as lane ``i``, and for -1 lane ``i`` of the second."""


def assembled(
    sources: Sequence[Source],
    started: PyTree | None,
    like: PyTree,
    gather: Gather,
    device: Any,
) -> PyTree:
    """Return the states ``[W, ...]`` of a block from those of other blocks.

    Args:
      sources: of which each lane goes on from one, unless it starts.
      started: stacked states of the lanes that start; ``None`` if none does.
      like: the abstract form of a state.
      gather: the program that puts two blocks together.
      device: of the block; states of another one are copied to it.
    """
    here: list[Source] = []
    there: list[Source] = []
    for source in sources:
        as_wide = len(source.leaves[0]) == len(source.rows)
        (here if _on_device(source.leaves) and as_wide else there).append(source)
    state = started
    if there:
        stacked = from_host(_stacked(there), like)
        taken = np.any([source.rows >= 0 for source in there], axis=0)
        rows = np.where(taken, np.arange(len(taken)), -1).astype(np.int32)
        state = stacked if state is None else gather(stacked, state, rows)
    for source in here:
        leaves = source.leaves
        if leaves[0].devices() != {device}:
            leaves = jax.device_put(leaves, device)
        kept = jax.tree.unflatten(jax.tree.structure(like), leaves)
        # lanes of no source yet are those of any: another source fills them
        state = gather(kept, kept if state is None else state, source.rows)
    return state


def _on_device(leaves: Sequence[Any]) -> bool:
    return any(isinstance(leaf, jax.Array) for leaf in leaves)


def _stacked(sources: Sequence[Source]) -> list[np.ndarray]:
    """Return leaves ``[W, ...]`` on the host; zeros for lanes of no source."""
    width = len(sources[0].rows)
    whole: list[np.ndarray] = []
    for source in sources:
        lanes = source.lanes
        leaves = to_host(source.leaves, source.rows[lanes])
        if len(lanes) == width:
            return leaves
        if not whole:
            whole = [np.zeros((width, *leaf.shape[1:]), leaf.dtype) for leaf in leaves]
        for into, leaf in zip(whole, leaves, strict=True):
            into[lanes] = leaf
    return whole
