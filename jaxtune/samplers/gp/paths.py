"""Functions drawn from the process, for batches too large to be picked one by one.

A draw of the prior is a sum of random waves (Rahimi & Recht, 2007), whose frequencies
have the t distribution that belongs to a Matérn kernel; Matheron's rule makes it a draw
of the posterior (Wilson et al., 2020, "Efficiently sampling functions from Gaussian
process posteriors"). So each point of a batch is the best of one function, and a
function can be evaluated anywhere.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve

from jaxtune.random import WAVES
from jaxtune.samplers.gp.model import JITTER, Posterior, matern
from jaxtune.types import Array, Key

COUNT = 512  # waves
FREEDOM = 5  # degrees, twice the smoothness of the kernel


class Paths(NamedTuple):
    """Some functions: waves and their heights, and corrections by the data."""

    frequencies: Array  # [D, w]
    phases: Array  # [w]
    heights: Array  # [n, w]
    corrections: Array  # [n, c]


def drawn_paths(process: Posterior, key: Key, ids: Array, bold: Array) -> Paths:
    """Draw functions from the process.

    Args:
      process: after ``c`` rows of data.
      key: of all functions.
      ids: ``[n]`` int, of each of them; a function depends on its own and the key.
      bold: ``[n]`` shares of the deviation from the mean that they keep.

    Returns:
      The functions.
    """
    data, hypers = process.data, process.hypers
    shared = jax.random.fold_in(key, WAVES)
    # for each wave a direction, its speed and its phase
    rows = (data.x.shape[1] + FREEDOM + 1, COUNT)
    normal = jax.random.normal(shared, rows)
    speed = jnp.sqrt(FREEDOM / (normal[-1 - FREEDOM : -1] ** 2).sum(0))
    frequencies = normal[: -1 - FREEDOM] * speed[None] / process.scales[:, None]
    phases = 2 * jnp.pi * jax.scipy.special.ndtr(normal[-1])
    waves = jnp.cos(data.x @ frequencies + phases[None])
    height = jnp.sqrt(2 * jnp.exp(hypers.signal) / COUNT)
    own = jnp.exp(hypers.noise) + JITTER * jnp.exp(hypers.signal) + data.variance

    def draw(i: Array) -> Array:
        return jax.random.normal(jax.random.fold_in(key, i), (COUNT + len(data.y),))

    # full draws explore, and drawn towards the mean they exploit
    normal = jax.vmap(draw)(ids) * bold[:, None]
    heights = height * normal[:, :COUNT]
    noise = normal[:, COUNT:] * jnp.sqrt(own)[None]
    miss = jnp.where(data.known[None], data.y[None] - heights @ waves.T - noise, 0.0)
    corrections = cho_solve((process.factor, True), miss.T).T
    return Paths(frequencies, phases, heights, corrections)


def everywhere(process: Posterior, paths: Paths, x: Array) -> Array:
    """Evaluate all functions at the same points ``[m, D]``; return ``[n, m]``."""
    waves, cross = _basis(process, paths, x)
    return paths.heights @ waves.T + paths.corrections @ cross.T


def each_at_its_own(process: Posterior, paths: Paths, x: Array) -> Array:
    """Evaluate each function at points of its own ``[n, k, D]``; return ``[n, k]``."""
    n, k, columns = x.shape
    waves, cross = _basis(process, paths, x.reshape(n * k, columns))
    prior = (waves.reshape(n, k, -1) * paths.heights[:, None]).sum(2)
    return prior + (cross.reshape(n, k, -1) * paths.corrections[:, None]).sum(2)


def _basis(process: Posterior, paths: Paths, x: Array) -> tuple[Array, Array]:
    """Return waves ``[m, w]`` at points, and their covariances ``[m, c]`` with data."""
    waves = jnp.cos(x @ paths.frequencies + paths.phases[None])
    cross = jnp.exp(process.hypers.signal) * matern(x, process.data.x, process.scales)
    return waves, jnp.where(process.data.known[None], cross, 0.0)
