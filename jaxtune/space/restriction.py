"""A dimension with fewer values, of the same tree."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxtune.space.dimension import Dimension, to_python
from jaxtune.space.makers import fixed
from jaxtune.space.values import is_number, plain


def at_default(dim: Dimension) -> Dimension:
    """Return the dimension fixed at its default, of the same tree."""
    if dim.allowed is not None:
        only = np.asarray([value == dim.default for value in dim.choices])
        return dataclasses.replace(dim, allowed=only, searched=False)
    if dim.choices:
        index = np.asarray(dim.choices.index(dim.default), np.int32)
        return dataclasses.replace(dim, low=index, high=index, searched=False)
    if dim.kind == "power_of_two":
        index = np.asarray(int(dim.default).bit_length() - 1, np.int32)
        return dataclasses.replace(dim, low=index, high=index, searched=False)
    # fixed() makes its own bounds; their dtype must stay that of the tree
    point = fixed(dim.default)
    low = point.low.astype(np.asarray(dim.low).dtype)
    return dataclasses.replace(dim, low=low, high=low, searched=False)


def fixed_at(dim: Dimension, value: Any) -> Dimension:
    """Return the dimension fixed at one of its values, of the same tree."""
    one = at_default(dataclasses.replace(dim, default=value))
    return dataclasses.replace(one, default=dim.default)


def with_default_inside(dim: Dimension) -> Dimension:
    """Return the dimension with its default moved to the nearest value that it has.

    `Space.restrict` keeps defaults, since they are part of the tree.
    """
    if dim.allowed is not None:
        inside = dim.default in dim.remaining
        return dim if inside else dataclasses.replace(dim, default=dim.remaining[0])
    if dim.choices:
        at = np.clip(dim.choices.index(dim.default), int(dim.low), int(dim.high))
        return dataclasses.replace(dim, default=dim.choices[int(at)])
    low, high = dim.bounds
    return dataclasses.replace(dim, default=min(max(dim.default, low), high))


def restricted(dim: Dimension, wanted: Any) -> Dimension:
    """Return the part of a dimension that a user keeps.

    Args:
      dim: the dimension.
      wanted: ``(low, high)``, or a list of choices.

    Raises:
      ValueError: a fixed dimension, or bounds or choices that it does not have.
    """
    if not dim.searched:
        raise ValueError(f"it is fixed at {dim.default!r} and cannot be restricted.")
    if dim.allowed is not None:
        return _kept(dim, wanted)
    try:
        low, high = map(plain, wanted)
    except (TypeError, ValueError):
        low = high = None
    if isinstance(wanted, str | set | frozenset | dict) or (low, high) == (None, None):
        raise ValueError(
            f"restrict needs (low, high), got {wanted!r}. To fix it, use "
            "space.replace(...) with fixed(...)."
        )
    if dim.choices:
        indices = [_position(dim, low), _position(dim, high)]
    elif dim.kind == "power_of_two":
        for value in (low, high):
            if not is_number(value) or value < 1 or math.frexp(value)[0] != 0.5:
                raise ValueError(f"restrict needs powers of two, got {value!r}.")
        indices = [int(low).bit_length() - 1, int(high).bit_length() - 1]
    else:
        indices = [low, high]
    return _between(dim, wanted, *indices)


def _kept(dim: Dimension, wanted: Any) -> Dimension:
    """Return a choice of fewer values."""
    # a string would be taken for its letters, and a single value is no list
    if isinstance(wanted, str | bytes) or not isinstance(wanted, Iterable):
        raise ValueError(
            f"restrict needs a list of the choices to keep, got {wanted!r}. Use "
            f"[{wanted!r}]."
        )
    one = isinstance(wanted, tuple) and wanted in dim.choices
    values = [wanted] if one else [plain(value) for value in wanted]
    for value in values:
        if value not in dim.remaining:
            raise ValueError(f"{value!r} is not one of {list(dim.remaining)}.")
    kept = np.asarray([value in values for value in dim.choices])
    if not kept.any():
        raise ValueError("restrict needs at least one choice to keep, got none.")
    return dataclasses.replace(dim, allowed=kept)


def _between(dim: Dimension, wanted: Any, low: Any, high: Any) -> Dimension:
    smallest, largest = np.asarray(dim.low), np.asarray(dim.high)
    for value in (low, high):
        if not is_number(value):
            raise ValueError(f"restrict needs numbers, got {wanted!r}.")
    # a leaf of whole numbers would cut 2.5 down to 2 without a word
    if np.issubdtype(smallest.dtype, np.integer) and (low != int(low)):
        raise ValueError(f"restrict needs whole numbers, got {wanted!r}.")
    if not to_python(smallest) <= low <= high <= to_python(largest):
        raise ValueError(
            f"restrict to {wanted!r} does not lie in order inside {dim.bounds}. "
            "Bounds can only shrink."
        )
    return dataclasses.replace(
        dim,
        low=np.asarray(low, smallest.dtype),
        high=np.asarray(high, largest.dtype),
    )


def _position(dim: Dimension, value: Any) -> int:
    if value not in dim.choices:
        raise ValueError(f"{value!r} is not one of {list(dim.remaining)}.")
    return dim.choices.index(value)
