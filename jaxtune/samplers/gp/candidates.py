"""Candidates of a batch: points of the whole cube, and clouds around good points."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.samplers.geometry import cell_widths, unordered
from jaxtune.space import Space
from jaxtune.space.dimension import BELOW_ONE
from jaxtune.types import Array, Key


class Box(NamedTuple):
    """A part of the cube."""

    low: Array  # [d]
    high: Array  # [d] the largest coordinate, in the box as well


def unit_cube(dim: int) -> Box:
    """Return the box that is the whole cube."""
    return Box(jnp.zeros(dim), jnp.full(dim, BELOW_ONE))


def clouds(
    key: Key,
    space: Space,
    box: Box,
    centres: Array,
    count: int,
    widest: Array | float,
    anew: Array | bool = False,
) -> Array:
    """Draw clouds around centres: a few coordinates of each point move, near or far.

    A coordinate moves by a normal step whose width is drawn between a thousandth of
    ``widest`` and ``widest``, and is a cell at least; a choice is drawn anew. The first
    points of a cloud, half of them at most, are instead the neighbours of its centre,
    where one coordinate is in another cell.

    Args:
      key: of the draw.
      space: the space of the cube.
      box: where the points must lie.
      centres: ``[k, d]``; NaN, a choice that was dropped, counts as the middle.
      count: points of each cloud.
      widest: the largest width of a step.
      anew: whether to draw uniform points of the box instead.

    Returns:
      ``[k * count, d]``, not snapped to cells.
    """
    rows, dim = centres.shape[0] * count, space.dim
    # one draw for all: the code of a draw is long, and compiled for each of them
    shares = jax.random.uniform(key, (rows, 3 * dim + 2))
    width, share = shares[:, :1], shares[:, 1:2]
    which, where, free = jnp.split(shares[:, 2:], 3, axis=1)
    width = widest * 1e-3**width
    # a normal step; the draw may be 0, which has no quantile
    step = 2**0.5 * jax.lax.erf_inv(2 * jnp.maximum(where, 1e-7) - 1)
    # a step below the width of a cell would be snapped back to where it began
    step = step * jnp.maximum(width, cell_widths(space)[None])
    # on average at least one coordinate of a point moves
    moves = (which < jnp.maximum(share**2, 1.0 / dim)) | anew
    centres = jnp.nan_to_num(centres, nan=0.5)
    centres = jnp.clip(centres, box.low[None], box.high[None])
    base = jnp.repeat(centres, count, axis=0)
    free = box.low[None] + free * (box.high - box.low)[None]
    moved = jnp.where(unordered(space)[None] | anew, free, base + step)
    points = jnp.where(moves, moved, base).reshape(-1, count, dim)
    near = _neighbours(space, centres, count // 2)
    first = jnp.where(anew, points[:, : near.shape[1]], near)
    points = jnp.concatenate([first, points[:, near.shape[1] :]], axis=1)
    return _into(points.reshape(rows, dim), box)


def _into(points: Array, box: Box) -> Array:
    """Reflect points at the sides of the box, so that they do not pile up there."""
    low, high = box.low[None], box.high[None]
    points = jnp.where(points < low, 2 * low - points, points)
    points = jnp.where(points > high, 2 * high - points, points)
    return jnp.clip(points, low, high)


def _neighbours(space: Space, centres: Array, most: int) -> Array:
    """Return neighbours ``[k, m, d]`` of points, one coordinate in another cell.

    A choice takes each of its values, and an ordered dimension of cells the two next
    ones on each side. Of more than ``most``, some are left out.
    """
    every = _steps(space)
    kept = np.linspace(0, len(every), min(len(every), most), endpoint=False).astype(int)
    owner, step = every[kept, 0], every[kept, 1].astype(np.float32)
    width = cell_widths(space)[owner]
    # of a choice the step is the cell itself
    anew, near = (step + 0.5) * width % 1.0, centres[:, owner] + (step * width)[None]
    to = jnp.where(unordered(space)[owner][None], anew[None], near)
    own = owner[:, None] == np.arange(space.dim)[None]
    return jnp.where(own[None], to[:, :, None], centres[:, None])


def _steps(space: Space) -> np.ndarray:
    """Return ``[m, 2]`` int: a dimension and a step, for each way to another cell."""
    steps: list[tuple[int, int]] = []
    for j, name in enumerate(space.searched):
        dim = space[name]
        if dim.allowed is not None:
            steps += [(j, value) for value in range(len(dim.choices))]
        elif dim.kind != "continuous":
            steps += [(j, cells) for cells in (-2, -1, 1, 2)]
    return np.asarray(steps, int).reshape(len(steps), 2)
