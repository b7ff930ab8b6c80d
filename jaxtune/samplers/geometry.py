"""The cube for a model: cells instead of coordinates, choices without an order.

Coordinates that decode to the same value are the same point (Garrido-Merchán &
Hernández-Lobato, 2020), and two choices are either equal or not.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np

from jaxtune.space import Dimension, Space, conditions
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
    u = jnp.where(within, points, 0.5)
    columns: dict[str, Array] = {}
    for dim, names in _alike(space):
        where = np.asarray([space.searched.index(name) for name in names])
        middles = dim.encode(dim.decode(u[:, where]))
        columns |= dict(zip(names, middles.T, strict=True))
    for name, holds in _active(space, u).items():
        columns[name] = jnp.where(holds, columns[name], 0.5)
    cells = jnp.stack([columns[name] for name in space.searched], axis=1)
    return jnp.where(within, cells, points)


def enumerated(space: Space, numbers: Array, most: int) -> tuple[Array, Array]:
    """Return configurations of a finite space by their numbers.

    Args:
      space: the space of the cube.
      numbers: ``[n]`` int, of the cells of all dimensions, the last one fastest; they
        start again at the end.
      most: the largest number of cells that are listed.

    Returns:
      ``[n, d]`` points at the middle of their cells, and ``[]`` bool: whether the space
      has so few cells; if not, the points are of no use.
    """
    widths = cell_widths(space)
    counts = jnp.where(widths > 0, jnp.round(1 / jnp.maximum(widths, 1e-9)), jnp.inf)
    few = counts.prod() <= most
    sizes = jnp.where(few, counts, 1.0).astype(jnp.int32)
    strides = jnp.append(jnp.cumprod(sizes[:0:-1])[::-1], 1)
    digits = numbers[:, None] // strides[None] % sizes[None]
    columns: dict[str, Array] = {}
    for dim, names in _alike(space):
        where = np.asarray([space.searched.index(name) for name in names])
        # of a continuous dimension no cell is listed, so any coordinate will do
        columns |= dict(
            zip(names, dim.encode(dim.low + digits[:, where]).T, strict=True)
        )
    return jnp.stack([columns[name] for name in space.searched], axis=1), few


def _alike(space: Space) -> list[tuple[Dimension, list[str]]]:
    """Return dimensions with bounds ``[1, k]``, each for the ``k`` names it stands for.

    A program for each dimension by itself takes most of a second to compile, so those
    of one kind and scale are one. Where cells are counted, their values do not matter.
    """
    groups: dict[tuple[str, str], dict[str, Dimension]] = {}
    for name in space.searched:
        dim = space[name]
        low, high = jnp.asarray(dim.low), jnp.asarray(dim.high)
        if dim.allowed is not None:
            low, high = jnp.int32(0), jnp.sum(jnp.asarray(dim.allowed)) - 1
        kind = "continuous" if dim.kind == "continuous" else "integer"
        own = dataclasses.replace(dim, low=low, high=high, allowed=None, kind=kind)
        groups.setdefault((kind, dim.scale), {})[name] = own
    return [(_stacked(list(dims.values())), list(dims)) for dims in groups.values()]


def _stacked(dims: list[Dimension]) -> Dimension:
    low, high = ([getattr(dim, end) for dim in dims] for end in ("low", "high"))
    return dataclasses.replace(
        dims[0], low=jnp.stack(low)[None], high=jnp.stack(high)[None]
    )


def _active(space: Space, u: Array) -> dict[str, Array]:
    """Return in which rows of ``u [n, d]`` each conditional dimension matters."""
    dims = {name: space[name] for name in space.names}
    parents = {parent for dim in dims.values() for parent, _ in dim.condition}
    middle = jnp.full(len(u), 0.5)
    at = dict(zip(space.searched, u.T, strict=True))
    values = {name: dims[name].decode(at.get(name, middle)) for name in parents}
    holds = conditions.active(dims, values)
    return {name: holds[name] for name in space.searched if name in holds}


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
    owner = owners(space)
    choices = unordered(space)[owner]
    u = points[:, owner]
    if not choices.any():
        return u
    counts = jnp.stack([_choices_left(space[name]) for name in space.searched])
    counts = counts[owner][None]
    index = jnp.minimum(jnp.floor(u * counts), counts - 1)
    # the place of each column among those of its dimension
    place = np.arange(len(owner)) - np.searchsorted(owner, owner)
    # two columns differ, so their squares add up to a distance of 1
    hot = jnp.where(index == place[None], 0.5**0.5, 0.0)
    return jnp.where(choices[None], hot, u)


def _choices_left(dim: Dimension) -> Array:
    """Return ``[]`` float32, the number of values of a choice; 1 of anything else."""
    allowed = (True,) if dim.allowed is None else dim.allowed
    return jnp.sum(jnp.asarray(allowed), dtype=jnp.float32)


def owners(space: Space) -> np.ndarray:
    """Return ``[D]`` int: the dimension of each feature."""
    counts = [
        1 if space[name].allowed is None else len(space[name].choices)
        for name in space.searched
    ]
    return np.repeat(np.arange(space.dim), counts)
