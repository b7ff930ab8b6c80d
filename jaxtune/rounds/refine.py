"""Coarse to fine: shrink a space to the box around its best points.

The plain bounding box of the best points can lose the optimum. Three things make it
safe: the points of all rounds count, so that the best one is never left out; a margin
of some mean spacings of the best points; and a floor below which no side shrinks in one
step. If the box may grow, a side moves outwards past an edge that most of the best
points crowd.
"""

from __future__ import annotations

import inspect
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxtune import ranking
from jaxtune.door import (
    Argument,
    demand,
    either,
    guarded,
    one_of,
    optional,
    real,
    whole,
)
from jaxtune.environment import in_32_bits
from jaxtune.recent import recent_jit
from jaxtune.registry import maker
from jaxtune.rounds.unwanted import Unwanted, absent, worse
from jaxtune.space import A_SPACE, Dimension, Space, check_part
from jaxtune.space.columns import as_numbers
from jaxtune.types import Array, ArrayLike

ROUNDS = ("all", "last")
LEAST = 4  # best points that span a box, where top is not given
# the same of a box that may grow: two of three are most, and of four it takes three
LEAST_GROWING = 3
FEWEST = 128  # rows of a program: fewer would save less time than compiling costs


# 1 is no share: a single point spans no box
SHARE = Argument("a share in (0, 1]", lambda v: isinstance(v, float) and 0 < v <= 1)


class Refiner(Protocol):
    """Return a smaller space from a space, points ``[n, d]`` and scores ``[n]``.

    Scores are oriented (higher is better, NaN is failed); the tree stays the same. The
    points are the trials of the last round, in the cube of its box. A refiner with an
    attribute ``rounds`` that is ``"all"`` gets those of all rounds: earlier ones may
    have coordinates outside ``[0, 1)``, and NaN for a choice that was dropped.
    """

    def __call__(
        self, space: Space, points: ArrayLike, scores: ArrayLike, /
    ) -> Space: ...


def _takes_three(value: Any) -> bool:
    """Return whether a function can be called with a space, points and scores."""
    if not callable(value) or isinstance(value, type):
        return False
    try:
        inspect.signature(value).bind("space", "points", "scores")
    except TypeError:
        return False
    except ValueError:  # some built-in functions have no signature
        pass
    return True


A_REFINER = Argument(
    "a refiner, a function (space, points, scores) -> Space",
    _takes_three,
    "Use zoom(), or a function like it.",
)


@maker
@guarded(
    top=optional(either(whole(2), SHARE)),
    margin=real(0),
    floor=real(0, 1),
    evidence=real(0, 1),
    within=optional(A_SPACE),
    rounds=one_of(*ROUNDS),
)
def zoom(
    top: int | float | None = None,
    margin: float = 0.25,
    floor: float = 0.5,
    evidence: float = 0.5,
    within: Space | None = None,
    *,
    rounds: str = "all",
) -> Refiner:
    """Shrink a space to the box around its best points.

    It works on each dimension's own scale and never leaves the space it was given,
    unless ``within`` allows it to grow. Points outside of it, which earlier rounds may
    have, do not count. The best point of all always lies in the box. A conditional
    dimension is refined by the best points for which it matters, and kept as it is if
    they are fewer than half of the best. Special cases: ``floor=1`` is plain search;
    ``margin=0, floor=0`` is the min-max box.

    >>> import numpy as np
    >>> import jaxtune as jt
    >>> space = jt.Space(x=jt.uniform(0.0, 1.0))
    >>> points = np.linspace(0.05, 0.95, 10, dtype=np.float32)[:, None]
    >>> zoom = jt.zoom(top=4, floor=0.1)
    >>> smaller = zoom(space, points, -((points[:, 0] - 0.5) ** 2))
    >>> low, high = smaller.bounds["x"]  # 0.35 to 0.65, and margins of 0.025
    >>> round(float(low), 3), round(float(high), 3)
    (0.325, 0.675)

    Args:
      top: number of the best points that span the box; a float is a share of all
        points. At least two are taken. If it is not given, four, or three with
        ``within``, or a hundredth of all points where that is more.
      margin: room added on each side, in mean spacings of the top points.
      floor: no side becomes shorter than this share of its present length.
      evidence: a choice is dropped when none of the top points has it, and chance alone
        would rank those that have it as low as they are (Mann & Whitney, 1947), for any
        of the choices of its dimension, with a probability below ``evidence``.
      within: a larger space of the same dimensions, into which the box may grow. Where
        most of the best points lie in the outer quarter of a side, the box then reaches
        its present length past their mean, but not past the larger space. A ``search``
        over the larger space starts in a smaller box with ``start=``.
      rounds: ``"all"``; or ``"last"``, as up to version 0.2.0: a search passes the
        trials of its last round alone, ``top`` is a tenth if it is not given, and a
        choice is dropped when chance alone would leave it out of the top with a
        probability below ``evidence``.

    Returns:
      ``refine(space, points [n, d], scores [n]) -> Space``, jittable, same tree as
      ``space``. Points are in the unit cube of ``space``; scores that are NaN or
      infinite are never selected; ties go to the smaller row. It raises ``ValueError``
      for shapes that do not match and for fewer than two finite scores (under ``jit``,
      where it cannot raise, it keeps the space as it is).

    Raises:
      ValueError: ``top`` below 2 or outside (0, 1]; ``margin``, ``floor`` or
        ``evidence`` out of range; ``within`` is not a space; ``rounds`` is neither.
        ``refine`` raises it if its box is not part of ``within``.
    """

    @in_32_bits
    def refine(space: Space, points: ArrayLike, scores: ArrayLike) -> Space:
        points, scores = _check_points(space, points, scores)
        if within is not None:
            check_part(within, space, "zoom: the box in within")
        count = _top_count(top, scores.shape[0], rounds, within is not None)
        if not isinstance(points, Tracer):
            points, scores = _filled_up(points, scores)
        limits, rule = within or space, worse if rounds == "all" else absent
        # numbers are traced: zooms that differ in them share a program
        return _box_of(
            space, limits, points, scores, count, margin, floor, evidence, rule
        )

    refine.rounds = rounds  # type: ignore[attr-defined]
    return refine


def _top_count(top: int | float | None, n: int, rounds: str, grows: bool) -> int:
    """Return how many of ``n`` points span the box."""
    if top is None:
        least = LEAST_GROWING if grows else LEAST
        top = 0.1 if rounds == "last" else max(least, n // 100)
    return min(top if isinstance(top, int) else max(2, round(top * n)), n)


@recent_jit(static=["rule"])
def _box_of(
    space: Space,
    limits: Space,
    points: Array,
    scores: Array,
    count: Array,
    margin: Array,
    floor: Array,
    evidence: Array,
    rule: Unwanted,
) -> Space:
    """Return the space of the box around the best points."""
    # the points of earlier rounds may lie outside
    inside = ((points >= 0) & (points < 1)).all(1)
    chosen = ranking.top(jnp.where(inside, scores, jnp.nan), count)
    active = space.active(space.decode(jnp.where(inside[:, None], points, 0.5)))
    smaller = {}
    for column, name in enumerate(space.searched):
        dim, u, here = space[name], points[:, column], active[name] & inside
        best = chosen & here
        # where a dimension matters to few of the best, they say too little about it
        enough = (best.sum() >= 2) & (2 * best.sum() >= chosen.sum())
        if dim.allowed is None:
            left, right = _box(u, best, margin, floor)
            left, right = _outwards(u, best, left, right, dim, limits[name])
            smaller[name] = dim.cut(
                jnp.where(enough, left, 0.0),
                jnp.where(enough, right, 1.0),
                limits[name],
            )
        else:
            index = dim.decode(jnp.where(inside, u, 0.5))
            has = (index[:, None] == jnp.arange(len(dim.choices))[None]) & here[:, None]
            unwanted = rule(has, here, best, scores, evidence)
            smaller[name] = dim.drop(unwanted & enough)
    return space.replace(**smaller)


def _box(u: Array, chosen: Array, margin: Array, floor: Array) -> tuple[Array, Array]:
    """Return both ends ``[]`` of a side, as shares of its present length."""
    low = jnp.min(jnp.where(chosen, u, jnp.inf))
    high = jnp.max(jnp.where(chosen, u, -jnp.inf))
    room = margin * (high - low) / jnp.maximum(chosen.sum() - 1, 1)
    low, high = jnp.maximum(low - room, 0.0), jnp.minimum(high + room, 1.0)
    width = jnp.maximum(high - low, floor)
    # a box that was widened past an edge moves inwards instead of being cut there
    low = jnp.clip((low + high - width) / 2, 0.0, 1.0 - width)
    return low, jnp.minimum(low + width, 1.0)


def _outwards(
    u: Array,
    chosen: Array,
    left: Array,
    right: Array,
    dim: Dimension,
    limit: Dimension,
) -> tuple[Array, Array]:
    """Return both ends, moved past an edge that most of the chosen points crowd."""
    # a side has length 1 here, so the new end is a present length past the mean
    middle = jnp.where(chosen, u, 0).sum() / jnp.maximum(chosen.sum(), 1)
    at_left, at_right = crowding(u, chosen)
    below, above = dim.low > limit.low, dim.high < limit.high
    return (
        jnp.where(at_left & below, jnp.minimum(left, middle - 1.0), left),
        jnp.where(at_right & above, jnp.maximum(right, middle + 1.0), right),
    )


def crowding(u: ArrayLike, chosen: ArrayLike) -> tuple[Any, Any]:
    """Test whether most of the chosen points lie in the outer quarter of a side.

    Eight random points do so at one of the two edges with a probability of 5 %.

    Args:
      u: ``[n]`` coordinates.
      chosen: ``[n]`` bool, the best points.

    Returns:
      ``[]`` bool for the lower edge, and for the upper one.
    """
    most, (low, high) = chosen.sum() / 2, outer(u)
    return (chosen & low).sum() > most, (chosen & high).sum() > most


def outer(u: Any) -> tuple[Any, Any]:
    """Return ``[n]`` bool each: coordinates in the lower and in the upper quarter."""
    return u < 0.25, u >= 0.75


def _check_points(
    space: Space, points: ArrayLike, scores: ArrayLike
) -> tuple[Array, Array]:
    """Return both as JAX arrays; ``ValueError`` for shapes or scores of no use."""
    demand("zoom", "space", space, A_SPACE)
    points = jnp.asarray(as_numbers("zoom: points", points))
    scores = jnp.asarray(as_numbers("zoom: scores", scores))
    if scores.ndim != 1 or points.shape != (scores.shape[0], space.dim):
        raise ValueError(
            f"zoom: points {points.shape} and scores {scores.shape} do not match; this "
            f"space needs (n, {space.dim}) and (n,)."
        )
    # under jit nothing can be raised; too few points then leave the box as it is
    if not isinstance(scores, Tracer):
        finite = int(np.isfinite(scores).sum())
        if finite < 2:
            raise ValueError(
                f"zoom needs at least two finite scores, got {finite} among "
                f"{scores.size}. Sample more points, or search lower learning rates."
            )
        inside = ~np.isnan(points).any(1) if not isinstance(points, Tracer) else True
        if not (np.isfinite(scores) & inside).any():
            raise ValueError(
                "zoom: points have NaN in every row with a score. Use points in [0, 1)."
            )
    return points, scores


def _filled_up(points: Array, scores: Array) -> tuple[np.ndarray, np.ndarray]:
    """Return both with failed points up to a number of rows that few programs have."""
    # a search has more points after every round, and JAX compiles for every number
    more = max(FEWEST, 1 << (len(scores) - 1).bit_length()) - len(scores)
    filled = np.pad(np.asarray(points), ((0, more), (0, 0)), constant_values=-1.0)
    return filled, np.pad(np.asarray(scores), (0, more), constant_values=np.nan)
