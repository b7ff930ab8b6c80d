"""Packing of lanes into blocks: full blocks, and no lane waits for long.

A stopped lane saves time only if its place is taken. So a block is dispatched when it
is full, and lanes that are left over wait for others. Lanes that have trained least
come first, so that no long training stays alone at the end; and while lanes wait, the
others pause after a share of the budget and let them catch up.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# parts of the whole budget, after each of which lanes let waiting ones catch up
TURNS = 9


class Segment(NamedTuple):
    """Some epochs of training for one block."""

    group: int
    # [m] int, at most the width packed for; the runner cuts it if blocks were halved
    # since
    lanes: np.ndarray
    epochs: int


def pack_in_lockstep(
    lanes: np.ndarray, epochs: np.ndarray, group: np.ndarray, width: int
) -> list[Segment]:
    """Return one epoch for all lanes that have trained least, so that they share it.

    Args:
      lanes: ``[m]`` int, those that are to train.
      epochs: ``[L]`` int, trained so far, by lane.
      group: ``[L]`` int; only lanes of one group fit into a block.
      width: lanes in a block.

    Returns:
      Segments, full or not.
    """
    # a stream is read once an epoch for all lanes, so all must be in the same epoch
    lanes = lanes[epochs[lanes] == epochs[lanes].min()]
    return [
        Segment(int(number), members[i : i + width], 1)
        for number in np.unique(group[lanes])
        for members in [lanes[group[lanes] == number]]
        for i in range(0, len(members), width)
    ]


def pack_from_scratch(
    lanes: np.ndarray, target: np.ndarray, group: np.ndarray, width: int
) -> list[Segment]:
    """Return whole trainings on subsets of the data, each block on one subset.

    Args:
      lanes: ``[m]`` int, those that are to train.
      target: ``[L]`` int, the budget of each training.
      group: ``[L]`` int; only lanes of one group fit into a block.
      width: lanes in a block.

    Returns:
      Full blocks, or the rest where no block can be filled.
    """
    segments = [
        Segment(int(number), members[i : i + width], int(budget))
        for number in np.unique(group[lanes])
        for budget in np.unique(target[lanes[group[lanes] == number]])
        for members in [lanes[(group[lanes] == number) & (target[lanes] == budget)]]
        for i in range(0, len(members), width)
    ]
    full = [segment for segment in segments if len(segment.lanes) == width]
    return full or segments


def pack_lanes(
    lanes: np.ndarray,
    epochs: np.ndarray,
    target: np.ndarray,
    group: np.ndarray,
    width: int,
    budget: int,
) -> list[Segment]:
    """Return the next segments: full blocks, or the rest where no block can be filled.

    Args:
      lanes: ``[m]`` int, those that are to train.
      epochs: ``[L]`` int, trained so far, by lane.
      target: ``[L]`` int, where each trains to.
      group: ``[L]`` int; only lanes of one group fit into a block.
      width: lanes in a block.
      budget: epochs of a whole training.

    Returns:
      Segments; each lane is in at most one of them.
    """
    full: list[Segment] = []
    partial: list[Segment] = []
    for number in np.unique(group[lanes]):
        members = lanes[group[lanes] == number]
        # a stable order, since a resumed search must cut the same blocks
        members = members[np.argsort(epochs[members], kind="stable")]
        blocks = [members[i : i + width] for i in range(0, len(members), width)]
        lanes_wait = len(blocks[-1]) < width and len(blocks) > 1
        most = max(1, budget // TURNS) if lanes_wait else budget
        for block in blocks:
            least = int((target[block] - epochs[block]).min())
            segment = Segment(int(number), block, min(least, most))
            (full if len(block) == width else partial).append(segment)
    return full or partial
