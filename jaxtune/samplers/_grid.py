"""A full grid: rarely wise, but it has every point of a small space once."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxtune.brevity import brief
from jaxtune.door import as_plain, either, guarded, list_of, whole
from jaxtune.registry import maker
from jaxtune.samplers.base import Sampler, ignore, own_sampler
from jaxtune.samplers.beliefs import warn_of_beliefs
from jaxtune.samplers.finite import bounded, nan_if_past_end
from jaxtune.space import Space
from jaxtune.types import Array, Key


@brief
class GridState(NamedTuple):
    """The position in the sequence."""

    counts: Array  # [d] int32, points along each dimension
    size: Array  # [] int32, points in all
    asked: Array  # [] int32, points handed out so far


@maker
@guarded(points_per_dim=either(whole(1), list_of(whole(1), 1)))
def grid(points_per_dim: int | Sequence[int]) -> Sampler:
    """Try every combination of equally spaced coordinates, the last dimension fastest.

    Coordinates are the middles of equal cells. A dimension with fewer values than
    requested gives each value once.

    >>> import jax
    >>> import jaxtune as jt
    >>> space = jt.Space(units=jt.ordinal([8, 16]), dropout=jt.uniform(0.0, 0.6))
    >>> sampler = jt.samplers.grid(3)
    >>> state, points = sampler.ask(sampler.init(jax.random.key(0), space), 6)
    >>> for trial in range(6):
    ...     values = space.values(space.decode(points), trial)
    ...     print(values["units"], round(values["dropout"], 3))
    8 0.1
    8 0.3
    8 0.5
    16 0.1
    16 0.3
    16 0.5

    Args:
      points_per_dim: points along every dimension, or one number for each.

    Returns:
      A sampler of that many points in all; asking for more raises ``ValueError``.

    Raises:
      ValueError: a count below 1; in ``init``, a wrong number of counts or more than
        2**31 - 1 points.
    """
    several = bool(np.ndim(points_per_dim))
    given: Any = points_per_dim if several else [points_per_dim]
    wanted = [as_plain(count) for count in given]

    def init(key: Key, space: Space) -> GridState:
        del key
        warn_of_beliefs("grid", space)
        each = wanted if several else wanted * space.dim
        if len(each) != space.dim:
            raise ValueError(
                f"grid: {len(each)} counts for {space.dim} dimensions "
                f"({', '.join(space.searched)}). Give one number, or one for each."
            )
        counts = [
            int(min(count, space[name].cardinality))
            for count, name in zip(each, space.searched, strict=True)
        ]
        size = math.prod(counts)
        if size >= 2**31:  # ids are int32
            raise ValueError(
                f"grid: points_per_dim={points_per_dim} makes {size} points. Use fewer."
            )
        return GridState(jnp.asarray(counts, jnp.int32), jnp.int32(size), jnp.int32(0))

    def ask(state: GridState, n: int) -> tuple[GridState, Array]:
        ids = bounded(state.asked, n, state.size, "grid", "raise points_per_dim")
        strides = state.size // jnp.cumprod(state.counts)
        counts = state.counts[None]
        points = ((ids[:, None] // strides[None]) % counts + 0.5) / counts
        return state._replace(asked=state.asked + n), nan_if_past_end(ids, points)

    # moved, its points would leave out values of a list
    return own_sampler(init, ask, ignore, follows=False)
