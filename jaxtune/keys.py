"""Which random keys are taken: one typed threefry key."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxtune.types import Key


def check_key(key: Any) -> Key:
    """Refuse anything but one typed key whose numbers ``vmap`` does not change.

    Args:
      key: what the user gave.

    Returns:
      The key.

    Raises:
      ValueError: an integer, a raw or batched key, or another implementation.
    """
    if not isinstance(key, jax.Array) or not jnp.issubdtype(
        key.dtype, jax.dtypes.prng_key
    ):
        raise ValueError(f"key: got {key!r}. Use jax.random.key(0).")
    if key.shape != ():
        raise ValueError(f"key: got an array of keys {key.shape}. Use one key.")
    if "fry" not in str(key.dtype):
        raise ValueError(
            f"key: got {key.dtype}, whose numbers change under vmap. "
            "Use jax.random.key(0, impl='threefry2x32')."
        )
    return key
