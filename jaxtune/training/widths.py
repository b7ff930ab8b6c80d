"""Blocks of other widths than planned, because the planned ones did not fit.

The last bits of a lane depend on the width that it trained at, so training it again
needs to know it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxtune.brevity import brief
from jaxtune.training.journal import BlockAssignment
from jaxtune.training.trajectory import TrajectorySegment


@brief
class WidthOverrides(NamedTuple):
    """One row for every lane of a block of another width.

    Args:
      trial: ``[k]`` int.
      seed: ``[k]`` int.
      epochs: ``[k]`` int, trained when the block had finished; 0 for plain functions.
      trains: ``[k]`` int, epochs of this block.
      width: ``[k]`` int.
    """

    trial: np.ndarray
    seed: np.ndarray
    epochs: np.ndarray
    trains: np.ndarray
    width: np.ndarray

    def at(self, epochs: int) -> WidthOverrides:
        """Return the rows of blocks that ended at an epoch."""
        rows = self.epochs == epochs
        return WidthOverrides(*(column[rows] for column in self))

    def of(self, trial: int, seed: int) -> list[tuple[int, int, int]]:
        """Return ``(begin, end, width)`` of one lane's blocks, in epochs, in order."""
        rows = np.flatnonzero((self.trial == trial) & (self.seed == seed))
        ends, widths = self.epochs[rows], self.width[rows]
        # a plain function takes no epoch: it ends at 0, so it begins before that
        begins = ends - np.maximum(self.trains[rows], 1)
        lanes = zip(begins.tolist(), ends.tolist(), widths.tolist(), strict=True)
        return sorted(lanes)


def overrides_of(
    assignments: Sequence[tuple[BlockAssignment, int]] = (),
) -> WidthOverrides:
    """Return the rows of some blocks.

    Args:
      assignments: pairs of a block's assignment and its width.
    """
    parts = [
        (a.trial, a.seed, a.epochs, _filled(a, a.trains), _filled(a, width))
        for a, width in assignments
    ]
    # no rows to begin with, since NumPy refuses to concatenate an empty list
    none = [np.zeros(0, np.int64)] * len(WidthOverrides._fields)
    return WidthOverrides(*map(np.concatenate, zip(none, *parts, strict=True)))


def _filled(assignment: BlockAssignment, value: int) -> np.ndarray:
    return np.full(len(assignment.trial), value)


def split_by_width(
    trajectory: Sequence[TrajectorySegment],
    seed: int,
    overrides: WidthOverrides,
    usual: int,
) -> list[tuple[TrajectorySegment, int]]:
    """Cut a trajectory where the width of the lane's blocks changed.

    Args:
      trajectory: segments in order.
      seed: the seed of the lane.
      overrides: blocks of other widths.
      usual: the width of all other blocks.

    Returns:
      Segments and the width that each is trained at, in order.
    """
    cut: list[tuple[TrajectorySegment, int]] = []
    now = min(0, trajectory[0].epochs - 1)  # -1 for a plain function, see `of`
    for segment in trajectory:
        for begin, end, width in overrides.of(segment.trial, seed):
            begin, end = max(begin, now), min(end, segment.epochs)
            if begin >= end:
                continue
            if begin > now:
                cut.append((segment._replace(epochs=begin), usual))
            cut.append((segment._replace(epochs=end), width))
            now = end
        if segment.epochs > now:
            cut.append((segment, usual))
            now = segment.epochs
    return cut
