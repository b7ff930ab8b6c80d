"""The places of the trials of a round, for a scheduler that learns from them."""

from __future__ import annotations

import numpy as np

from jaxtune.environment import in_32_bits
from jaxtune.recent import recent_jit
from jaxtune.samplers.geometry import features, snapped
from jaxtune.space import Space
from jaxtune.training.configured import Configured
from jaxtune.types import Array


def places_of(now: Configured) -> np.ndarray:
    """Return ``[n, D]`` float64 for `Progress.points`; NaN without a configuration.

    Args:
      now: the configurations of the round.
    """
    known = now.filled
    if not known.space.searched:
        return np.zeros((len(now.trials), 0))
    # of all rows, whatever is known, so that it is compiled once in a round
    found = np.array(_places(known.space, known.points), np.float64)
    found[now.asked :] = np.nan
    return found


@in_32_bits
@recent_jit()
def _places(space: Space, points: Array) -> Array:
    return features(space, snapped(space, points))
