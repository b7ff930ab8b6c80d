"""Points that follow the beliefs of a space, and the weight of beliefs for a model.

Each coordinate of a point that follows is drawn from the belief about its dimension
(`jaxtune.near`) with probability `SHARE`, and lies anywhere otherwise. Evenly spread
points are moved by the inverse of its distribution function: they stay even, but are
denser where good values are expected. A model's expectations are multiplied by the
density to a power that falls with the number of trials (Hvarfner et al., 2022).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxtune.checks import warn
from jaxtune.recent import recent_jit
from jaxtune.space import Space
from jaxtune.space.dimension import BELOW_ONE, Dimension
from jaxtune.types import Array

SHARE = 0.75  # of a dimension's points, those that follow its belief
BINS = 256  # of the distribution of an ordered dimension in a box
FADING = 5  # trials after which a model weighs beliefs less than once


def believed(space: Space) -> list[str]:
    """Return the names of the searched dimensions with a belief."""
    return [name for name in space.searched if space[name].prior is not None]


def warn_of_beliefs(where: str, space: Space) -> None:
    """Say that a sampler does not follow the beliefs of a space, if it has any."""
    if names := believed(space):
        warn(
            f"{where}: does not follow the beliefs (prior=) about {', '.join(names)}. "
            "Use another sampler, such as sobol() or gaussian_process()."
        )


@recent_jit()
def following(space: Space, points: Array) -> Array:
    """Move uniform points so that they follow the beliefs of a space.

    Args:
      space: of the cube; its bounds cut the beliefs off.
      points: ``[n, d]``, uniform in ``[0, 1)``.

    Returns:
      ``[n, d]`` in ``[0, 1)``.
    """
    columns = dict(zip(space.searched, points.T, strict=True))
    for name in believed(space):
        edges, masses = _distribution(space[name])
        ends = jnp.concatenate([jnp.zeros(1), jnp.cumsum(masses)])
        moved = jnp.interp(columns[name], ends, edges)
        columns[name] = jnp.minimum(moved, BELOW_ONE)
    return jnp.stack([columns[name] for name in space.searched], axis=1)


@recent_jit()
def partly_following(space: Space, points: Array, begin: Array) -> Array:
    """Return points of a sequence, of which about every second one follows the beliefs.

    The others lie anywhere: where beliefs are wrong, half of the search is as without.

    Args:
      space: of the cube.
      points: ``[n, d]`` of a sequence that is even in the cube.
      begin: number of the first one.
    """
    # multiples of the golden ratio: in step with no digit of a number, as Sobol's are
    numbers = (begin + jnp.arange(len(points))).astype(jnp.uint32)
    follows = numbers * jnp.uint32(0x9E3779B9) < jnp.uint32(2**31)
    return jnp.where(follows[:, None], following(space, points), points)


def log_belief(space: Space, points: Array, trials: Array | int) -> Array:
    """Compute by how much beliefs raise the expectations of a model.

    Args:
      space: of the cube.
      points: ``[n, d]`` in it.
      trials: how many scores the model knows.

    Returns:
      ``[n]``: the logarithm of the density, relative to the uniform one, times
      `FADING` divided by ``trials``, but at most once.
    """
    total = jnp.zeros(len(points))
    names = believed(space)
    if not names:
        return total
    if any(space[name].condition for name in names):
        holds = space.active(space.decode(jnp.clip(points, 0, BELOW_ONE)))
    for name in names:
        edges, masses = _distribution(space[name])
        u = points[:, space.searched.index(name)]
        place = jnp.searchsorted(edges, u, side="right", method="compare_all") - 1
        place = jnp.clip(place, 0, len(masses) - 1)
        width = jnp.maximum(edges[1:] - edges[:-1], 1e-9)
        here = jnp.log(jnp.maximum(masses / width, 1e-9))[place]
        matters = holds[name] if space[name].condition else True
        total += jnp.where(matters, here, 0.0)
    return total * jnp.minimum(1.0, FADING / jnp.maximum(trials, 1))


def _distribution(dim: Dimension) -> tuple[Array, Array]:
    """Return the edges ``[k + 1]`` of parts of the cube, and the mass of each part."""
    prior: Any = dim.prior
    if dim.allowed is not None:
        allowed = jnp.asarray(dim.allowed, jnp.float32)
        even = allowed / allowed.sum()
        own = jnp.arange(len(dim.choices)) == prior.at
        weights = allowed * (own * (1 - prior.spread) + prior.spread / len(dim.choices))
        edges = jnp.concatenate([jnp.zeros(1), jnp.cumsum(even)])
    else:
        even = jnp.full(BINS, 1 / BINS)
        middles = (jnp.arange(BINS) + 0.5) / BINS
        # of a box that is far from the value only the ratios matter
        weights = jax.nn.softmax(-(dim.surprise(middles) ** 2) / 2)
        edges = jnp.linspace(0, 1, BINS + 1)
    masses = weights / weights.sum()
    return edges, SHARE * masses + (1 - SHARE) * even
