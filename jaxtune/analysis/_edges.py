"""Edges of the space that the best points crowd: the optimum may lie outside."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxtune import ranking
from jaxtune.analysis._coordinates import coordinates
from jaxtune.brevity import brief
from jaxtune.door import Argument, either, guarded, whole
from jaxtune.results.result import A_RESULT, Result
from jaxtune.rounds.refine import crowding, outer
from jaxtune.space import Dimension
from jaxtune.space.scales import SCALES


@brief
class Edge(NamedTuple):
    """An edge of the space that most of the best trials are near.

    Args:
      name: name of the hyperparameter.
      side: ``"low"`` or ``"high"``.
      bound: the bound of the space on this side.
      share: share of the best trials that lie in the outer quarter.
      suggestion: a bound to try; ``None`` at zero, if the scale has no further one, or
        if the values are a list.
    """

    name: str
    side: str
    bound: Any
    share: float
    suggestion: Any


A_SHARE = Argument(
    "a share in [0, 1]", lambda value: isinstance(value, float) and 0 <= value <= 1
)


@guarded(result=A_RESULT, top=either(whole(1), A_SHARE))
def edges(result: Result, top: int | float = 0.1) -> tuple[Edge, ...]:
    """Find the edges of the user's space that most of the best trials are near.

    >>> import jax
    >>> import jaxtune as jt
    >>> result = jt.search(
    ...     lambda key, h: h["x"],
    ...     jt.Space(x=jt.uniform(0.0, 1.0)),
    ...     key=jax.random.key(0),
    ...     trials=16,
    ...     mode="max",
    ...     verbose=0,
    ... )
    >>> (edge,) = jt.analysis.edges(result)
    >>> edge.name, edge.side, edge.bound, edge.suggestion
    ('x', 'high', 1.0, 1.2)

    Args:
      result: the result of a search.
      top: number of the best trials; a float is a share of all. At least four are
        taken.

    Returns:
      One row for each crowded edge, in the order of the space. The suggested bound is
      a quarter of the range further, on the dimension's scale.

    Raises:
      ValueError: fewer than four trials with a score, or ``top`` out of range.
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
        sides = zip(("low", "high"), outer(u), crowding(u, best), strict=True)
        for high, (side, near, crowded) in enumerate(sides):
            if crowded:
                share = float((best & near).sum() / best.sum())
                further = _further(dim, bool(high))
                found.append(Edge(name, side, dim.bounds[high], share, further))
    return tuple(found)


def _further(dim: Dimension, high: bool) -> Any:
    """Return a bound a quarter of the range further out, or ``None``."""
    if dim.choices:
        return None
    bound = dim.bounds[high]
    if not high and bound == 0:  # nothing lies below, as with dropout
        return None
    if dim.kind == "power_of_two":
        return 2 * bound if high else bound // 2 or None
    scale = SCALES[dim.scale]
    ends = [scale.forward(jnp.float32(end)) for end in dim.bounds]
    step = (ends[1] - ends[0]) / 4
    value = float(scale.inverse(ends[1] + step if high else ends[0] - step))
    # two digits, as a person would write the bound
    if dim.scale == "reverse_log":
        return max(1 - float(f"{1 - value:.2g}"), 0.0)
    if dim.kind == "continuous":
        return float(f"{value:.2g}")
    # a whole number further at least, however narrow the range
    whole = max(round(value), bound + 1) if high else min(int(value), bound - 1)
    return None if dim.scale == "log" and whole < 1 else whole
