"""Configurations in the unit cube of a space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxtune.space import Space
from jaxtune.types import HparamArrays

# rows of the first buffer: fewer would save less time than one compilation takes
SMALLEST = 128


class Points(NamedTuple):
    """Configurations of a round, as coordinates and as hyperparameters.

    Args:
      space: the space of the round.
      points: ``[n, d]`` float32, coordinates in the unit cube.
      hparams: name to ``[n]`` array, the decoded points.
      sizes: name to ``[n]`` true sizes, where a constraint or a goal names them.
    """

    space: Space
    points: np.ndarray
    hparams: dict[str, np.ndarray]
    sizes: Mapping[str, np.ndarray] = {}

    def take(self, rows: np.ndarray) -> Points:
        """Return the configurations of some rows ``[m]``."""
        return Points(
            self.space,
            self.points[rows],
            {name: values[rows] for name, values in self.hparams.items()},
            {name: values[rows] for name, values in self.sizes.items()},
        )


def joined_points(parts: Sequence[Points]) -> Points:
    """Return the configurations of several parts of a round as one, in order."""
    first = parts[0]
    if len(parts) == 1:
        return first
    return Points(
        first.space,
        np.concatenate([part.points for part in parts]),
        {n: np.concatenate([part.hparams[n] for part in parts]) for n in first.hparams},
        {n: np.concatenate([part.sizes[n] for part in parts]) for n in first.sizes},
    )


def buffer_size(rows: int) -> int:
    """Return the rows of the smallest buffer for so many; 0 for none."""
    return max(SMALLEST, 1 << (rows - 1).bit_length()) if rows else 0


def in_buffer(hparams: HparamArrays) -> HparamArrays:
    """Return hyperparameters ``[n]`` in a buffer, whose last rows repeat the last one.

    The trials of an open round are more each time, and JAX compiles for every number.
    """
    count = len(next(iter(hparams.values())))
    rows = np.minimum(np.arange(buffer_size(count)), count - 1)
    return {name: np.asarray(values)[rows] for name, values in hparams.items()}
