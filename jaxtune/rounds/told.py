"""New points from a sampler that is told trials, and knows which points are out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxtune.door import shown
from jaxtune.goals.rejection import AllowedState
from jaxtune.samplers import Sampler
from jaxtune.space import Space
from jaxtune.space.columns import as_numbers
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
    return _checked_points(sampler.ask(state, count), count, box)


def _checked_points(answer: Any, count: int, box: Space) -> np.ndarray:
    """Return the points of a sampler, which may be the user's own."""
    pair = isinstance(answer, tuple | list) and len(answer) == 2
    if not pair:
        raise ValueError(
            f"sampler: ask returned {shown(answer)}. Return a pair, the state and "
            "points (n, d)."
        )
    points = np.asarray(as_numbers("sampler: points", answer[1]))
    if points.shape != (count, box.dim):
        raise ValueError(
            f"sampler: ask returned points of shape {points.shape} for n={count}. "
            f"Return ({count}, {box.dim}), columns as in {box.searched}."
        )
    outside = ~((points >= 0) & (points < 1))
    if outside.any():
        row, column = np.argwhere(outside)[0]
        raise ValueError(
            f"sampler: ask returned {points[row, column]} for {box.searched[column]} "
            f"in row {row}. Coordinates lie in [0, 1)."
        )
    return points


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
