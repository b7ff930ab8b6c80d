"""What each kind of dimension does with a coordinate: the rows of one table.

A coordinate ``u`` lies in ``[0, 1)``. ``decode`` turns it into a value, ``encode``
turns a value into the coordinate at the middle of its cell, so that
``decode(encode(decode(u))) == decode(u)`` holds exactly, in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxtune.space.scales import SCALES
from jaxtune.types import Array, ArrayLike

if TYPE_CHECKING:
    from jaxtune.space.dimension import Dimension

BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))
MAX_CELLS = 20  # log2; a coordinate then has four spare bits in float32
EPS = float(np.finfo(np.float32).eps)


class Kind(NamedTuple):
    """One row: how a kind decodes, encodes, and is cut to a smaller box."""

    decode: Callable[[Dimension, Array], Array]
    encode: Callable[[Dimension, Array], Array]
    cut: Callable[[Dimension, Array, Array, Dimension], tuple[Array, Array]]
    edge: Callable[[Dimension, ArrayLike], Any]  # a leaf bound in the user's units


def _ends(dim: Dimension) -> tuple[Array, Array]:
    return jnp.asarray(dim.low, jnp.float32), jnp.asarray(dim.high, jnp.float32)


def _cells(dim: Dimension) -> Array:
    """How many steps this range has that float32 tells apart, a power of two."""
    scale, (low, high) = SCALES[dim.scale], _ends(dim)
    bottom, top = scale.forward(low), scale.forward(high)
    resolution = EPS * (
        jnp.maximum(jnp.abs(bottom), jnp.abs(top))
        + jnp.maximum(
            jnp.abs(low) * scale.slope(low), jnp.abs(high) * scale.slope(high)
        )
    )
    steps = (top - bottom) / jnp.maximum(4 * resolution, 1e-37)
    bits = jnp.clip(jnp.floor(jnp.log2(steps)), 0, MAX_CELLS).astype(jnp.int32)
    # a shift, since exp2 need not give a power of two exactly
    return jnp.left_shift(jnp.int32(1), bits).astype(jnp.float32)


def _continuous_decode(dim: Dimension, u: Array) -> Array:
    scale, (low, high), cells = SCALES[dim.scale], _ends(dim), _cells(dim)
    step = jnp.round(u * cells)
    bottom, top = scale.forward(low), scale.forward(high)
    value = scale.inverse(bottom + step / cells * (top - bottom))
    # exp(log(x)) can miss a bound by an ulp, so the ends are set
    return jnp.where(step <= 0, low, jnp.where(step >= cells, high, value))


def _continuous_encode(dim: Dimension, value: Array) -> Array:
    scale, (low, high), cells = SCALES[dim.scale], _ends(dim), _cells(dim)
    bottom, top = scale.forward(low), scale.forward(high)
    width = jnp.where(top > bottom, top - bottom, 1.0)
    u = (scale.forward(jnp.asarray(value, jnp.float32)) - bottom) / width
    step = jnp.round(u * cells)
    return jnp.where(step == cells, BELOW_ONE, step / cells)


def _continuous_cut(
    dim: Dimension, left: Array, right: Array, within: Dimension
) -> tuple[Array, Array]:
    scale, (low, high) = SCALES[dim.scale], _ends(dim)
    bottom, top = scale.forward(low), scale.forward(high)

    def edge(u):
        return jnp.clip(scale.inverse(bottom + u * (top - bottom)), *_ends(within))

    return (
        jnp.where(left == 0, low, edge(left)),
        jnp.where(right == 1, high, edge(right)),
    )


def _index_span(dim: Dimension) -> tuple[Array, Array]:
    scale = SCALES[dim.scale]
    low = scale.forward(jnp.asarray(dim.low, jnp.float32))
    return low, scale.forward(jnp.asarray(dim.high, jnp.float32) + 1) - low


def _index_decode(dim: Dimension, u: Array) -> Array:
    # a coordinate just below 1 may round up to high + 1
    return _index_at(dim, u, dim)


def _index_at(dim: Dimension, u: Array, within: Dimension) -> Array:
    low, width = _index_span(dim)
    index = jnp.floor(SCALES[dim.scale].inverse(low + u * width))
    # before the cast, which a coordinate far outside would overflow
    return jnp.clip(index, *_ends(within)).astype(jnp.int32)


def _index_encode(dim: Dimension, index: Array) -> Array:
    low, width = _index_span(dim)
    middle = SCALES[dim.scale].forward(jnp.asarray(index, jnp.float32) + 0.5)
    return (middle - low) / width


def _index_cut(
    dim: Dimension, left: Array, right: Array, within: Dimension
) -> tuple[Array, Array]:
    first, last = _index_at(dim, jnp.stack([left, right - 1e-6]), within)
    return first, jnp.maximum(first, last)


def _power_decode(dim: Dimension, u: Array) -> Array:
    return jnp.left_shift(jnp.int32(1), _index_decode(dim, u))


def _power_encode(dim: Dimension, value: Array) -> Array:
    return _index_encode(dim, jnp.round(jnp.log2(jnp.asarray(value, jnp.float32))))


def _table(dim: Dimension) -> Array:
    whole = all(isinstance(value, int) for value in dim.choices)
    return jnp.asarray(dim.choices, jnp.int32 if whole else jnp.float32)


def _ordinal_decode(dim: Dimension, u: Array) -> Array:
    return _table(dim)[_index_decode(dim, u)]


def _ordinal_encode(dim: Dimension, value: Array) -> Array:
    value, table = jnp.asarray(value)[..., None], _table(dim)
    distance = jnp.abs(value - jnp.expand_dims(table, range(value.ndim - 1)))
    return _index_encode(dim, jnp.argmin(distance, axis=-1))


def _choice_decode(dim: Dimension, u: Array) -> Array:
    rank = jnp.cumsum(jnp.asarray(dim.allowed))
    wanted = jnp.floor(u * rank[-1]).astype(jnp.int32) + 1
    return jnp.searchsorted(rank, jnp.minimum(wanted, rank[-1])).astype(jnp.int32)


def _choice_encode(dim: Dimension, index: Array) -> Array:
    allowed = jnp.asarray(dim.allowed)
    rank, index = jnp.cumsum(allowed), jnp.asarray(index, jnp.int32)
    # a choice that was dropped has no place in this cube: NaN, never a neighbour's cell
    return jnp.where(allowed[index], (rank[index] - 0.5) / rank[-1], jnp.nan)


def _choice_cut(
    dim: Dimension, left: Array, right: Array, within: Dimension
) -> tuple[Array, Array]:
    raise TypeError("choices have no order; drop them with Dimension.drop")


KINDS = {
    "continuous": Kind(
        _continuous_decode, _continuous_encode, _continuous_cut, lambda dim, x: x
    ),
    "integer": Kind(_index_decode, _index_encode, _index_cut, lambda dim, k: k),
    "power_of_two": Kind(
        _power_decode, _power_encode, _index_cut, lambda dim, k: 2 ** int(k)
    ),
    "ordinal": Kind(
        _ordinal_decode, _ordinal_encode, _index_cut, lambda dim, k: dim.choices[int(k)]
    ),
    "choice": Kind(
        _choice_decode, _choice_encode, _choice_cut, lambda dim, k: dim.choices[int(k)]
    ),
}
KINDS["named_ordinal"] = KINDS["integer"]._replace(edge=KINDS["ordinal"].edge)
