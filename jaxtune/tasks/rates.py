"""Dropout with a traced rate, for the layers of Linen and NNX.

Both compare the rate with 0 in Python, which a traced number does not allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxtune.types import Array, Key


def dropped(inputs: Array, rate: Any, key: Key, shared: Sequence[int]) -> Array:
    """Return what Flax's dropout returns for a rate of the same value, bit by bit.

    Args:
      inputs: any shape.
      rate: ``[]`` probability of a zero.
      key: of the mask.
      shared: axes along which the mask is the same.
    """
    kept = 1.0 - jnp.asarray(rate)
    shape = list(inputs.shape)
    for axis in shared:
        shape[axis] = 1
    mask = jnp.broadcast_to(jax.random.bernoulli(key, kept, tuple(shape)), inputs.shape)
    # divided inside the where, whose other branch would give gradients of NaN at 1
    scaled = inputs / jnp.where(kept > 0, kept, 1.0).astype(inputs.dtype)
    return jnp.where(mask, scaled, jnp.zeros_like(inputs))
