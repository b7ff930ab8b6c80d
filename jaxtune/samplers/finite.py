"""Sequences that end, and the error when more points are requested than are left."""

from functools import partial

import jax
import jax.numpy as jnp

from jaxtune.types import Array


def bounded(asked: Array, n: int, size: int | Array, name: str, more: str) -> Array:
    """Return the ids of the next ``n`` points of a sequence of ``size``.

    Args:
      asked: ``[]`` int32, points handed out so far.
      n: points requested.
      size: points of the whole sequence.
      name: the sampler, for the message.
      more: how to get a longer sequence, for the message.

    Returns:
      ``[n]`` int32 ids. Under ``jit``, where nothing can be raised, the ids past the
      end are -1.

    Raises:
      ValueError: fewer than ``n`` are left.
    """
    # a traced count has no value to compare
    traced = any(isinstance(count, jax.core.Tracer) for count in (asked, size))
    if not traced and int(asked) + n > size:
        raise ValueError(
            f"{name} has {size} points, {asked} were handed out and {n} more were "
            f"requested. Ask for at most {size - asked}, or {more}."
        )
    return _ids(asked, n, size)


@partial(jax.jit, static_argnums=1)
def _ids(asked: Array, n: int, size: int | Array) -> Array:
    ids = asked + jnp.arange(n)
    return jnp.where(ids < size, ids, -1)


def nan_if_past_end(ids: Array, points: Array) -> Array:
    """Return the points ``[n, d]``, with NaN where the id ``[n]`` is -1.

    JAX clamps an index that is out of range, so the last point would be handed out
    again, silently.
    """
    return jnp.where(ids[:, None] < 0, jnp.nan, points)
