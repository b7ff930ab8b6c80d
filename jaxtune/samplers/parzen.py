"""The density of a Parzen estimator over a space: a mixture of kernels around points.

A kernel is a product over the dimensions (Bergstra et al., NeurIPS 2011). A real number
has a truncated normal. A whole number or an ordinal has the mass of the normal on the
cell of each value, and a choice is a little likelier than the others where the point
has it. The last kernel is the prior, which is wide everywhere.

A dimension that does not matter at a point has no factor there. A kernel around such a
point is as wide as the prior in that dimension: it says nothing about it.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import erf_inv, erfc
from jax.scipy.special import logsumexp

from jaxtune.samplers.geometry import snapped, unordered
from jaxtune.space import Space
from jaxtune.space.dimension import BELOW_ONE, Dimension
from jaxtune.types import Array

# values of an integer whose mass is computed: the cells of those after them are so
# narrow that the density in the middle is as good
EXACT = 64
POWERS = 31  # exponents of an int32


class Grid(NamedTuple):
    """The cells of a space's values, of all dimensions one after the other."""

    space: Space
    low: Array  # [s] lower ends, in the cube
    high: Array  # [s] upper ends; no point lies in the cell of a value that is gone
    choices: Array  # [d] choices that are left; 1 for what is no choice


class Mixture(NamedTuple):
    """A density: ``k`` weighted kernels, the prior last."""

    log_weights: Array  # [k], minus infinity for none
    centres: Array  # [k, d], NaN for a choice that is gone
    widths: Array  # [k, d] standard deviations
    vague: Array  # [k, d] bool: as wide as the prior there
    log_scale: Array  # [k, d] log of what a normal's density is divided by
    reach: Array  # [k] log of the part in the cube of a kernel around a point outside
    strength: Array  # [] how much likelier a kernel's own choice is: 1 + strength times
    log_cells: Array  # [k, s] log mass of each cell


class Places(NamedTuple):
    """Points ``[m, d]`` as a density sees them."""

    points: Array  # [m, d] snapped, in the cube
    smooth: Array  # [m, d] bool: has a density there, and no mass of a cell
    cells: Array  # [m, s] bool: the cells that the point is in, of what matters


def grid_of(space: Space) -> Grid:
    """Return the cells of a space."""
    low, high, left = [jnp.zeros(0)], [jnp.zeros(0)], []
    for name in space.searched:
        dim, cell = space[name], jnp.arange(_cell_count(space[name]))
        left.append(jnp.float32(1))
        if dim.allowed is not None:
            allowed = jnp.asarray(dim.allowed)
            left[-1] = allowed.sum().astype(jnp.float32)
            last = jnp.cumsum(allowed) / left[-1]
            low.append(jnp.where(allowed, last - 1 / left[-1], 2.0))
            high.append(jnp.where(allowed, last, 2.0))
        elif len(cell):
            ends = dim.edges(cell)
            low.append(ends[0])
            high.append(ends[1])
    return Grid(space, jnp.concatenate(low), jnp.concatenate(high), jnp.stack(left))


def _cell_count(dim: Dimension) -> int:
    """Return how many cells have a mass; 0 for a real number."""
    if dim.choices:
        return len(dim.choices)
    return {"continuous": 0, "power_of_two": POWERS}.get(dim.kind, EXACT)


def _owners(space: Space) -> np.ndarray:
    """Return ``[s]`` int: the dimension of each cell."""
    counts = [_cell_count(space[name]) for name in space.searched]
    return np.repeat(np.arange(space.dim), counts)


def placed(grid: Grid, points: Array) -> Places:
    """Return snapped points ``[m, d]`` of the cube as a density sees them."""
    owner = _owners(grid.space)
    active = _active(grid.space, points)
    cells = _within(grid, points) & active[:, owner]
    smooth = active
    if len(owner):
        dims = jnp.asarray(owner[:, None] == np.arange(grid.space.dim)[None])
        smooth = active & ~(cells[:, :, None] & dims[None]).any(1)
    return Places(points, smooth, cells)


def _within(grid: Grid, points: Array) -> Array:
    """Return ``[n, s]`` bool: the cells that points lie in."""
    u = points[:, _owners(grid.space)]
    return (u > grid.low[None]) & (u < grid.high[None])


def _active(space: Space, points: Array) -> Array:
    """Return ``[n, d]`` bool: the dimensions that matter at each point."""
    if not any(space[name].condition for name in space.searched):
        return jnp.ones(points.shape, bool)
    # a point outside the cube has no value to decode, so 0.5 stands in
    inside = (points >= 0) & (points < 1)
    holds = space.active(space.decode(jnp.where(inside, points, 0.5)))
    return jnp.stack([holds[name] for name in space.searched], axis=1)


def mixture(grid: Grid, points: Array, weights: Array) -> Mixture:
    """Return kernels around snapped points ``[k, d]``, and the prior with weight 1.

    A kernel's width in a dimension is the larger gap to its two neighbours.
    """
    count = (weights > 0).sum()
    vague = _vague(grid.space, points)
    told = (weights > 0)[:, None] & ~vague
    gaps = jax.vmap(_gaps, in_axes=1, out_axes=1)(points, told)
    # points at one place have no gaps, and each still needs a width
    widths = jnp.clip(gaps, 1 / jnp.minimum(100.0, 2.0 + count), 1.0)
    log_weights = jnp.log(jnp.append(weights, 1.0))
    prior = jnp.full((1, grid.space.dim), 0.5)
    return _kernels(
        grid,
        log_weights,
        jnp.concatenate([points, prior]),
        jnp.concatenate([widths, jnp.ones_like(prior)]),
        jnp.concatenate([vague, jnp.ones(prior.shape, bool)]),
        1.0 + count,
    )


def usual_widths(mixture: Mixture) -> Array:
    """Return ``[d]``: the median widths of the kernels that say something."""
    told = jnp.isfinite(mixture.log_weights)[:, None] & ~mixture.vague
    median = jnp.nanmedian(jnp.where(told, mixture.widths, jnp.nan), axis=0)
    return jnp.where(jnp.isnan(median), 1.0, median)


def with_kernel(
    grid: Grid, mixture: Mixture, at: Array, point: Array, widths: Array
) -> Mixture:
    """Return a mixture with the kernel ``at`` exchanged for one around ``[d]``.

    It counts in full, and leaves the widths of the others as they are.
    """
    vague, strength = _vague(grid.space, point[None]), mixture.strength
    new = _kernels(grid, jnp.zeros(1), point[None], widths[None], vague, strength)
    rows = zip(mixture, new, strict=True)
    changed = [old.at[at].set(row[0]) if old.ndim else old for old, row in rows]
    return Mixture._make(changed)


def _kernels(
    grid: Grid,
    log_weights: Array,
    points: Array,
    widths: Array,
    vague: Array,
    strength: Array,
) -> Mixture:
    """Return kernels of these widths."""
    choice = jnp.asarray(unordered(grid.space))[None]
    centres = jnp.where(vague, 0.5, points)
    widths = jnp.where(vague | choice, 1.0, widths)
    mass = _log_mass(-centres / widths, (1 - centres) / widths)
    # a kernel around a choice that is gone has the rest of its mass on the others
    gone = jnp.isnan(centres) & ~vague
    rest = jnp.where(gone, -jnp.log1p(strength / grid.choices)[None], 0.0)
    mass = jnp.where(choice, rest, mass)
    # kernels in the cube are cut off at its edges, those outside count by what reaches
    inside = (centres >= 0) & (centres < 1)
    cut, reach = jnp.where(inside, mass, 0.0), jnp.where(inside, 0.0, mass).sum(1)
    scale = jnp.log((2 * np.pi) ** 0.5 * widths) + cut
    cells = _log_cells(grid, centres, widths, vague, cut, strength)
    scale = jnp.where(choice, 0.0, scale)
    return Mixture(log_weights, centres, widths, vague, scale, reach, strength, cells)


def _vague(space: Space, points: Array) -> Array:
    """Return ``[n, d]`` bool: the dimensions of which a point says nothing."""
    conditional = np.array([bool(space[name].condition) for name in space.searched])
    outside = ~((points >= 0) & (points < 1))
    return ~_active(space, points) | (outside & jnp.asarray(conditional)[None])


def _gaps(column: Array, present: Array) -> Array:
    """Return ``[k]``: the larger gap of each coordinate to the next ones on both sides.

    The outermost coordinates have one neighbour; a single one has the ends of the cube.
    """
    order = jnp.argsort(jnp.where(present, column, jnp.inf))
    sides = column[order]
    place, count = jnp.arange(len(column)), present.sum()
    below = jnp.where(place > 0, sides - jnp.roll(sides, 1), 0.0)
    above = jnp.where(place < count - 1, jnp.roll(sides, -1) - sides, 0.0)
    gap = jnp.maximum(below, above)
    gap = jnp.where(count > 1, gap, jnp.maximum(sides, 1 - sides))
    return jnp.zeros_like(gap).at[order].set(gap)


def _log_cells(
    grid: Grid,
    centres: Array,
    widths: Array,
    vague: Array,
    cut: Array,
    strength: Array,
) -> Array:
    """Return ``[k, s]``: the log mass of each cell under each kernel."""
    owner = _owners(grid.space)
    at, wide = centres[:, owner], widths[:, owner]
    mass = _log_mass((grid.low[None] - at) / wide, (grid.high[None] - at) / wide)
    # the choice of a kernel that says nothing is anyone's
    left, strength = (
        grid.choices[owner][None],
        jnp.where(vague[:, owner], 0.0, strength),
    )
    own = jnp.log1p(_within(grid, centres) * strength) - jnp.log(strength + left)
    choice = jnp.asarray(unordered(grid.space)[owner])[None]
    return jnp.where(choice, own, mass - cut[:, owner])


def _log_mass(low: Array, high: Array) -> Array:
    """Return the log mass of the normal distribution between two numbers."""
    # in the lower tail, where the distribution function keeps its digits
    upper = low > 0
    low, high = jnp.where(upper, -high, low), jnp.where(upper, -low, high)
    return jnp.log(jnp.maximum(_below(high) - _below(low), 1e-30))


def _below(x: Array) -> Array:
    """Return the distribution function of the normal distribution."""
    return 0.5 * erfc(-x * 0.5**0.5)


def log_density(grid: Grid, x: Places, mixture: Mixture) -> Array:
    """Return ``[m]``: the log density, times the sum of the weights.

    It is a mass in the dimensions that have cells. A factor that the narrow cells of a
    point have in common for all mixtures is left out.
    """
    kinds = {grid.space[name].kind for name in grid.space.searched}
    log = mixture.log_weights[None]
    if len(grid.low):
        log = log + _product(x.cells.astype(jnp.float32), mixture.log_cells)
    if kinds & {"continuous", "integer"}:
        log = log + _log_normal(x, mixture)
    return logsumexp(log, axis=1)


def _log_normal(x: Places, mixture: Mixture) -> Array:
    """Return ``[m, k]``: the log density of each kernel in the smooth dimensions."""
    steep = mixture.widths**-2
    # the centre of a choice may be NaN; it is never smooth
    centres = jnp.where(jnp.isnan(mixture.centres), 0.0, mixture.centres)
    at, here = jnp.where(x.smooth, x.points, 0.0), x.smooth.astype(jnp.float32)
    # (x - c)² / w² as products of matrices, for all points and kernels at once
    squared = _product(at**2, steep) - 2 * _product(at, steep * centres)
    squared = jnp.maximum(squared + _product(here, steep * centres**2), 0.0)
    return -squared / 2 - _product(here, mixture.log_scale)


def _product(a: Array, b: Array) -> Array:
    # distances are differences of products, too coarse in an accelerator's default
    return jnp.matmul(a, b.T, precision="highest")


def points_of(grid: Grid, mixture: Mixture, numbers: Array) -> Array:
    """Return snapped points ``[m, d]`` of the cube, of which a density is the law.

    Args:
      grid: the cells of the space.
      mixture: the density.
      numbers: ``[m, 1 + 3 d]`` uniform random numbers in ``[0, 1)``.
    """
    log = mixture.log_weights + mixture.reach
    ends = jnp.cumsum(jnp.exp(log - log.max()))
    dim = grid.space.dim
    which, share, free, anew = jnp.split(numbers, [1, 1 + dim, 1 + 2 * dim], axis=1)
    # a product may round up to the last end, which is that of the prior
    chosen = jnp.minimum((ends[None] <= ends[-1] * which).sum(1), len(ends) - 1)
    centre, width = mixture.centres[chosen], mixture.widths[chosen]
    low, high = _below(-centre / width), _below((1 - centre) / width)
    # of a truncated normal, by the inverse of its distribution function
    point = 2 * (low + share * (high - low)) - 1
    point = centre + width * 2**0.5 * erf_inv(point)
    # of a choice, as `_log_cells` has it: any of those left, or else its own
    left = grid.choices[None]
    unknown = mixture.vague[chosen] | jnp.isnan(centre)
    choice = unknown | (anew < left / (mixture.strength + left))
    choice = jnp.where(choice, free, centre)
    point = jnp.where(jnp.asarray(unordered(grid.space))[None], choice, point)
    return snapped(grid.space, jnp.clip(point, 0.0, BELOW_ONE))
