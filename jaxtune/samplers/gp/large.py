"""Batches of hundreds or thousands of points: each is the best of one function.

Functions are drawn in chunks. Each chunk has candidates of its own, all over the box
and around the best trials; around the best of them each function then has a few more,
ever closer.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxtune.samplers.beliefs import believed, following
from jaxtune.samplers.geometry import enumerated, features, snapped
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
BOLD = (1.0, 0.5, 0.25, 0.1)  # of one function after the other, see `drawn_paths`
OWN, NEARER = 16, (0.1, 0.02)  # candidates of each function, and their widest steps
DRAWS = 2 + len(NEARER)  # of candidates, in a chunk


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
    begin: Array | int,
    n: Array | int,
    size: int,
) -> Chunk:
    """Return the best points of functions drawn from the process.

    Args:
      process: after the data.
      space: of the points.
      box: to search.
      leaders: ``[LEADERS, d]`` the best trials.
      keys: of candidates, and of functions.
      begin: number of the first function.
      n: how many are wanted.
      size: chunks that there is room for; one program serves all of one size.

    Returns:
      The chunks, each leaf with ``size`` of them in front; the promise of those that
      are not wanted is minus infinity.
    """
    of_pool, of_paths = keys

    def fill(number: Array, chunks: Chunk) -> Chunk:
        own = [jax.random.fold_in(of_pool, number * DRAWS + i) for i in range(DRAWS)]
        shared = _shared(own[0], own[1], space, box, leaders)
        ids = begin + number * CHUNK + jnp.arange(CHUNK)
        bold = jnp.asarray(BOLD)[ids % len(BOLD)]
        paths = drawn_paths(process, of_paths, ids, bold)
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
        filled = Chunk(best, shared, values.max(0))
        return jax.tree.map(lambda all, one: all.at[number].set(one), chunks, filled)

    none = Chunk(
        jnp.full((size, CHUNK, space.dim), 0.5),
        jnp.full((size, 2 * SHARED, space.dim), 0.5),
        jnp.full((size, 2 * SHARED), -jnp.inf),
    )
    return jax.lax.fori_loop(0, (n + CHUNK - 1) // CHUNK, fill, none)


def _shared(key: Key, other: Key, space: Space, box: Box, leaders: Array) -> Array:
    """Return candidates of a chunk ``[2 * SHARED, d]``, snapped to cells."""
    none = jnp.zeros_like(leaders)
    spread = candidates.clouds(key, space, box, none, CLOUD, 0.0, True)
    if believed(space):  # every second one follows the beliefs
        second = jnp.arange(SHARED)[:, None] % 2 == 1
        spread = jnp.where(second, following(space, spread), spread)
    every, few = enumerated(space, jnp.arange(SHARED), SHARED)
    spread = jnp.where(few, every, spread)
    near = candidates.clouds(other, space, box, leaders, CLOUD, WIDEST)
    return snapped(space, jnp.concatenate([spread, near]))
