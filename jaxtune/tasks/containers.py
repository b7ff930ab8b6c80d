"""Arrays out of what people keep data in: lists, data frames, sparse, masked arrays.

Nothing here imports those libraries: a caller who has a data frame has pandas.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from jaxtune.tasks.arrays import check_told_apart, to_32_bits

LARGEST = 2**30  # bytes of a sparse array as a dense one


def as_array(name: str, value: Any) -> np.ndarray | jax.Array:
    """Return a leaf of a user's data as an array, if that has one meaning.

    Args:
      name: name of the array in error messages.
      value: an array, a list of numbers or rows, a data frame or one of its columns, a
        sparse array, or a masked one without masked values.

    Returns:
      An array in the byte order of this machine. Its values are not checked.

    Raises:
      ValueError: masked or missing values, rows of several lengths, columns that are no
        numbers, mixed types, or a sparse array that is too large as a dense one.
    """
    if isinstance(value, jax.Array):
        return value
    if isinstance(value, np.ma.MaskedArray):
        return _native(_unmasked(name, value))
    if hasattr(value, "nnz") or hasattr(value, "nse"):
        return _native(_dense(name, value))
    if is_frame(value):
        return columns(name, _by_name(value))
    if hasattr(value, "iloc") and hasattr(value, "isna"):  # one column of pandas
        _refuse_missing(name, value)
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(
            f"{name} is a {type(value).__name__} whose rows differ in their shapes. "
            "Pad or crop them to one shape."
        ) from None
    plain = isinstance(value, np.ndarray) and array.dtype.kind not in "OST"
    return _native(array if plain else _of_one_type(name, array, value))


def is_frame(value: Any) -> bool:
    """Return whether this is a data frame of pandas."""
    return hasattr(value, "iloc") and hasattr(value, "columns")


def is_one_array(value: Any) -> bool:
    """Return whether this is one array, though JAX would take it apart as a tree."""
    if hasattr(value, "nse"):  # sparse arrays of JAX
        return True
    several = (dict, tuple)
    return isinstance(value, list) and not any(
        hasattr(item, "shape") or isinstance(item, several) for item in value[:1]
    )


def columns(name: str, named: Iterable[tuple[Any, Any]]) -> np.ndarray:
    """Return columns of pandas side by side.

    Args:
      name: name of the whole in error messages.
      named: pairs of a name and a column.

    Returns:
      ``[N, d]``: integers if all columns hold integers, else float32.

    Raises:
      ValueError: a column that does not hold numbers, has missing values, or values
        that do not fit 32 bits.
    """
    # checked here, where the column has a name; a task would know only its number
    checked = [
        (f"{name}: column {key!r}", check_column(f"{name}: column {key!r}", column))
        for key, column in named
    ]
    if all(values.dtype.kind in "iu" for _, values in checked):
        return np.stack([values for _, values in checked], axis=1)
    table = np.empty((len(checked[0][1]), len(checked)), np.float32)
    for number, (where, values) in enumerate(checked):
        table[:, number] = values
        check_told_apart(where, values, table[:, number])
    return table


def check_column(where: str, column: Any) -> np.ndarray:
    """Return a column of pandas as numbers in 32 bits, or say what is wrong with it."""
    kind = getattr(column.dtype, "kind", "O")
    if kind not in "fiub":
        key = where.rpartition("column ")[2]
        raise ValueError(
            f"{where} has dtype {column.dtype}, not numbers. Leave it out, or use its "
            f"codes: frame[{key}].astype('category').cat.codes"
        )
    _refuse_missing(where, column)
    # a nullable column without missing values becomes an ordinary array only if asked
    return to_32_bits(where, column.to_numpy(np.dtype(f"{kind}{_width(column)}")))


def _width(column: Any) -> int:
    return int(getattr(column.dtype, "itemsize", 8))


def _refuse_missing(where: str, column: Any) -> None:
    missing = int(column.isna().sum())
    if missing:
        raise ValueError(
            f"{where} misses {missing} of {len(column)} values. Fill them, or drop "
            "the rows."
        )


def _by_name(frame: Any) -> list[tuple[Any, Any]]:
    if not len(frame.columns):
        raise ValueError("a data frame without columns holds no data.")
    # by place: two columns may have one name
    return [(key, frame.iloc[:, i]) for i, key in enumerate(frame.columns)]


def _unmasked(name: str, value: Any) -> np.ndarray:
    mask = np.ma.getmaskarray(value)
    if mask.any():
        raise ValueError(
            f"{name} has {int(mask.sum())} masked values, the first in row "
            f"{int(np.argwhere(mask)[0][0])}. Fill them by .filled(...), or drop the "
            "rows."
        )
    return np.asarray(value.data)


def _dense(name: str, value: Any) -> np.ndarray:
    size = math.prod(value.shape) * np.dtype(value.dtype).itemsize
    if size > LARGEST:
        raise ValueError(
            f"{name} is sparse and would take {size / 2**30:.1f} GiB as an array. Use "
            "jaxtune.data.stream with batches x[rows].toarray(), or fewer columns."
        )
    return np.asarray(value.toarray() if hasattr(value, "toarray") else value.todense())


def _of_one_type(name: str, array: np.ndarray, value: Any) -> np.ndarray:
    """Return an array of Python objects by the type that all of them have."""
    if array.dtype.kind not in "OUST":
        return array
    # NumPy turns the numbers of ["a", 1] into strings, but the objects are still there
    items = np.asarray(value, object).ravel()
    for row, item in enumerate(items):
        if _is_missing(item):
            raise ValueError(f"{name}: row {row} has {item}. Fill it, or drop the row.")
    if all(isinstance(item, str | bytes) for item in items):
        return np.asarray(items.tolist(), str).reshape(array.shape)
    if not all(isinstance(item, numbers.Real | np.ndarray | list) for item in items):
        names = sorted({type(item).__name__ for item in items})
        raise ValueError(f"{name} holds {', '.join(names)}. Use numbers only.")
    try:
        return np.asarray(array.tolist())
    except ValueError:
        raise ValueError(
            f"{name} holds arrays that differ in their shapes. Pad or crop them to one."
        ) from None


def _is_missing(item: Any) -> bool:
    # None, not a number, and what pandas has for a value that is not there
    nan = isinstance(item, float) and math.isnan(item)
    return item is None or nan or type(item).__name__ in ("NAType", "NaTType")


def _native(array: np.ndarray) -> np.ndarray:
    """Return an array in the byte order of this machine, which JAX demands."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)
