"""Tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), in batches.

The multivariate form of Optuna (Falkner et al., 2018; Watanabe, 2023): one density of
the best points and one of the others, each a mixture of truncated normals with one
bandwidth, and a wide prior. A point of a batch is the one of some draws from the first
whose ratio of densities is largest; it then counts among the others, so that the next
one keeps away (a constant liar).
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp, ndtr, ndtri

from jaxtune import ranking
from jaxtune.recipes import maker
from jaxtune.samplers.base import Sampler
from jaxtune.samplers.geometry import (
    BELOW_ONE,
    features,
    inside,
    owners,
    snapped,
    unordered,
)
from jaxtune.samplers.modelled import ModelState, check_initial, modelled, whole
from jaxtune.space import Space
from jaxtune.types import Array, Key

BANDWIDTH = 0.2  # of the cube, for one point
RECENT = 25  # trials that count in full; older ones count for less


class Mixture(NamedTuple):
    """A weighted kernel around each of ``k`` points; the last one is the prior."""

    centres: Array  # [k, d]
    log_weights: Array  # [k], minus infinity for none
    widths: Array  # [k] standard deviations
    strangeness: Array  # [] squared distance between different choices


@maker
def tpe(
    share: float = 0.1, most: int = 25, draws: int = 24, initial: int = 10
) -> Sampler:
    """Parzen estimator: new points are like the best ones, and unlike the others.

    Args:
      share: how much of the trials counts as best.
      most: how many of them at most.
      draws: candidates for each point.
      initial: trials with a score before the model is used; Sobol points until then.

    Returns:
      A sampler.

    Raises:
      ValueError: an argument out of range.
    """

    for name, count in (("most", most), ("draws", draws)):
        if not whole(count, 1):
            raise ValueError(f"tpe: {name} must be an int >= 1, got {count!r}.")
    if not 0 < share < 1:
        raise ValueError(f"tpe: share must lie in (0, 1), got {share}.")
    check_initial("tpe", initial)

    def suggest(state, n):
        return _suggest(state, n, share, most, draws)

    return modelled(suggest, initial)


@partial(jax.jit, static_argnums=(1, 4))
def _suggest(state: ModelState, n: int, share: float, most: int, draws: int) -> Array:
    space, count = state.space, state.history.told
    told = snapped(space, state.history.points)
    good, poor = _split(space, told, state, share, most)

    def drawn(i):
        key = jax.random.fold_in(jax.random.fold_in(state.key, count), i)
        return _sample(key, space, good, draws)

    points = jax.vmap(drawn)(state.asked + jnp.arange(n))  # [n, draws, d]
    return _picked(space, points, good, poor)


def _split(
    space: Space, told: Array, state: ModelState, share: float, most: int
) -> tuple[Mixture, Mixture]:
    history = state.history
    known, c = history.known, history.scores.shape[0]
    scores = jnp.where(known, ranking.worst_if_failed(history.scores), -jnp.inf)
    order = ranking.order(scores)
    place = jnp.zeros(c, jnp.int32).at[order].set(jnp.arange(c))
    count = jnp.minimum(jnp.ceil(share * history.told), most)
    best = history.succeeded & (place < count)
    others = known & ~best
    pending = snapped(space, state.pending)
    rows = jnp.concatenate([told, pending])
    waiting = jnp.ones(len(pending))
    good = _mixture(space, told, best * 1.0)
    # older trials say less of where the search is now
    position = jnp.cumsum(others)
    total = jnp.maximum(others.sum(), 1)
    older = jnp.maximum(total - RECENT, 1)
    ramp = 1 / total + (1 - 1 / total) * (position - 1) / jnp.maximum(older - 1, 1)
    weights = others * jnp.minimum(ramp, 1.0)
    return good, _mixture(space, rows, jnp.concatenate([weights, waiting]))


def _mixture(space: Space, centres: Array, weights: Array) -> Mixture:
    count = (weights > 0).sum()
    width = BANDWIDTH * jnp.maximum(count, 1) ** (-1 / (space.dim + 4))
    width = jnp.clip(width, 1 / jnp.minimum(100.0, 1.0 + count), 1.0)
    middle = jnp.full((1, space.dim), 0.5)
    middle = jnp.where(unordered(space)[None], jnp.nan, middle)
    strangeness = jnp.log1p(1.0 + count)
    centres = jnp.concatenate([centres, middle])
    widths = jnp.append(jnp.full(len(weights), width), 1.0)
    inner = inside(centres)
    log = jnp.log(jnp.append(weights, 1.0)) - jnp.where(
        inner | (jnp.arange(len(inner)) == len(inner) - 1),
        _log_mass(space, centres, widths),
        0.0,
    )
    return Mixture(centres, log, widths, strangeness)


def _log_mass(space: Space, centres: Array, widths: Array) -> Array:
    low = -centres / widths[:, None]
    high = (1 - centres) / widths[:, None]
    mass = jnp.log(jnp.maximum(ndtr(high) - ndtr(low), 1e-30))
    return jnp.where(unordered(space)[None], 0.0, mass).sum(1)


def _log_density(space: Space, x: Array, mixture: Mixture) -> Array:
    """``[m]``, up to a constant."""
    ordered = ~unordered(space)[owners(space)]
    a, b = features(space, x), features(space, mixture.centres)
    flat = jnp.where(ordered[None], a, 0.0), jnp.where(ordered[None], b, 0.0)
    squared = _squared(*flat) / mixture.widths[None] ** 2
    different = _squared(*[jnp.where(ordered[None], 0.0, f) for f in (a, b)])
    dimension = ordered.sum()
    log = mixture.log_weights - dimension * jnp.log(mixture.widths)
    return logsumexp(log[None] - squared / 2 - different * mixture.strangeness, axis=1)


def _squared(a: Array, b: Array) -> Array:
    product = jnp.matmul(a, b.T, precision="highest")
    return jnp.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * product, 0.0)


def _sample(key: Key, space: Space, mixture: Mixture, count: int) -> Array:
    keys = [jax.random.fold_in(key, stream) for stream in range(4)]
    chosen = jax.random.categorical(keys[0], mixture.log_weights, shape=(count,))
    centre, width = mixture.centres[chosen], mixture.widths[chosen][:, None]
    low, high = ndtr(-centre / width), ndtr((1 - centre) / width)
    share = jax.random.uniform(keys[1], centre.shape)
    point = centre + width * ndtri(low + share * (high - low))
    free = jax.random.uniform(keys[2], centre.shape)
    anew = jax.random.uniform(keys[3], centre.shape)
    stranger = jnp.isnan(centre) | (anew < 1 / (1 + jnp.exp(mixture.strangeness)))
    point = jnp.where(unordered(space)[None], jnp.where(stranger, free, centre), point)
    return snapped(space, jnp.clip(point, 0.0, BELOW_ONE))


def _picked(space: Space, points: Array, good: Mixture, poor: Mixture) -> Array:
    n, draws, dim = points.shape
    flat = points.reshape(n * draws, dim)
    ratio = _log_density(space, flat, good)
    against = _log_density(space, flat, poor).reshape(n, draws)
    ratio = ratio.reshape(n, draws)
    width, strangeness = poor.widths[0], poor.strangeness

    def pick(carry, j):
        picked, weights = carry
        liar = Mixture(picked, weights, jnp.full(n, width), strangeness)
        with_picks = jnp.logaddexp(against[j], _log_density(space, points[j], liar))
        chosen = points[j, jnp.argmax(ratio[j] - with_picks)]
        mass = _log_mass(space, chosen[None], width[None])[0]
        return (picked.at[j].set(chosen), weights.at[j].set(-mass)), chosen

    start = (jnp.zeros((n, dim)), jnp.full(n, -jnp.inf))
    return jax.lax.scan(pick, start, jnp.arange(n))[1]
