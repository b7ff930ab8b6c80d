"""Acquisition functions: which candidates make the next batch.

`greedy` picks point by point, and each pick changes the next one through fantasies,
random values that the picked points could get. The process is conditioned on every
pick exactly, for all candidates at once: the covariance of the pick with each of them
is one more row of a Cholesky factor. Expected improvement over several fantasies of the
pending values is that of Snoek et al. (2012), its logarithm that of Ament et al.
(2023). `thompson` draws one function for each point of the batch.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxtune.samplers.gp.model import Posterior, matern
from jaxtune.types import Array, Key

FANTASIES = 32
TAKEN = 2.0  # the reluctance to pick a point that is a trial already
NEVER = 3.0  # and an empty row of the candidates


class Picking(NamedTuple):
    """The candidates as the process sees them after some picks."""

    means: Array  # [f, m] of the candidates, a row for each fantasy
    variance: Array  # [m]
    rows: Array  # [b, m] parts that the picks explain; zero rows for those to come
    best: Array  # [f] best value
    reluctance: Array  # [m], see `greedy`


def greedy(
    process: Posterior,
    x: Array,
    prediction: tuple[Array, Array, Array],
    best: Array,
    reluctance: Array,
    pending: Array | int,
    key: Key,
    n: Array | int,
    size: int,
    belief: Array | float = 0.0,
) -> Array:
    """Pick the points of a batch one by one, by expected improvement.

    Args:
      process: after the data.
      x: ``[m, D]`` candidates; the first rows are the pending points.
      prediction: of the candidates, from `predicted`.
      best: ``[]`` best value so far.
      reluctance: ``[m]``, from 0 to ``NEVER``: candidates with a smaller number are
        picked before those with a larger one, whatever improvement they promise.
      pending: how many points are out.
      key: of the fantasies.
      n: size of the batch.
      size: no less than the pending points and the batch together; one program serves
        all of one size.
      belief: ``[m]``, what is added to the logarithm of each improvement.

    Returns:
      ``[size]`` int, indices of the candidates; the first ``n`` are the batch.
    """
    mean, variance, explained = prediction
    signal, noise = jnp.exp(process.hypers.signal), jnp.exp(process.hypers.noise)

    def draw(j: Array) -> Array:
        return jax.random.normal(jax.random.fold_in(key, j), (FANTASIES,))

    draws = jax.vmap(draw)(jnp.arange(size))

    def pick(j: Array, carry: tuple[Picking, Array]) -> tuple[Picking, Array]:
        picks, picked = carry
        scores = log_improvement(picks.means, picks.variance, picks.best) + belief
        # the pending points are the first picks, whatever they promise
        chosen = jnp.where(j < pending, j, _best(scores, picks.reluctance))
        here = x[chosen]
        # the covariance given the data and the picks so far, in units of the pick's
        # own deviation: the next row of the Cholesky factor
        column = signal * matern(here[None], x, process.scales)[0]
        column -= explained[:, chosen] @ explained + picks.rows[:, chosen] @ picks.rows
        total = picks.variance[chosen] + noise
        row = column / jnp.sqrt(total)
        same = (x == here[None]).all(1)
        after = _conditioned(picks, j, chosen, same, row, draws[j])
        return after, picked.at[j].set(chosen)

    start = Picking(
        means=jnp.tile(mean, (FANTASIES, 1)),
        variance=variance,
        rows=jnp.zeros((size, x.shape[0])),
        best=jnp.full(FANTASIES, best),
        reluctance=reluctance,
    )
    none = jnp.zeros(size, jnp.int32)
    picked = jax.lax.fori_loop(0, pending + n, pick, (start, none))[1]
    return jnp.roll(picked, -pending)


def _conditioned(
    picks: Picking, j: Array, chosen: Array, same: Array, row: Array, draws: Array
) -> Picking:
    """Return the candidates after one more pick.

    Args:
      picks: the candidates before it.
      j: ``[]`` number of the pick.
      chosen: ``[]`` its candidate.
      same: ``[m]`` bool, the candidates that are equal to it.
      row: ``[m]`` its row of the Cholesky factor.
      draws: ``[f]`` normal draws, from which its value in each fantasy follows.

    Returns:
      The candidates after it.
    """
    means = picks.means + draws[:, None] * row[None]
    taken = jnp.maximum(picks.reluctance, TAKEN)
    return Picking(
        means=means,
        variance=jnp.maximum(picks.variance - row**2, 1e-9),
        rows=picks.rows.at[j].set(row),
        best=jnp.maximum(picks.best, means[:, chosen]),
        reluctance=jnp.where(same, taken, picks.reluctance),
    )


def _best(scores: Array, reluctance: Array) -> Array:
    """Return the index of the largest score among the least reluctant."""
    return jnp.argmax(jnp.where(reluctance > reluctance.min(), -jnp.inf, scores))


def log_improvement(means: Array, variance: Array, best: Array) -> Array:
    """Compute the logarithm of the expected improvement, averaged over fantasies.

    Args:
      means: ``[f, m]``.
      variance: ``[m]``.
      best: ``[f]``.

    Returns:
      ``[m]``; finite however small the improvement is.
    """
    deviation = jnp.sqrt(variance)
    each = _log_h((means - best[:, None]) / deviation[None])
    mean = jax.scipy.special.logsumexp(each, axis=0) - jnp.log(means.shape[0])
    return mean + jnp.log(deviation)


def _log_h(u: Array) -> Array:
    """Return ``log(pdf(u) + u * cdf(u))``; its asymptotic series far below 0."""
    density = -(u**2) / 2 - 0.5 * jnp.log(2 * jnp.pi)
    # both branches are computed, so each is kept where it is finite
    near = jnp.maximum(u, -8.0)
    cdf = jax.lax.erfc(-near / 2**0.5) / 2
    ratio = cdf * jnp.exp(near**2 / 2) * jnp.sqrt(2 * jnp.pi)
    close = jnp.log(jnp.maximum(1 + near * ratio, 1e-30))
    far = jnp.minimum(u, -8.0)
    inverse = 1 / far**2
    series = inverse * (1 - inverse * (3 - inverse * (15 - 105 * inverse)))
    return density + jnp.where(u > -8.0, close, jnp.log(series))


def thompson(
    process: Posterior,
    x: Array,
    prediction: tuple[Array, Array],
    reluctance: Array,
    keys: Key,
) -> Array:
    """Pick the best point of each of ``n`` functions drawn from the process.

    Args:
      process: after the data.
      x: ``[m, D]`` candidates.
      prediction: of the candidates, their means and explained parts.
      reluctance: as for `greedy`.
      keys: ``[n]``, one for each draw.

    Returns:
      ``[n]`` int, indices of the candidates.
    """
    mean, explained = prediction
    signal = jnp.exp(process.hypers.signal)
    covariance = signal * matern(x, x, process.scales) - explained.T @ explained
    # candidates are close to each other: without this float32 finds no factor
    covariance += 1e-4 * signal * jnp.eye(x.shape[0])
    factor = jnp.linalg.cholesky(covariance)
    normal = jax.vmap(lambda key: jax.random.normal(key, mean.shape))(keys)
    draws = normal @ factor.T + mean[None]

    def pick(reluctance: Array, draw: Array) -> tuple[Array, Array]:
        chosen = _best(draw, reluctance)
        same = (x == x[chosen][None]).all(1)
        return jnp.where(same, jnp.maximum(reluctance, TAKEN), reluctance), chosen

    return jax.lax.scan(pick, reluctance, draws)[1]
