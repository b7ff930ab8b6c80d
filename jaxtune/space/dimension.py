"""Makers of dimensions: every check of a definition is here, none in the type.

An error must name the dimension, and only the space knows its name. So a maker given
bad arguments returns the error, and `jaxtune.Space` raises it with the name;
touching the definition in any other way raises it as well.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.space.scales import SCALES
from jaxtune.types import Array, ArrayLike


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["low", "high", "allowed"],
    meta_fields=[
        "kind",
        "scale",
        "choices",
        "default",
        "tier",
        "static",
        "searched",
        "condition",
    ],
)
@dataclasses.dataclass(frozen=True)
class Dimension:
    """One hyperparameter: bounds are array leaves, all else is static.

    Made by `uniform`, `log_uniform` and their siblings, which check their
    arguments; the type itself checks nothing, since JAX rebuilds it while tracing.

    Args:
      low: smallest value; for listed kinds the first index.
      high: largest value, itself included; for listed kinds the last index.
      allowed: ``[k]`` bool, the choices still in the search; ``None`` unless a choice.
      kind: row of the table of kinds.
      scale: row of the table of scales.
      choices: the listed values of a choice or an ordinal.
      default: the value taken when the dimension is not searched.
      tier: importance, 1 (most important) to 4.
      static: whether the value changes shapes or code, so that it must be known when
        the program is compiled.
      searched: whether it takes part in the search; if not, ``low == high``.
      condition: pairs of another dimension's name and the values of it for which this
        one matters, from `when`; empty if always.
    """

    low: Any
    high: Any
    allowed: Any
    kind: str
    scale: str
    choices: tuple
    default: Any
    tier: int
    static: bool
    searched: bool
    condition: tuple[tuple[str, tuple], ...] = ()

    def decode(self, u: Array) -> Array:
        """Turn coordinates into values; a choice gives its index.

        Args:
          u: ``[n]`` in ``[0, 1)``.

        Returns:
          ``[n]``, int32 for whole numbers and indices, else float32.
        """
        return KINDS[self.kind].decode(self, u)

    def encode(self, values: Array) -> Array:
        """Turn values into the coordinates at the middle of their cells.

        Args:
          values: ``[n]``, as `decode` gives them.

        Returns:
          ``[n]`` float32; outside ``[0, 1)`` for values outside the bounds.
        """
        return KINDS[self.kind].encode(self, values)

    def cut(
        self, left: Array, right: Array, within: Dimension | None = None
    ) -> Dimension:
        """The part between two coordinates, as a dimension of the same tree.

        Args:
          left: ``[]`` lower coordinate.
          right: ``[]`` upper coordinate.
          within: whose bounds coordinates below 0 and above 1 may reach; this
            dimension's own if not given.

        Returns:
          The dimension between them.
        """
        low, high = KINDS[self.kind].cut(self, left, right, within or self)
        dtype = jnp.asarray(self.low).dtype
        return dataclasses.replace(self, low=low.astype(dtype), high=high.astype(dtype))

    def drop(self, unwanted: Array) -> Dimension:
        """A choice without some of its values, of the same tree.

        Args:
          unwanted: ``[k]`` bool, the ones to drop.

        Returns:
          The smaller dimension.
        """
        return dataclasses.replace(self, allowed=jnp.asarray(self.allowed) & ~unwanted)

    @property
    def bounds(self) -> tuple[Any, Any]:
        """Lowest and highest value in the user's units; a choice's first and last."""
        if self.allowed is not None:
            left = self.remaining
            return left[0], left[-1]
        edge = KINDS[self.kind].edge
        return to_python(edge(self, self.low)), to_python(edge(self, self.high))

    @property
    def remaining(self) -> tuple:
        """The listed values that are still in the search."""
        if self.allowed is not None:
            kept = np.asarray(self.allowed)
            return tuple(c for c, keep in zip(self.choices, kept, strict=True) if keep)
        return self.choices[int(self.low) : int(self.high) + 1]

    @property
    def members(self) -> tuple:
        """Every value left, in order, as the user knows it.

        Raises:
          ValueError: a continuous range of more than one value.
        """
        if self.choices:
            return self.remaining
        if self.kind == "continuous":
            if self.high > self.low:
                raise ValueError(f"a real number has no list of values: {self.bounds}.")
            return (to_python(self.low),)
        edge = KINDS[self.kind].edge
        steps = range(int(self.low), int(self.high) + 1)
        return tuple(to_python(edge(self, np.asarray(k))) for k in steps)

    @property
    def cardinality(self) -> float:
        """How many values there are; infinite for a continuous dimension."""
        if self.allowed is not None:
            return int(np.sum(self.allowed))
        if self.kind == "continuous":
            return math.inf if self.high > self.low else 1
        return int(self.high) - int(self.low) + 1

    def value(self, decoded: Any) -> Any:
        """One decoded number as the plain Python value that the user knows.

        Args:
          decoded: a number, or the index of a choice.

        Returns:
          A number or the choice itself.
        """
        return self.choices[int(decoded)] if self.by_index else to_python(decoded)

    def decoded(self, value: Any) -> Any:
        """The number that stands for a value inside a program.

        Args:
          value: a number, or the choice itself.

        Returns:
          A number, or the index of a choice.
        """
        return self.choices.index(value) if self.by_index else value

    @property
    def by_index(self) -> bool:
        """Whether values are decoded to their index in the list of choices."""
        return self.kind in ("choice", "named_ordinal")


def to_python(number: Any) -> Any:
    """A Python number; float32 gives the shortest decimal that reads back equal."""
    array = np.asarray(number)
    if array.dtype == np.float32:
        return float(str(array[()]))
    return array.item()


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
