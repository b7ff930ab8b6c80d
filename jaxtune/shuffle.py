"""Permutations without sorting: of the data every epoch, of the rows of a hypercube.

A permutation is a bijection computed index by index: the swap-or-not shuffle (Hoang,
Morris & Rogaway, CRYPTO 2012), which works for any number of things. In each round an
index is paired with ``shift - index``, and the pair is exchanged or not by a random bit
that both partners compute alike.
"""

import jax
import jax.numpy as jnp

from jaxtune.types import Array, Key

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
