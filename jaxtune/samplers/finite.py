"""Sequences that end: what happens when more points are asked than there are."""

from functools import partial

import jax
import jax.numpy as jnp

from jaxtune.types import Array


def bounded(asked: Array, n: int, size: int | Array, name: str, more: str) -> Array:
    """Ids of the next ``n`` points of a sequence of ``size``.

    Args:
      asked: ``[]`` int32, points handed out so far.
      n: how many are wanted.
      size: how many there are.
      name: the sampler, for the message.
      more: how to get a longer sequence, for the message.

    Returns:
      ``[n]`` int32 ids. Under ``jit``, where nothing can be raised, the ids past the
      end are -1.

    Raises:
      ValueError: fewer than ``n`` are left.
    """
    traced = any(isinstance(count, jax.core.Tracer) for count in (asked, size))
    if not traced and int(asked) + n > size:
        raise ValueError(
            f"{name} has {size} points, {asked} were handed out and {n} more were "
            f"asked for. Ask for at most {size - asked}, or {more}."
        )
    return _ids(asked, n, size)


@partial(jax.jit, static_argnums=1)
def _ids(asked: Array, n: int, size: int | Array) -> Array:
    ids = asked + jnp.arange(n)
    return jnp.where(ids < size, ids, -1)


def nan_if_past_end(ids: Array, points: Array) -> Array:
    """Points ``[n, d]``, with NaN where the id ``[n]`` is -1: never a clamped row."""
    return jnp.where(ids[:, None] < 0, jnp.nan, points)
