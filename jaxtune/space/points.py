"""Configurations in the unit cube of a space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxtune.space import Space


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
