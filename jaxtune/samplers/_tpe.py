"""Tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), in batches.

The multivariate form of Optuna 5 (Falkner et al., 2018; Watanabe, 2023): one density of
the best points and one of the others, each a mixture of truncated normals. Each
kernel's width in a dimension is the larger gap to its two neighbours; a wide prior
kernel is added. For each point of a batch, candidates are drawn from the first density,
and the one with the largest ratio of the two is kept. It then counts among the others,
so that the next one keeps away (a constant liar).
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp, ndtr, ndtri

from jaxtune import ranking
from jaxtune.checks import check_whole
from jaxtune.random import KERNEL, PLACE
from jaxtune.registry import maker
from jaxtune.samplers._model_based import ModelState, model_based
from jaxtune.samplers.base import Sampler
from jaxtune.samplers.geometry import features, inside, owners, snapped, unordered
from jaxtune.samplers.history import History
from jaxtune.space import Space
from jaxtune.space.dimension import BELOW_ONE
from jaxtune.types import Array, Key

RECENT = 25  # trials that count in full; older ones count for less


class Mixture(NamedTuple):
    """A density: a weighted kernel around each of ``k`` points, the prior last."""

    centres: Array  # [k, d]
    log_weights: Array  # [k], minus infinity for none
    widths: Array  # [k, d] standard deviations
    choice_distance: Array  # [] squared distance between different choices


@maker
def tpe(
    share: float = 0.1, most: int = 25, draws: int = 24, initial: int = 10
) -> Sampler:
    """Search with a Parzen estimator: points like the best ones, unlike the others.

    Use it for thousands of trials, or where suggestions must cost next to nothing.

    >>> import jax
    >>> import jaxtune as jt
    >>> sampler = jt.samplers.tpe(initial=8)
    >>> space = jt.Space(x=jt.uniform(0.0, 1.0), y=jt.uniform(0.0, 1.0))
    >>> state = sampler.init(jax.random.key(0), space)
    >>> state, points = sampler.ask(state, 4)  # Sobol points: no eight scores yet
    >>> state = sampler.tell(state, points, -((points - 0.3) ** 2).sum(axis=1))
    >>> int(state.history.trials)
    4

    Args:
      share: share of the trials that counts as best.
      most: the largest number of trials that count as best.
      draws: candidates for each point.
      initial: scored trials before the model is used; Sobol points until then.

    Returns:
      A sampler.

    Raises:
      ValueError: an argument out of range.
    """
    check_whole("tpe", "most", most)
    check_whole("tpe", "draws", draws)
    check_whole("tpe", "initial", initial, 2)
    if not 0 < share < 1:
        raise ValueError(f"tpe: share must lie in (0, 1), got {share}.")

    def suggest(state: ModelState, n: int) -> Array:
        return _suggest(state, n, share, most, draws)

    return model_based(suggest, initial)


@partial(jax.jit, static_argnums=(1, 3, 4))
def _suggest(state: ModelState, n: int, share: float, most: int, draws: int) -> Array:
    """Return the next ``n`` points ``[n, d]``."""
    space, count = state.space, state.history.trials
    points = snapped(space, state.history.points)
    good, poor = _split(space, points, state.history, share, most)

    def drawn(i: Array) -> Array:
        key = jax.random.fold_in(jax.random.fold_in(state.key, count), i)
        return _sample(key, space, good, draws)

    drawn_points = jax.vmap(drawn)(state.asked + jnp.arange(n))  # [n, draws, d]
    return _picked(space, drawn_points, snapped(space, state.pending), good, poor)


def _split(
    space: Space, points: Array, history: History, share: float, most: int
) -> tuple[Mixture, Mixture]:
    """Return the densities of the best points and of the others."""
    known, c = history.known, history.scores.shape[0]
    scores = jnp.where(known, ranking.worst_if_failed(history.scores), -jnp.inf)
    order = ranking.order(scores)
    place = jnp.zeros(c, jnp.int32).at[order].set(jnp.arange(c))
    count = jnp.minimum(jnp.ceil(share * history.trials), most)
    best = history.succeeded & (place < count)
    others = known & ~best
    first = order[:most]  # all that can be among the best
    good = _mixture(space, points[first], best[first] * 1.0)
    return good, _mixture(space, points, _recency(others))


def _recency(others: Array) -> Array:
    """Return ``[c]`` weights: older trials say less about where the search is now."""
    position = jnp.cumsum(others)
    total = jnp.maximum(others.sum(), 1)
    older = jnp.maximum(total - RECENT, 1)
    ramp = 1 / total + (1 - 1 / total) * (position - 1) / jnp.maximum(older - 1, 1)
    return others * jnp.minimum(ramp, 1.0)


def _mixture(space: Space, centres: Array, weights: Array) -> Mixture:
    """Return weighted kernels around ``centres [k, d]``, and the prior."""
    count = (weights > 0).sum()
    # points at one place have no gaps, and each still needs a width
    least = 1 / jnp.minimum(100.0, 2.0 + count)
    gaps = jax.vmap(_gaps, in_axes=(1, None), out_axes=1)(centres, weights > 0)
    widths = jnp.clip(gaps, least, 1.0)
    middle = jnp.full((1, space.dim), 0.5)
    # an unknown choice: the prior is equally far from all of them
    middle = jnp.where(unordered(space)[None], jnp.nan, middle)
    choice_distance = jnp.log1p(1.0 + count)
    centres = jnp.concatenate([centres, middle])
    widths = jnp.concatenate([widths, jnp.ones((1, space.dim))])
    inner = inside(centres)
    # a kernel around a trial outside the cube counts by the part that reaches in
    log = jnp.log(jnp.append(weights, 1.0)) - jnp.where(
        inner | (jnp.arange(len(inner)) == len(inner) - 1),
        _log_mass(space, centres, widths),
        0.0,
    )
    return Mixture(centres, log, widths, choice_distance)


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


def _log_mass(space: Space, centres: Array, widths: Array) -> Array:
    """Return ``[k]``: the logarithm of the part of each kernel that is in the cube."""
    low, high = -centres / widths, (1 - centres) / widths
    mass = jnp.log(jnp.maximum(ndtr(high) - ndtr(low), 1e-30))
    return jnp.where(unordered(space)[None], 0.0, mass).sum(1)


def _log_density(space: Space, x: Array, mixture: Mixture) -> Array:
    """Return ``[m]`` logarithms of the density at ``x``, up to a constant."""
    ordered = ~unordered(space)
    at, centres = (jnp.where(ordered[None], p, 0.0) for p in (x, mixture.centres))
    steep = jnp.where(ordered[None], 1 / mixture.widths, 0.0) ** 2
    # (x - c)² / w² as products of matrices, for all points and kernels at once
    squared = _product(at**2, steep) - 2 * _product(at, steep * centres)
    squared = jnp.maximum(squared + (steep * centres**2).sum(1)[None], 0.0)
    choices = unordered(space)[owners(space)][None]
    a, b = (jnp.where(choices, features(space, p), 0.0) for p in (x, mixture.centres))
    different = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * _product(a, b)
    widths = jnp.where(ordered[None], jnp.log(mixture.widths), 0.0).sum(1)
    log = (mixture.log_weights - widths)[None] - squared / 2
    return logsumexp(log - different * mixture.choice_distance, axis=1)


def _product(a: Array, b: Array) -> Array:
    # distances are differences of products, too coarse in an accelerator's default
    return jnp.matmul(a, b.T, precision="highest")


def _sample(key: Key, space: Space, mixture: Mixture, count: int) -> Array:
    """Draw ``[count, d]`` points of the cube from a density."""
    which, where = (jax.random.fold_in(key, stream) for stream in (KERNEL, PLACE))
    mass = _log_mass(space, mixture.centres, mixture.widths)
    log = mixture.log_weights + mass  # of what lies in the cube
    ends = jnp.cumsum(jax.nn.softmax(log))
    # rounding may leave the last end a little below or above 1
    at = ends[-1] * jax.random.uniform(which, (count,))
    chosen = jnp.searchsorted(ends, at, side="right")
    centre, width = mixture.centres[chosen], mixture.widths[chosen]
    low, high = ndtr(-centre / width), ndtr((1 - centre) / width)
    share, free, anew = jax.random.uniform(where, (3, *centre.shape))
    # of a truncated normal, by the inverse of its distribution function
    point = centre + width * ndtri(low + share * (high - low))
    stranger = jnp.isnan(centre) | (anew < 1 / (1 + jnp.exp(mixture.choice_distance)))
    point = jnp.where(unordered(space)[None], jnp.where(stranger, free, centre), point)
    return snapped(space, jnp.clip(point, 0.0, BELOW_ONE))


def _picked(
    space: Space, points: Array, pending: Array, good: Mixture, poor: Mixture
) -> Array:
    """Pick one of the draws for each of the points, ``[n, draws, d]`` to ``[n, d]``."""
    n, draws, dim = points.shape
    flat = points.reshape(n * draws, dim)
    ratio = _log_density(space, flat, good)
    against = _log_density(space, flat, poor).reshape(n, draws)
    ratio = ratio.reshape(n, draws)
    # a pick is as wide as most of the others are
    present = jnp.isfinite(poor.log_weights)[:, None]
    width = jnp.where(present, poor.widths, jnp.nan)
    width = jnp.nanmedian(width, axis=0, keepdims=True)
    out = len(pending)
    widths = jnp.tile(width, (out + n, 1))

    def pick(carry: tuple[Array, Array], j: Array) -> tuple[tuple[Array, Array], Array]:
        picked, weights = carry
        liar = Mixture(picked, weights, widths, poor.choice_distance)
        with_picks = jnp.logaddexp(against[j], _log_density(space, points[j], liar))
        chosen = points[j, jnp.argmax(ratio[j] - with_picks)]
        mass = _log_mass(space, chosen[None], width)[0]
        after = (picked.at[out + j].set(chosen), weights.at[out + j].set(-mass))
        return after, chosen

    picked = jnp.concatenate([pending, jnp.zeros((n, dim))])
    waiting = -_log_mass(space, pending, widths[:out])
    start = (picked, jnp.append(waiting, jnp.full(n, -jnp.inf)))
    return jax.lax.scan(pick, start, jnp.arange(n))[1]
