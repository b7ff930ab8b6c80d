"""The type of one dimension, and the table of kinds.

A kind says how coordinates become values and back. All of its functions work inside
``jit``: bounds and the mask of remaining choices are array leaves, so a dimension with
others compiles nothing.
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

from jaxtune.brevity import brief
from jaxtune.environment import in_32_bits
from jaxtune.space.belief import Belief
from jaxtune.space.scales import SCALES
from jaxtune.types import Array, ArrayLike


@brief
@partial(
    jax.tree_util.register_dataclass,
    data_fields=["low", "high", "allowed", "prior"],
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
    """One hyperparameter: bounds, remaining choices and a belief are leaves.

    All else is static. Use `uniform`, `log_uniform` and the other makers, which check
    their arguments. The type itself checks nothing, since JAX rebuilds it with tracers
    for bounds.

    Args:
      low: smallest value; the first exponent of a power of two, the first index of an
        ordinal.
      high: largest value, itself included; exponent or index as ``low``.
      allowed: ``[k]`` bool, the choices still in the search; ``None`` unless a choice.
      kind: row of the table of kinds.
      scale: row of the table of scales.
      choices: the listed values of a choice or an ordinal.
      default: the value used when the dimension is not searched.
      tier: your prior guess of its importance, 1 (highest) to 4.
      static: whether the value changes shapes or code, so that it must be known when
        the program is compiled.
      searched: whether it takes part in the search; if not, ``low == high``.
      condition: pairs of another dimension's name and those of its values for which
        this dimension matters, from `when`; empty if it always does.
      prior: where good values are expected, from `near`; ``None`` for nowhere.
    """

    low: Any
    high: Any
    allowed: Any
    kind: str
    scale: str
    choices: tuple[Any, ...]
    default: Any
    tier: int
    static: bool
    searched: bool
    condition: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    prior: Belief | None = None

    @in_32_bits
    def decode(self, u: Array) -> Array:
        """Turn coordinates into values; choices become their indices.

        Args:
          u: ``[n]`` in ``[0, 1)``.

        Returns:
          ``[n]``, int32 for whole numbers and indices, else float32.
        """
        return KINDS[self.kind].decode(self, u)

    @in_32_bits
    def encode(self, values: Array) -> Array:
        """Turn values into the coordinates at the middle of their cells.

        Args:
          values: ``[n]``, as `decode` returns them.

        Returns:
          ``[n]`` float32; outside ``[0, 1)`` for values outside the bounds.
        """
        return KINDS[self.kind].encode(self, values)

    @in_32_bits
    def cell(self, u: Array) -> Array:
        """Return the number of the value at each coordinate, not of a real number.

        Args:
          u: ``[n]`` in ``[0, 1)``.

        Returns:
          ``[n]`` int32: the index of a choice in its list, else the place among the
          values of the range, from 0.
        """
        if self.allowed is not None:
            return self.decode(u)
        return _index_decode(self, u) - jnp.asarray(self.low, jnp.int32)

    @in_32_bits
    def edges(self, cell: Array) -> tuple[Array, Array]:
        """Return both ends of the cells of values, as coordinates.

        Args:
          cell: numbers from `cell`, not of a choice.

        Returns:
          The lower ends and the upper ones; above 1 for numbers past the last value.
        """
        low, width = _index_span(self)
        forward = SCALES[self.scale].forward
        first = jnp.asarray(self.low, jnp.float32) + jnp.asarray(cell, jnp.float32)
        return (forward(first) - low) / width, (forward(first + 1) - low) / width

    def on_scale(self, u: Array) -> Array:
        """Turn coordinates into places on the dimension's own scale, not of a choice.

        Args:
          u: ``[n]`` in ``[0, 1]``.

        Returns:
          ``[n]`` float32.
        """
        if self.kind == "continuous":
            low, high = map(SCALES[self.scale].forward, _ends(self))
            return low + u * (high - low)
        low, width = _index_span(self)
        return low + u * width

    def surprise(self, u: Array) -> Array:
        """Return how many deviations coordinates are from the believed value.

        Args:
          u: ``[n]`` in ``[0, 1]``, not of a choice.

        Returns:
          ``[n]`` float32, negative below it.
        """
        assert self.prior is not None
        forward, step = SCALES[self.scale].forward, int(self.kind != "continuous")
        at, spread, low, high = (jnp.asarray(x, jnp.float32) for x in self.prior)
        # value k owns the interval from k to k + 1 on the scale
        centre = (forward(at) + forward(at + step)) / 2
        length = forward(high + step) - forward(low)
        return (self.on_scale(u) - centre) / (spread * length)

    @in_32_bits
    def cut(
        self, left: Array, right: Array, within: Dimension | None = None
    ) -> Dimension:
        """Return the part between two coordinates, as a dimension of the same tree.

        Args:
          left: ``[]`` lower coordinate.
          right: ``[]`` upper coordinate.
          within: a dimension whose bounds are the limit of coordinates below 0 or
            above 1; this dimension itself if not given.

        Returns:
          The dimension between them.
        """
        low, high = KINDS[self.kind].cut(self, left, right, within or self)
        # the dtype of a leaf is part of the tree that compiled programs expect
        dtype = jnp.asarray(self.low).dtype
        return dataclasses.replace(self, low=low.astype(dtype), high=high.astype(dtype))

    @in_32_bits
    def drop(self, unwanted: Array) -> Dimension:
        """Return a choice without some of its values, of the same tree.

        Args:
          unwanted: ``[k]`` bool, the values to drop.

        Returns:
          The smaller dimension.
        """
        return dataclasses.replace(self, allowed=jnp.asarray(self.allowed) & ~unwanted)

    @property
    def bounds(self) -> tuple[Any, Any]:
        """Lowest and highest value in the user's units; of a choice, first and last."""
        if self.allowed is not None:
            left = self.remaining
            return left[0], left[-1]
        edge = KINDS[self.kind].edge
        return to_python(edge(self, self.low)), to_python(edge(self, self.high))

    @property
    def remaining(self) -> tuple[Any, ...]:
        """The listed values that are still in the search."""
        if self.allowed is not None:
            kept = np.asarray(self.allowed)
            return tuple(c for c, keep in zip(self.choices, kept, strict=True) if keep)
        return self.choices[int(self.low) : int(self.high) + 1]

    @property
    def members(self) -> tuple[Any, ...]:
        """All values still in the search, in order, in the user's units.

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
        """Number of values in the search; infinite for a continuous dimension."""
        if self.allowed is not None:
            return int(np.sum(self.allowed))
        if self.kind == "continuous":
            return math.inf if self.high > self.low else 1
        return int(self.high) - int(self.low) + 1

    @property
    def middles(self) -> np.ndarray:
        """Coordinates ``[k]`` float32 in the middle of each value's cell, in order.

        Raises:
          ValueError: a continuous range of more than one value.
        """
        if self.cardinality == math.inf:
            raise ValueError(f"a real number has no list of values: {self.bounds}.")
        # in NumPy, since the number of values differs from box to box
        middles = np.arange(self.cardinality) + 0.5
        if self.allowed is None and self.kind != "continuous":
            forward, low = SCALES[self.scale].on_host, int(self.low)
            ends = forward(low)[0], forward(low + self.cardinality)[0]
            middles = (forward(low + middles)[0] - ends[0]) / (ends[1] - ends[0])
        else:
            middles = middles / self.cardinality
        return middles.astype(np.float32)

    def value(self, decoded: Any) -> Any:
        """Return a decoded number as a plain Python value in the user's units.

        Args:
          decoded: a number, or the index of a choice.

        Returns:
          A number or the choice itself.
        """
        return self.choices[int(decoded)] if self.by_index else to_python(decoded)

    def decoded(self, value: Any) -> Any:
        """Return the number that stands for a value inside a program.

        Args:
          value: a number, or the choice itself.

        Returns:
          A number, or the index of a choice.
        """
        return self.choices.index(value) if self.by_index else value

    @property
    def dtype(self) -> str:
        """Name of the dtype of decoded values."""
        if self.kind == "ordinal":
            whole = all(isinstance(value, int) for value in self.choices)
            return "int32" if whole else "float32"
        return "float32" if self.kind == "continuous" else "int32"

    @property
    def by_index(self) -> bool:
        """True if values are decoded to their index in the list of choices."""
        return self.kind in ("choice", "named_ordinal")


def to_python(number: Any) -> Any:
    """Return a Python number, a float32 as its shortest decimal (0.1, not 0.1000…)."""
    array = np.asarray(number)
    # float(np.float32(0.1)) would be 0.10000000149011612
    if array.dtype == np.float32:
        return float(str(array[()]))
    return array.item()


BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))
MAX_CELLS = 20  # log2; a float32 coordinate has 24 bits, so four are spare
EPS = float(np.finfo(np.float32).eps)


class Kind(NamedTuple):
    """One row of the table of kinds.

    Args:
      decode: ``(dimension, u [n]) -> values [n]``.
      encode: ``(dimension, values [n]) -> u [n]``.
      cut: ``(dimension, left, right, within) -> (low, high)``, see `Dimension.cut`.
      edge: ``(dimension, bound) -> value``: a leaf bound in the user's units.
    """

    decode: Callable[[Dimension, Array], Array]
    encode: Callable[[Dimension, Array], Array]
    cut: Callable[[Dimension, Array, Array, Dimension], tuple[Array, Array]]
    edge: Callable[[Dimension, ArrayLike], Any]


def _ends(dim: Dimension) -> tuple[Array, Array]:
    return jnp.asarray(dim.low, jnp.float32), jnp.asarray(dim.high, jnp.float32)


def _cells(dim: Dimension) -> Array:
    """Return the number of steps of this range that float32 can tell apart.

    A power of two, at most ``2**MAX_CELLS``. Values sit on this lattice because a map
    between float32 numbers through a logarithm has no exact inverse otherwise.
    """
    scale, (low, high) = SCALES[dim.scale], _ends(dim)
    bottom, top = scale.forward(low), scale.forward(high)
    # one rounding on the scale, and one of the value itself carried over to the scale
    resolution = EPS * (
        jnp.maximum(jnp.abs(bottom), jnp.abs(top))
        + jnp.maximum(
            jnp.abs(low) * scale.slope(low), jnp.abs(high) * scale.slope(high)
        )
    )
    # steps of four roundings, so that decode and encode always find the same one
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
    # the last lattice point is at 1, which is outside the cube
    return jnp.where(step == cells, BELOW_ONE, step / cells)


def _continuous_cut(
    dim: Dimension, left: Array, right: Array, within: Dimension
) -> tuple[Array, Array]:
    scale, (low, high) = SCALES[dim.scale], _ends(dim)
    bottom, top = scale.forward(low), scale.forward(high)

    def edge(u: Array) -> Array:
        return jnp.clip(scale.inverse(bottom + u * (top - bottom)), *_ends(within))

    # a side at the edge of the cube keeps its bound exactly, without a rounding
    return (
        jnp.where(left == 0, low, edge(left)),
        jnp.where(right == 1, high, edge(right)),
    )


def _index_span(dim: Dimension) -> tuple[Array, Array]:
    scale = SCALES[dim.scale]
    # value k owns the interval from k to k + 1 on the scale, so that high is included
    low = scale.forward(jnp.asarray(dim.low, jnp.float32))
    return low, scale.forward(jnp.asarray(dim.high, jnp.float32) + 1) - low


def _index_decode(dim: Dimension, u: Array) -> Array:
    # a coordinate just below 1 may round up to high + 1
    return _index_at(dim, u, dim)


def _index_at(dim: Dimension, u: Array, within: Dimension) -> Array:
    low, width = _index_span(dim)
    index = jnp.floor(SCALES[dim.scale].inverse(low + u * width))
    # clipped before the cast, which a coordinate far outside would overflow
    return jnp.clip(index, *_ends(within)).astype(jnp.int32)


def _index_encode(dim: Dimension, index: Array) -> Array:
    low, width = _index_span(dim)
    middle = SCALES[dim.scale].forward(jnp.asarray(index, jnp.float32) + 0.5)
    return (middle - low) / width


def _index_cut(
    dim: Dimension, left: Array, right: Array, within: Dimension
) -> tuple[Array, Array]:
    # right is exclusive: at the border of two cells the upper one is left out
    first, last = _index_at(dim, jnp.stack([left, right - 1e-6]), within)
    return first, jnp.maximum(first, last)


def _power_decode(dim: Dimension, u: Array) -> Array:
    return jnp.left_shift(jnp.int32(1), _index_decode(dim, u))


def _power_encode(dim: Dimension, value: Array) -> Array:
    # rounded, since log2 of a float32 power of two may miss the whole number
    return _index_encode(dim, jnp.round(jnp.log2(jnp.asarray(value, jnp.float32))))


def _table(dim: Dimension) -> Array:
    return jnp.asarray(dim.choices, dim.dtype)


def _ordinal_decode(dim: Dimension, u: Array) -> Array:
    return _table(dim)[_index_decode(dim, u)]


def _ordinal_encode(dim: Dimension, value: Array) -> Array:
    value, table = jnp.asarray(value)[..., None], _table(dim)
    table = jnp.expand_dims(table, range(value.ndim - 1))
    same = value == table
    # the nearest listed value: the user's numbers are rounded to float32. An infinite
    # one is at no distance from itself
    nearest = jnp.argmin(jnp.abs(value - table), axis=-1)
    found = jnp.where(same.any(-1), jnp.argmax(same, axis=-1), nearest)
    return _index_encode(dim, found)


def _choice_decode(dim: Dimension, u: Array) -> Array:
    # the j-th of the choices left, whose number is data, found without dynamic shapes
    rank = jnp.cumsum(jnp.asarray(dim.allowed))
    wanted = jnp.floor(u * rank[-1]).astype(jnp.int32) + 1
    return jnp.searchsorted(rank, jnp.minimum(wanted, rank[-1])).astype(jnp.int32)


def _choice_encode(dim: Dimension, index: Array) -> Array:
    allowed = jnp.asarray(dim.allowed)
    rank, index = jnp.cumsum(allowed), jnp.asarray(index, jnp.int32)
    # a dropped choice has no place in this cube: NaN, never a neighbour's cell
    return jnp.where(allowed[index], (rank[index] - 0.5) / rank[-1], jnp.nan)


def _choice_cut(
    dim: Dimension, left: Array, right: Array, within: Dimension
) -> tuple[Array, Array]:
    raise TypeError("choices have no order; drop them with Dimension.drop")


def _constant_decode(dim: Dimension, u: Array) -> Array:
    # no arithmetic in float32, which does not have every whole number
    return jnp.full(jnp.shape(u), jnp.asarray(dim.low, jnp.int32))


def _constant_encode(dim: Dimension, value: Array) -> Array:
    del dim
    return jnp.full(jnp.shape(value), 0.5, jnp.float32)


def _constant_cut(
    dim: Dimension, left: Array, right: Array, within: Dimension
) -> tuple[Array, Array]:
    del left, right, within
    return jnp.asarray(dim.low), jnp.asarray(dim.high)


KINDS = {
    "constant": Kind(
        _constant_decode, _constant_encode, _constant_cut, lambda dim, k: k
    ),
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
# an ordinal of anything but numbers: its values are indices inside programs
KINDS["named_ordinal"] = KINDS["integer"]._replace(edge=KINDS["ordinal"].edge)
