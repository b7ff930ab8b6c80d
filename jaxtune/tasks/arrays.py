"""Checks of the user's arrays, which must be finite numbers in 32 bits."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# what to do with values that are no numbers, by the kind of their dtype
WAYS_OUT = {
    "M": ", such as days: (dates - dates.min()) / np.timedelta64(1, 'D')",
    "m": ", such as days: spans / np.timedelta64(1, 'D')",
    "c": ", such as the real and the imaginary part side by side",
    "U": ": texts of digits become numbers by .astype(float)",
    "S": ": texts of digits become numbers by .astype(float)",
}
EXACT = 2**24  # float32 has all whole numbers below it


def to_device(name: str, array: Any) -> jax.Array:
    """Return a checked array on the device, in 32 bits; see `to_32_bits`.

    A JAX array that is one already is returned as it is, not held a second time.
    """
    if isinstance(array, jax.Array) and _fits(array):
        return array
    # a copy: on a CPU JAX would share NumPy's memory, and see what is written to it
    return jnp.array(to_32_bits(name, array))


def to_32_bits(name: str, array: Any) -> np.ndarray:
    """Return a checked array in 32 bits.

    Args:
      name: name of the array in error messages.
      array: NumPy or JAX array.

    Returns:
      A NumPy array.

    Raises:
      ValueError: a dtype that is not numeric, a value that is not finite, or one that
        does not fit 32 bits, or values that float32 cannot tell apart.
    """
    host = np.asarray(array)
    check_numbers(name, host)
    wide = host.dtype.itemsize > 4
    if host.dtype.kind in "iu" and wide:
        narrow = host.astype(np.int32)
    elif host.dtype.kind == "f" and wide:
        with np.errstate(over="ignore"):
            narrow = host.astype(np.float32)
    else:
        narrow = host
    # int32 has no infinity: a value that changed in the cast did not fit
    bad = narrow != host if narrow.dtype.kind in "iub" else ~np.isfinite(narrow)
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{name}: row {place[0]} has {host[place]}, which is not a finite 32-bit "
            f"number ({int(bad.sum())} such values). Clean or rescale the data."
        )
    if wide and narrow.dtype.kind == "f":
        check_told_apart(name, host, narrow)
    return narrow


def check_numbers(name: str, array: np.ndarray | jax.Array) -> None:
    """Raise ``ValueError`` for a dtype that holds no real numbers."""
    if array.dtype.kind not in "fiub" and array.dtype != jnp.bfloat16:
        way_out = WAYS_OUT.get(array.dtype.kind, "")
        raise ValueError(f"{name} has dtype {array.dtype}. Use numbers{way_out}.")


def check_told_apart(name: str, wide: np.ndarray, narrow: np.ndarray) -> None:
    """Refuse large values most of which become equal in float32.

    Identifiers and times in seconds differ in digits that float32 does not have: a
    column ``2**40 + i`` would become one constant.

    Args:
      name: name of the array in error messages.
      wide: ``[...]`` the values as they were.
      narrow: ``[...]`` the same in float32.

    Raises:
      ValueError: half of the different values of a column, or more, become equal.
    """
    if narrow.size == 0 or np.abs(narrow).max() < EXACT:
        return
    table = narrow.ndim > 1
    shorts, longs = (
        a.reshape(-1, a.shape[-1]).T if table else a[None] for a in (narrow, wide)
    )
    for number, (short, long) in enumerate(zip(shorts, longs, strict=True)):
        if np.abs(short).max() < EXACT:
            continue
        kept, had = np.unique(short).size, np.unique(long).size
        if 2 * kept <= had:
            where = f" in column {number}" if table else ""
            raise ValueError(
                f"{name} has {had} different values{where}, of which float32 can tell "
                f"{kept} apart. Subtract their smallest, rescale, or leave them out."
            )


def _fits(array: jax.Array) -> bool:
    """Return whether an array on the device can stay as it is."""
    if jnp.issubdtype(array.dtype, jax.dtypes.extended):
        return True  # random keys
    if array.dtype.itemsize > 4 or jnp.issubdtype(array.dtype, jnp.complexfloating):
        return False
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return True
    # elsewhere the copy on the host would stay beside the array for as long as it lives
    on_cpu = all(device.platform == "cpu" for device in array.devices())
    return bool(np.isfinite(array).all() if on_cpu else jnp.isfinite(array).all())
