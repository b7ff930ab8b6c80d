"""Columns of points and hyperparameters, checked before a program reads them.

JAX clips an index that is out of range, and drops the imaginary part of a number,
without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxtune.door import has_real_numbers, shown
from jaxtune.space.dimension import Dimension


def as_numbers(name: str, values: Any) -> Any:
    """Return an array of real numbers, or what JAX traces as it is.

    Raises:
      ValueError: text, objects, complex numbers, or rows of different lengths.
    """
    if hasattr(values, "dtype"):
        array = values
    else:
        try:
            array = np.asarray(values)
        except ValueError:
            raise ValueError(
                f"{name}: got {shown(values)}, of rows of different lengths. Use an "
                "array."
            ) from None
        except jax.errors.TracerArrayConversionError:  # a list of traced values
            return jax.numpy.asarray(values)
    if not has_real_numbers(array, booleans=True):
        raise ValueError(
            f"{name}: got {shown(values)}, of dtype {array.dtype}. Use real numbers."
        )
    return array


def check_hparams(
    dimensions: Mapping[str, Dimension], arrays: Mapping[str, Any]
) -> None:
    """Check the hyperparameters that `jaxtune.Space.encode` gets.

    Args:
      dimensions: name to dimension.
      arrays: name to what was given for it.

    Raises:
      ValueError: what is no array of numbers, arrays of different shapes, or a number
        that is no index of the choices.
    """
    first = next(iter(arrays))
    for name, array in arrays.items():
        as_numbers(f"encode: {name}", array)
        if np.shape(array) != np.shape(arrays[first]):
            raise ValueError(
                f"encode: {name} has shape {np.shape(array)}, and {first} has "
                f"{np.shape(arrays[first])}. Use one value for each trial."
            )
        if dimensions[name].by_index and not isinstance(array, jax.core.Tracer):
            _check_indices(name, np.asarray(array), len(dimensions[name].choices))


def _check_indices(name: str, indices: np.ndarray, count: int) -> None:
    wrong = ~((indices >= 0) & (indices < count) & (indices == np.floor(indices)))
    if wrong.any():
        raise ValueError(
            f"encode: {name} has {indices[wrong].flat[0]}, which is no index of its "
            f"{count} values. Use whole numbers from 0 to {count - 1}."
        )
