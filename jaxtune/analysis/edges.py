"""Do the best points crowd an edge of the space? Then the optimum may lie outside."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxtune import ranking
from jaxtune.analysis.coordinates import coordinates
from jaxtune.refine import crowding
from jaxtune.result import Result
from jaxtune.space import Dimension
from jaxtune.space.scales import SCALES


class Edge(NamedTuple):
    """An edge of the space that most of the best trials are near.

    Args:
      name: of the hyperparameter.
      side: ``"low"`` or ``"high"``.
      bound: where the space ends.
      share: of the best trials, how many lie in the outer quarter.
      suggestion: a bound to try; ``None`` where there is none on this scale, or the
        values are a list.
    """

    name: str
    side: str
    bound: Any
    share: float
    suggestion: Any


def edges(result: Result, top: int | float = 0.1) -> tuple[Edge, ...]:
    """Find edges of the space that the user gave which the best trials crowd.

    Args:
      result: what a search found.
      top: how many trials are the best; a float is a share of all. At least four are.

    Returns:
      One row for each crowded edge, in the order of the space. The suggested bound is
      a quarter of the range further, on the dimension's scale.

    Raises:
      ValueError: fewer than four trials with a score.
    """
    space, points, standing = result.setup.space, coordinates(result), result.standing
    count = max(4, top if isinstance(top, int) else round(top * len(standing)))
    if np.isfinite(standing).sum() < 4:
        raise ValueError("edges: this needs four trials with a score.")
    chosen = np.asarray(ranking.top(standing, count))
    found = []
    for column, name in enumerate(space.searched):
        u, dim = points[:, column], space[name]
        best = chosen & np.isfinite(u)
        if dim.allowed is not None or best.sum() < 4:
            continue
        outer = {"low": u < 0.25, "high": u >= 0.75}
        for side, crowded in zip(outer, crowding(jnp.asarray(u), best), strict=True):
            if crowded:
                share = (best & outer[side]).sum() / best.sum()
                bound = dim.bounds[side == "high"]
                further = _further(dim, side == "high")
                found.append(Edge(name, side, bound, float(share), further))
    return tuple(found)


def _further(dim: Dimension, high: bool) -> Any:
    """A bound a quarter of the range further out, in the user's units."""
    if dim.choices:
        return None
    if dim.kind == "power_of_two":
        exponent = int(dim.high) + 1 if high else int(dim.low) - 1
        return 2**exponent if exponent >= 0 else None
    scale = SCALES[dim.scale]
    ends = [scale.forward(jnp.float32(bound)) for bound in dim.bounds]
    step = (ends[1] - ends[0]) / 4
    value = float(scale.inverse(ends[1] + step if high else ends[0] - step))
    if dim.scale == "reverse_log":
        return 1 - float(f"{1 - value:.2g}")
    if dim.kind != "integer":
        return float(f"{value:.2g}")
    whole = (
        max(round(value), dim.bounds[1] + 1)
        if high
        else min(int(value), dim.bounds[0] - 1)
    )
    return None if dim.scale == "log" and whole < 1 else whole
