"""Configurations in the unit cube of a space."""

from __future__ import annotations

from collections.abc import Mapping
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
