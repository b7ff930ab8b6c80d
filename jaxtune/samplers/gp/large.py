"""Batches of hundreds or thousands of points: each is the best of one function.

Functions are drawn in chunks. Each chunk has candidates of its own, all over the box
and around the best trials; around the best of them each function then has a few more,
ever closer.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxtune.samplers.geometry import features, listed, snapped
from jaxtune.samplers.gp import candidates
from jaxtune.samplers.gp.candidates import Box
from jaxtune.samplers.gp.model import Posterior
from jaxtune.samplers.gp.paths import drawn_paths, each_at_its_own, everywhere
from jaxtune.space import Space
from jaxtune.types import Array, Key

CHUNK = 256  # functions
LEADERS, CLOUD = 32, 32  # clouds around the best trials, and candidates in each
SHARED = LEADERS * CLOUD  # as many all over the box
WIDEST = 0.2  # step around the best trials
OWN, NEARER = 16, (0.1, 0.02)  # candidates of each function, and their widest steps


class Chunk(NamedTuple):
    """Points of a chunk: the best ones of its functions, and the other candidates."""

    best: Array  # [CHUNK, d]
    others: Array  # [2 * SHARED, d]
    promise: Array  # [2 * SHARED] the largest value that any function has there


def drawn_chunks(
    process: Posterior,
    space: Space,
    box: Box,
    leaders: Array,
    keys: tuple[Key, Key],
    chunks: int,
) -> Chunk:
    """Return the best points of functions drawn from the process.

    Args:
      process: after the data.
      space: of the points.
      box: to search.
      leaders: ``[LEADERS, d]`` the best trials.
      keys: of candidates, and of functions.
      chunks: how many.

    Returns:
      The chunks, each leaf with the chunks in front.
    """
    of_pool, of_paths = keys

    def chunk(number: Array) -> Chunk:
        own = [
            jax.random.fold_in(of_pool, number * (2 + len(NEARER)) + i)
            for i in range(2 + len(NEARER))
        ]
        shared = _shared(own[0], own[1], space, box, leaders)
        ids = number * CHUNK + jnp.arange(CHUNK)
        paths = drawn_paths(process, of_paths, ids)
        values = everywhere(process, paths, features(space, shared))
        top = jnp.argmax(values, axis=1)
        best, height = shared[top], jnp.take_along_axis(values, top[:, None], 1)[:, 0]
        for key, widest in zip(own[2:], NEARER, strict=True):
            near = candidates.clouds(key, space, box, best, OWN, widest)
            near = snapped(space, near).reshape(CHUNK, OWN, -1)
            x = features(space, near.reshape(CHUNK * OWN, -1)).reshape(CHUNK, OWN, -1)
            near = jnp.concatenate([best[:, None], near], axis=1)
            found = each_at_its_own(process, paths, x)
            found = jnp.concatenate([height[:, None], found], axis=1)
            top = jnp.argmax(found, axis=1)[:, None]
            height = jnp.take_along_axis(found, top, 1)[:, 0]
            best = jnp.take_along_axis(near, top[:, :, None], 1)[:, 0]
        return Chunk(best, shared, values.max(0))

    return jax.lax.map(chunk, jnp.arange(chunks))


def _shared(key: Key, other: Key, space: Space, box: Box, leaders: Array) -> Array:
    """Return candidates of a chunk ``[2 * SHARED, d]``, snapped to cells."""
    none = jnp.zeros_like(leaders)
    spread = candidates.clouds(key, space, box, none, CLOUD, 0.0, True)
    every, few = listed(space, jnp.arange(SHARED), SHARED)
    spread = jnp.where(few, every, spread)
    near = candidates.clouds(other, space, box, leaders, CLOUD, WIDEST)
    return snapped(space, jnp.concatenate([spread, near]))
