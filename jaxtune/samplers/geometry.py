"""The cube for a model: cells instead of coordinates, choices without an order.

Coordinates that decode to the same value are the same point (Garrido-Merchán &
Hernández-Lobato, 2020), and two choices are either equal or not.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from jaxtune.space import Space
from jaxtune.types import Array


def inside(points: Array) -> Array:
    """Return ``[n]`` bool: which points ``[n, d]`` lie in the cube."""
    return ((points >= 0) & (points < 1)).all(axis=-1)


def snapped(space: Space, points: Array) -> Array:
    """Move each coordinate to the middle of its cell; those outside the cube stay.

    Args:
      space: the space of the cube.
      points: ``[n, d]``.

    Returns:
      ``[n, d]``; equal rows are equal configurations.
    """
    within = (points >= 0) & (points < 1)
    # points outside have no value to decode; 0.5 stands in for them
    cells = space.encode(space.decode(jnp.where(within, points, 0.5)))
    return jnp.where(within, cells, points)


def unordered(space: Space) -> np.ndarray:
    """Return ``[d]`` bool: which dimensions are choices."""
    return np.asarray([space[n].allowed is not None for n in space.searched], bool)


def cell_widths(space: Space) -> Array:
    """Return ``[d]`` cell widths, shares of the cube; 0 where values are continuous."""
    widths = []
    for name in space.searched:
        dim = space[name]
        if dim.allowed is not None:
            widths.append(1.0 / jnp.sum(jnp.asarray(dim.allowed)))
        elif dim.kind == "continuous":
            widths.append(jnp.float32(0))
        else:
            count = jnp.asarray(dim.high) - jnp.asarray(dim.low) + 1
            widths.append(1.0 / jnp.asarray(count, jnp.float32))
    return jnp.stack([jnp.asarray(width, jnp.float32) for width in widths])


def features(space: Space, points: Array) -> Array:
    """Map snapped points to a Euclidean space where different choices are 1 apart.

    A choice becomes a column for each of its values, so that distances need no case for
    choices. An unknown choice (NaN) is equally far from all.

    Args:
      space: the space of the cube.
      points: ``[n, d]``, snapped.

    Returns:
      ``[n, D]``.
    """
    columns = []
    for j, name in enumerate(space.searched):
        dim, u = space[name], points[:, j]
        if dim.allowed is None:
            columns.append(u[:, None])
        else:
            index = dim.decode(jnp.where(jnp.isnan(u), 0.5, u))
            hot = index[:, None] == jnp.arange(len(dim.choices))[None]
            # two columns differ, so their squares add up to a distance of 1
            columns.append(jnp.where(jnp.isnan(u)[:, None], 0.0, hot) * 0.5**0.5)
    return jnp.concatenate(columns, axis=1)


def owners(space: Space) -> np.ndarray:
    """Return ``[D]`` int: the dimension of each feature."""
    counts = [
        1 if space[name].allowed is None else len(space[name].choices)
        for name in space.searched
    ]
    return np.repeat(np.arange(space.dim), counts)
