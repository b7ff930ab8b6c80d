"""The numbers that functions of the user return."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.types import Array

# of JAX, where a number is needed that is known only when the program runs
TAKEN_OUT = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)


def real_scalar(value: Any, what: str, way_out: str) -> Array:
    """Return one real number as ``[]`` float32.

    Args:
      value: from a function of the user.
      what: the name of the value in an error.
      way_out: the end of an error: how to mend it.

    Raises:
      ValueError: anything but one real scalar.
    """
    if not isinstance(value, jax.Array | np.ndarray | np.generic | int | float):
        raise ValueError(f"{what} is a {type(value).__name__}. {way_out}")
    array = jnp.asarray(value)
    if array.shape != ():
        raise ValueError(f"{what} has shape {array.shape}. {way_out}")
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise ValueError(f"{what} has dtype {array.dtype}. {way_out}")
    return array.astype(jnp.float32)
