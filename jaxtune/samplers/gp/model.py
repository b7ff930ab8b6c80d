"""A Gaussian process in float32: Matérn 5/2, a length scale for every dimension.

Rasmussen & Williams (2006), chapters 2, 4.2 and 5.4. Empty rows of the buffer are rows
of the identity matrix with the value 0, so they change nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.scipy.linalg import cho_solve, cholesky, solve_triangular

from jaxtune.types import Array

JITTER = 3e-6  # share of the signal's variance that a float32 Cholesky factor needs
STEPS = 60  # of Adam
# of the prior: centre and spread of the logarithm of a length scale, in units of the
# root of the dimension. Two values of a choice are always 1 apart
LENGTH, LENGTH_SPREAD = -1.3, 0.5
CHOICE, CHOICE_SPREAD = 0.5, 1.0
NOISE = -5.0  # its centre for the logarithm of the noise


class Hypers(NamedTuple):
    """Logarithms of the hyperparameters of the process."""

    lengths: Array  # [d] length scales
    signal: Array  # [] variance of the function
    noise: Array  # [] variance of an observation


class Data(NamedTuple):
    """The observations that the process is conditioned on."""

    x: Array  # [c, D] features
    y: Array  # [c] values
    variance: Array  # [c] known variance of each value
    known: Array  # [c] bool


class Posterior(NamedTuple):
    """The process after the data."""

    data: Data
    hypers: Hypers
    scales: Array  # [D] length scale of each feature
    factor: Array  # [c, c] lower Cholesky factor
    weights: Array  # [c] inverse covariance times values


def matern(x: Array, z: Array, scales: Array) -> Array:
    """Return correlations ``[n, m]`` between rows of ``x`` and of ``z``."""
    return _matern(_squared(x / scales[None], z / scales[None]))


def _squared(x: Array, z: Array) -> Array:
    return ((x[:, None, :] - z[None, :, :]) ** 2).sum(-1)


def _matern(squared: Array) -> Array:
    # the square root has no gradient at 0, and the diagonal is all 0
    root = jnp.sqrt(5.0 * jnp.maximum(squared, 1e-12))
    return (1 + root + 5.0 / 3.0 * squared) * jnp.exp(-root)


def _covariance(data: Data, hypers: Hypers, scales: Array) -> Array:
    """Return ``[c, c]`` covariances of the observations."""
    signal, noise = jnp.exp(hypers.signal), jnp.exp(hypers.noise)
    pairs = data.known[:, None] & data.known[None, :]
    shared = jnp.where(pairs, signal * matern(data.x, data.x, scales), 0.0)
    own = noise + data.variance + JITTER * signal
    return shared + jnp.diag(jnp.where(data.known, own, 1.0))


@jax.custom_vjp
def _misfit(covariance: Array, y: Array) -> Array:
    """Return the negative log density of ``y``, without its constant."""
    return _misfit_forward(covariance, y)[0]


def _misfit_forward(covariance: Array, y: Array) -> tuple[Array, tuple[Array, Array]]:
    factor = cholesky(covariance, lower=True)
    weights = cho_solve((factor, True), y)
    value = y @ weights / 2 + jnp.log(jnp.diagonal(factor)).sum()
    return value, (factor, weights)


def _misfit_backward(kept: tuple[Array, Array], change: Array) -> tuple[Array, Array]:
    # one inverse is cheaper than the derivative of a factorisation
    factor, weights = kept
    half = solve_triangular(factor, jnp.eye(factor.shape[0]), lower=True)
    slope = (half.T @ half - jnp.outer(weights, weights)) / 2
    return change * slope, change * weights


_misfit.defvjp(_misfit_forward, _misfit_backward)


def _prior(hypers: Hypers, owners: np.ndarray) -> Array:
    """Return the negative log density of the log-normal priors.

    Length scales grow with the root of the dimension, so that distances do not
    (Hvarfner et al., 2024, "Vanilla Bayesian optimization performs great in high
    dimensions"). Noise alone explains few scores as well as a function does, so the
    prior prefers little noise.
    """
    centre, spread = _usual_lengths(owners)
    lengths = _normal(hypers.lengths, centre, spread).sum()
    noise = _normal(hypers.noise, NOISE, 1.0)
    return lengths + _normal(hypers.signal, 0.0, 1.0) + noise


def _usual_lengths(owners: np.ndarray) -> tuple[Array, Array]:
    """Return centres and spreads ``[d]`` of the logarithms of length scales."""
    choices = np.bincount(owners) > 1  # only a choice has several columns
    centre = jnp.where(choices, CHOICE, LENGTH) + math.log(len(choices)) / 2
    return centre, jnp.where(choices, CHOICE_SPREAD, LENGTH_SPREAD)


def _normal(value: Array, mean: Array | float, scale: Array | float) -> Array:
    """Return the negative log density of a normal variable, without its constant."""
    return ((value - mean) / scale) ** 2 / 2


def fitted(data: Data, owners: np.ndarray) -> Posterior:
    """Find the most probable length scales, signal and noise.

    Args:
      data: ``c`` rows.
      owners: ``[D]`` the dimension of each feature.

    Returns:
      The posterior with these hyperparameters.
    """

    def loss(hypers: Hypers) -> Array:
        hypers = _bounded(hypers)
        scales = jnp.exp(hypers.lengths)[owners]
        value = _misfit(_covariance(data, hypers, scales), data.y)
        return value + _prior(hypers, owners)

    # a little long and noisy, from where the slopes lead to either explanation
    start = Hypers(_usual_lengths(owners)[0] + 0.3, jnp.float32(0), jnp.float32(-4))
    return posterior(data, _bounded(_minimised(loss, start)), owners)


def _bounded(hypers: Hypers) -> Hypers:
    """Clip hyperparameters; the noise stays above 1e-5, for float32 to resolve it."""
    return Hypers(
        jnp.clip(hypers.lengths, -3.5, 5.0),
        jnp.clip(hypers.signal, -3.0, 3.0),
        jnp.clip(hypers.noise, -11.0, 1.0),
    )


def _minimised(loss: Callable[[Hypers], Array], start: Hypers) -> Hypers:
    """Take ``STEPS`` of Adam down the loss."""
    optimizer = optax.adam(0.1)
    # one vector: the code of a step is compiled for each array
    flat, tree = ravel_pytree(start)

    def step(
        carry: tuple[Array, optax.OptState], _: None
    ) -> tuple[tuple[Array, optax.OptState], None]:
        hypers, state = carry
        slope = jax.grad(lambda flat: loss(tree(flat)))(hypers)
        # a factorisation that failed moves nothing
        slope = jnp.where(jnp.isfinite(slope), slope, 0.0)
        change, state = optimizer.update(slope, state)
        return (hypers + change, state), None

    carry = (flat, optimizer.init(flat))
    return tree(jax.lax.scan(step, carry, None, length=STEPS)[0][0])


def posterior(data: Data, hypers: Hypers, owners: np.ndarray) -> Posterior:
    """Condition the process on data; raise its noise until float32 can factorise.

    Args:
      data: ``c`` rows.
      hypers: of the process.
      owners: ``[D]`` the dimension of each feature.

    Returns:
      The posterior.
    """
    scales = jnp.exp(hypers.lengths)[owners]

    def raised(tries: Array) -> Hypers:
        return hypers._replace(noise=hypers.noise + 2.0 * tries)

    def failed(carry: tuple[Array, Array]) -> Array:
        tries, lower = carry
        left = (tries == 0) | (raised(tries - 1).noise < 1.0)
        return ~jnp.isfinite(lower).all() & left

    def again(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        covariance = _covariance(data, raised(carry[0]), scales)
        return carry[0] + 1, cholesky(covariance, lower=True)

    # the first try is in the loop as well, or it would be compiled twice
    size = len(data.y)
    start = (jnp.int32(0), jnp.full((size, size), jnp.nan))
    tries, lower = jax.lax.while_loop(failed, again, start)
    weights = cho_solve((lower, True), data.y)
    return Posterior(data, raised(tries - 1), scales, lower, weights)


def fitted_means(process: Posterior) -> Array:
    """Return ``[c]`` means of the function at the data."""
    data, hypers = process.data, process.hypers
    own = jnp.exp(hypers.noise) + JITTER * jnp.exp(hypers.signal) + data.variance
    # the covariance of the function is that of the values without their own variance
    return jnp.where(data.known, data.y - own * process.weights, 0.0)


def predicted(process: Posterior, x: Array) -> tuple[Array, Array, Array]:
    """Predict the function at some points.

    Args:
      process: after the data, ``c`` rows.
      x: ``[m, D]`` features.

    Returns:
      Means ``[m]``, variances ``[m]``, and ``[c, m]`` explained parts ``E``: the data
      lower the covariance of two of the points by the product of their columns.
    """
    data, signal = process.data, jnp.exp(process.hypers.signal)
    cross = signal * matern(data.x, x, process.scales)
    cross = jnp.where(data.known[:, None], cross, 0.0)
    explained = solve_triangular(process.factor, cross, lower=True)
    variance = signal - (explained**2).sum(0)
    # rounding can make the variance of a point near the data negative
    return cross.T @ process.weights, jnp.maximum(variance, 1e-9), explained
