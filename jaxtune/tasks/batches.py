"""A fresh order of the data every epoch, without sorting and without memory.

The order is a bijection computed index by index: the swap-or-not shuffle (Hoang, Morris
& Rogaway, CRYPTO 2012), which works for any number of examples. In each round an index
is paired with ``shift - index``, and the pair is exchanged or not by a random bit that
both partners compute alike.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxtune.types import Array, Key, PyTree

ROUNDS = 24  # a position is uniform up to 2^-24, the resolution of float32


class Order(NamedTuple):
    """The random numbers of one epoch's order."""

    shifts: Array  # [ROUNDS] uint32 below the number of examples
    words: Array  # [ROUNDS] uint32


def order(key: Key, examples: int) -> Order:
    """Draw the order of one epoch.

    Args:
      key: the trial's and epoch's own key.
      examples: how many examples there are.

    Returns:
      The numbers that :func:`place` needs.
    """
    bits = jax.random.bits(key, (2, ROUNDS), jnp.uint32)
    return Order(bits[0] % jnp.uint32(examples), bits[1])


def place(order: Order, positions: Array, examples: int) -> Array:
    """Which examples stand at some positions of the order.

    Args:
      order: from :func:`order`.
      positions: ``[b]`` integers in ``[0, examples)``.
      examples: how many examples there are.

    Returns:
      ``[b]`` uint32; all positions together give every example once.
    """
    x = positions.astype(jnp.uint32)
    for shift, word in zip(order.shifts, order.words, strict=True):
        partner = jnp.where(shift >= x, shift - x, shift + jnp.uint32(examples) - x)
        bit = _hash(jnp.maximum(x, partner), word) >> 31
        x = jnp.where(bit == 1, partner, x)
    return x


def _hash(x: Array, word: Array) -> Array:
    """Two multiply-xorshift steps; only the top bit is used."""
    x = (x ^ word) * jnp.uint32(0x9E3779B1)
    x = (x ^ (x >> 15)) * jnp.uint32(0x85EBCA77)
    return x ^ (x << 13)


def take(data: PyTree, index: Array) -> PyTree:
    """Rows ``[b]`` of every array; the indices are known to be in range."""
    return jax.tree.map(lambda a: a.at[index].get(mode="promise_in_bounds"), data)
