"""Checks of the user's arrays, which must be finite numbers in 32 bits."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def to_device(name: str, array: Any) -> jax.Array:
    """Return a checked array on the device, in 32 bits; see `to_32_bits`."""
    # integers are always finite, so they need no copy to the host and back
    if isinstance(array, jax.Array) and not jnp.issubdtype(array.dtype, jnp.inexact):
        return array
    return jnp.asarray(to_32_bits(name, array))


def to_32_bits(name: str, array: Any) -> np.ndarray:
    """Return a checked array in 32 bits.

    Args:
      name: name of the array in error messages.
      array: NumPy or JAX array.

    Returns:
      A NumPy array.

    Raises:
      ValueError: a dtype that is not numeric, a value that is not finite, or one that
        does not fit 32 bits.
    """
    host = np.asarray(array)
    if host.dtype.kind not in "fiub" and host.dtype != jnp.bfloat16:
        raise ValueError(f"{name} has dtype {host.dtype}. Use numbers.")
    if host.dtype.kind in "iu" and host.dtype.itemsize > 4:
        narrow = host.astype(np.int32)
    elif host.dtype == np.float64:
        with np.errstate(over="ignore"):
            narrow = host.astype(np.float32)
    else:
        narrow = host
    # int32 has no infinity: a value that changed in the cast did not fit
    bad = ~np.isfinite(narrow) if narrow.dtype.kind == "f" else narrow != host
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{name}: row {place[0]} has {host[place]}, which is not a finite 32-bit "
            f"number ({int(bad.sum())} such values). Clean or rescale the data."
        )
    return narrow
