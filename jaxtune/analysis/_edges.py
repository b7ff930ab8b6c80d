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
from jaxtune.rounds.refine import outer
from jaxtune.space import Dimension, Space
from jaxtune.space.scales import SCALES

# Share, and number, of the best trials that lie in the outer quarter: chance puts so
# many there in one of a hundred cases.
MOST, FEWEST = 0.75, 4
NEAR = 0.05  # of a side
SPREADS = 1.75  # points that are even from a bound on are this many from it, on average


@brief
class Edge(NamedTuple):
    """An edge of the space that the best trials reach.

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
    """Find the edges of the user's space that the best trials reach.

    Most of the best trials lie in the outer quarter there, and they go on as far as the
    bound: it is within their spread, and the best is none of the farthest. An optimum
    inside of the range is no edge, however closely a search gathered there.

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
      One row for each such edge, in the order of the space; none if the best trials
      are more than half of those with a score. The suggested bound is a quarter of the
      range further, on the dimension's scale; that of a range of positive numbers is
      positive.

    Raises:
      ValueError: fewer than four trials with a score, or ``top`` out of range.
    """
    if np.isfinite(result.standing).sum() < 4:
        raise ValueError("edges: this needs four trials with a score.")
    return edges_of(result.setup.space, coordinates(result), result.standing, top)


def edges_of(
    space: Space, points: np.ndarray, standing: np.ndarray, top: int | float = 0.1
) -> tuple[Edge, ...]:
    """Find the edges of a space that the best of some points reach, as `edges` does.

    Args:
      space: of the points.
      points: ``[n, d]`` coordinates in it; NaN where a dimension does not matter.
      standing: ``[n]`` to rank by, at least four of them finite.
      top: number or share of the best.
    """
    count = max(4, top if isinstance(top, int) else round(top * len(standing)))
    chosen = np.asarray(ranking.top(standing, count))
    if 2 * chosen.sum() > np.isfinite(standing).sum():  # half of all are not the best
        return ()
    first, found = ranking.order(standing)[0], []
    for column, name in enumerate(space.searched):
        u, dim = points[:, column], space[name]
        best = chosen & np.isfinite(u)
        if dim.allowed is not None or not best[first]:
            continue
        # from the coordinate of the bound itself: of a whole number, it is inside
        low, high = (dim.decoded(bound) for bound in dim.bounds)
        ends = np.asarray(dim.encode(jnp.asarray([low, high])))
        away = (u - ends[0], ends[1] - u)
        sides = zip(("low", "high"), outer(u), away, strict=True)
        for which, (side, near, distance) in enumerate(sides):
            count = (best & near).sum()
            share = float(count / best.sum())
            if share < MOST or count < FEWEST:
                continue
            if _reach(distance[best], distance[first]):
                further = _further(dim, bool(which))
                found.append(Edge(name, side, dim.bounds[which], share, further))
    return tuple(found)


def _reach(distances: np.ndarray, first: float) -> bool:
    """Return whether the best trials go on as far as a bound.

    Args:
      distances: ``[n]`` of the best trials from the bound, in sides.
      first: that of the best one.
    """
    middle = np.median(distances)
    within = distances.mean() <= SPREADS * distances.std(ddof=1)
    return bool((within or middle <= NEAR) and first <= max(middle, NEAR))


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
    positive = dim.bounds[0] > 0  # as a rate or a size is, also in a wider range
    if dim.kind == "continuous":
        return float(f"{bound / 2 if positive and value <= 0 else value:.2g}")
    # a whole number further at least, however narrow the range
    if high:
        return max(round(value), bound + 1)
    whole = min(int(np.floor(value)), bound - 1)
    return whole if not positive else max(whole, 1) if bound > 1 else None
