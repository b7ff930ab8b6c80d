"""Which random keys are taken: one typed threefry key."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxtune.types import Array, Key


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


ROUNDS = 24  # a position is uniform up to 2^-24, the resolution of float32


def permutation(key: Key, count: int) -> Array:
    """A random order of ``count`` things.

    Args:
      key: random key.
      count: how many there are.

    Returns:
      ``[count]`` uint32, every index once.
    """
    bits = jax.random.bits(key, (2, ROUNDS), jnp.uint32)
    size = jnp.uint32(count)
    shifts, words = bits[0] % size, bits[1]

    def exchange(r, x):
        shift = shifts[r]
        partner = jnp.where(shift >= x, shift - x, shift + size - x)
        bit = _hash(jnp.maximum(x, partner), words[r]) >> 31
        return jnp.where(bit == 1, partner, x)

    # a loop, since XLA's fusion of unrolled rounds takes time exponential in them
    return jax.lax.fori_loop(0, ROUNDS, exchange, jnp.arange(count, dtype=jnp.uint32))


def _hash(x: Array, word: Array) -> Array:
    """Two multiply-xorshift steps; only the top bit is used."""
    x = (x ^ word) * jnp.uint32(0x9E3779B1)
    x = (x ^ (x >> 15)) * jnp.uint32(0x85EBCA77)
    return x ^ (x << 13)
