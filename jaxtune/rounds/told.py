"""New points from a sampler that is told trials, and knows which points are out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxtune.goals.rejection import AllowedState
from jaxtune.samplers import Sampler
from jaxtune.space import Space
from jaxtune.space.points import in_buffer
from jaxtune.types import HparamArrays, Key

Told = Sequence[tuple[HparamArrays, np.ndarray]]
"""For each batch, configurations and their oriented scores ``[n]`` or ``[n, s]``."""


def asked(
    sampler: Sampler,
    key: Key,
    box: Space,
    told: Told,
    count: int,
    pending: np.ndarray | None = None,
) -> np.ndarray:
    """Return new points from a new sampler that knows all trials.

    Args:
      sampler: of the search.
      key: of the batch.
      box: of the round.
      told: configurations and scores of each batch.
      count: points.
      pending: ``[p, d]`` points that are out.

    Returns:
      ``[count, d]``.
    """
    state = sampler.init(key, box)
    for decoded, scores in told:
        # a trial's point in the cube differs from box to box
        state = sampler.tell(state, encoded(box, decoded), jax.device_put(scores))
    if pending is not None and len(pending):
        state = _expecting(state, pending)
    return np.asarray(sampler.ask(state, count)[1])


def encoded(box: Space, decoded: HparamArrays) -> np.ndarray:
    """Return points ``[n, d]``, computed in a buffer."""
    count = len(next(iter(decoded.values())))
    return np.asarray(box.encode(in_buffer(decoded)))[:count]


def _expecting(state: Any, pending: np.ndarray) -> Any:
    """Return the state of a sampler that knows which points are out, if it can."""
    if isinstance(state, AllowedState):
        return state._replace(inner=_expecting(state.inner, pending))
    if "pending" in getattr(state, "_fields", ()):
        return state._replace(pending=jax.device_put(pending))
    return state
