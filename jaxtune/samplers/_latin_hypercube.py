"""Latin hypercube: every row of every dimension is hit once (McKay et al., 1979)."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxtune.brevity import brief
from jaxtune.door import guarded, whole
from jaxtune.random import IN_CELL, permutation
from jaxtune.registry import maker
from jaxtune.samplers.base import Sampler, ignore, own_sampler
from jaxtune.samplers.finite import bounded, nan_if_past_end
from jaxtune.space import Space
from jaxtune.space.dimension import BELOW_ONE
from jaxtune.types import Array, Key


@brief
class LatinHypercubeState(NamedTuple):
    """The position in the sequence."""

    key: Key  # the key given to init; folded, never split or advanced
    cells: Array  # [size, d] int32, each column a permutation
    asked: Array  # [] int32, points handed out so far


@partial(jax.jit, static_argnums=(1, 2))
def _cells(key: Key, dim: int, size: int) -> Array:
    """Return ``[size, dim]`` int32, each column a permutation of its own."""

    def column(j: Array) -> Array:
        return permutation(jax.random.fold_in(key, j), size).astype(jnp.int32)

    return jax.vmap(column)(jnp.arange(dim)).T


@maker
@guarded(size=whole(1, 2**24))  # it holds all of its points
def latin_hypercube(size: int) -> Sampler:
    """Place ``size`` points, one in each of ``size`` equal slices of every dimension.

    >>> import jax
    >>> import jaxtune as jt
    >>> sampler = jt.samplers.latin_hypercube(5)
    >>> space = jt.Space(x=jt.uniform(0.0, 1.0), y=jt.uniform(0.0, 1.0))
    >>> state, points = sampler.ask(sampler.init(jax.random.key(0), space), 5)
    >>> sorted((5 * points[:, 0]).astype(int).tolist())
    [0, 1, 2, 3, 4]

    Args:
      size: points of the whole hypercube.

    Returns:
      A sampler of ``size`` points; asking for more raises ``ValueError``.

    Raises:
      ValueError: ``size`` is not a positive whole number.
    """

    def init(key: Key, space: Space) -> LatinHypercubeState:
        cells = _cells(key, space.dim, size)
        inside = jax.random.fold_in(key, IN_CELL)
        return LatinHypercubeState(inside, cells, jnp.int32(0))

    def ask(state: LatinHypercubeState, n: int) -> tuple[LatinHypercubeState, Array]:
        more = f"use latin_hypercube({size + n})"
        ids = bounded(state.asked, n, size, f"latin_hypercube({size})", more)

        def place(i: Array) -> Array:
            jitter = jax.random.uniform(
                jax.random.fold_in(state.key, i), state.cells.shape[1:]
            )
            point = (state.cells[i] + jitter) / size
            # the sum can round up to the end of the last cell
            return jnp.minimum(point, BELOW_ONE)

        points = jax.vmap(place)(jnp.maximum(ids, 0))
        return state._replace(asked=state.asked + n), nan_if_past_end(ids, points)

    return own_sampler(init, ask, ignore)
