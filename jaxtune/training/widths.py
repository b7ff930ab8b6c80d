"""Blocks that were narrower than a search's own, because those did not fit.

The last bits of a lane depend on the width that it trained at, so training it again
needs to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxtune.training.journal import BlockAssignment
from jaxtune.training.lineage import TrajectorySegment


class WidthOverrides(NamedTuple):
    """One row for every lane of such a block.

    Args:
      trial: ``[k]`` int.
      seed: ``[k]`` int.
      epochs: ``[k]`` int, trained when the block was done; 0 for plain functions.
      trains: ``[k]`` int, epochs of this block.
      width: ``[k]`` int.
    """

    trial: np.ndarray
    seed: np.ndarray
    epochs: np.ndarray
    trains: np.ndarray
    width: np.ndarray

    def of(self, trial: int, seed: int) -> list[tuple[int, int, int]]:
        """``(after which epoch, until which, width)`` of one lane, in order."""
        rows = np.flatnonzero((self.trial == trial) & (self.seed == seed))
        ends, trains, widths = self.epochs[rows], self.trains[rows], self.width[rows]
        begins = (ends - trains).tolist()
        return sorted(zip(begins, ends.tolist(), widths.tolist(), strict=True))


def narrowed(works: Sequence[tuple[BlockAssignment, int]] = ()) -> WidthOverrides:
    """The rows of some blocks, given what each did and how wide it was."""
    parts = [
        (w.trial, w.seed, w.epochs, *_all(len(w.trial), w.trains, width))
        for w, width in works
    ]
    none = [np.zeros(0, np.int64)] * len(WidthOverrides._fields)
    return WidthOverrides(*map(np.concatenate, zip(none, *parts, strict=True)))


def _all(count: int, *values: int) -> list[np.ndarray]:
    return [np.full(count, value) for value in values]


def stretches(
    legs: Sequence[TrajectorySegment], seed: int, known: WidthOverrides, usual: int
) -> list[tuple[TrajectorySegment, int]]:
    """Cut a lane's legs where the width of its blocks changed.

    Args:
      legs: in order.
      seed: which lane of the trials.
      known: blocks of other widths.
      usual: the width of all other blocks.

    Returns:
      Legs and the width that each is trained at, in order.
    """
    cut: list[tuple[TrajectorySegment, int]] = []
    now = 0
    for leg in legs:
        for begin, end, width in known.of(leg.trial, seed):
            begin, end = max(begin, now), min(end, leg.epochs)
            if begin >= end:
                continue
            if begin > now:
                cut.append((leg._replace(epochs=begin), usual))
            cut.append((leg._replace(epochs=end), width))
            now = end
        if leg.epochs > now:
            cut.append((leg, usual))
            now = leg.epochs
    return cut
