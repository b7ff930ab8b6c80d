"""Configurations in the unit cube of a space."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxtune.space import Space


class Points(NamedTuple):
    """Configurations in the cube of a round's space.

    Args:
      space: the space of the round.
      points: ``[n, d]`` float32.
      hparams: name to ``[n]``, decoded.
    """

    space: Space
    points: np.ndarray
    hparams: dict[str, np.ndarray]
