"""From a history to a batch: fit, gather candidates in a box, pick."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxtune.random import PICK, POOL
from jaxtune.samplers._model_based import ModelState
from jaxtune.samplers._sobol import mixed
from jaxtune.samplers.geometry import features, inside, owners, snapped
from jaxtune.samplers.gp import candidates
from jaxtune.samplers.gp.acquisition import TAKEN, greedy, log_improvement, thompson
from jaxtune.samplers.gp.candidates import Box
from jaxtune.samplers.gp.model import Data, Posterior, fitted, predicted
from jaxtune.samplers.warp import warped
from jaxtune.types import Array

SPREAD = 2048  # candidates all over the box
ELSEWHERE = 512  # outside of it
LEADERS, CLOUD = 16, 64  # clouds, and candidates in each
CLOUDS = (0.3, 0.1, 0.02)  # widest steps, around the best so far and then around them
JOINT = 1024  # candidates of which whole functions are drawn


def model_of(state: ModelState, rows: int) -> tuple[Posterior, Array, Array]:
    """The process after the history, or after ``rows`` of it.

    Args:
      state: of the sampler.
      rows: of a longer history, the better half of them by score and the latest.

    Returns:
      The process, its points ``[c, d]`` snapped to cells, and ``[c]`` whether each is a
      success inside the present cube.
    """
    space, history = state.space, state.history
    told, (y, variance) = snapped(space, history.points), warped(history)
    known, fine = history.known, history.succeeded
    if history.scores.shape[0] > rows:
        index = _kept(known, y, rows)
        told, y, variance = told[index], y[index], variance[index]
        known, fine = known[index], fine[index]
    data = Data(features(space, told), y, variance, known)
    process = fitted(data, owners(space), space.dim)
    return process, told, fine & inside(told)


def _kept(known: Array, y: Array, rows: int) -> Array:
    """Indices of the rows that the model sees, in the order of the history."""
    size = y.shape[0]
    best = jax.lax.top_k(jnp.where(known, y, -jnp.inf), rows // 2)[1]
    chosen = jnp.zeros(size, bool).at[best].set(True) & known
    latest = jnp.where(known, jnp.arange(size), -1) + size * chosen
    index = jax.lax.top_k(jnp.where(known, latest, -1), rows)[1]
    return jnp.sort(index)


def suggested(
    state: ModelState,
    n: int,
    acquisition: str,
    rows: int,
    region: Callable[[Posterior, Array], Box] | None = None,
) -> Array:
    """The next batch ``[n, d]``.

    Args:
      state: of the sampler.
      n: how many points.
      acquisition: a row of the table of acquisitions.
      rows: trials in the model at most.
      region: ``(process, incumbent [d]) -> Box`` where to look; the cube if ``None``.

    Returns:
      Points at the middle of their cells.
    """
    space = state.space
    process, told, usable = model_of(state, rows)
    key = jax.random.fold_in(state.key, state.history.told)
    means = jnp.where(usable, predicted(process, process.data.x)[0], -jnp.inf)
    # nothing inside the cube yet: half a deviation above the mean is worth beating
    best = jnp.where(usable.any(), means.max(), 0.5)
    box = candidates.unit_cube(space.dim)
    if region is not None:
        box = region(process, told[jnp.argmax(means)])
    pool = _pool(process, jax.random.fold_in(key, POOL), state, box, told, means, best)
    pending = snapped(space, state.pending)
    pool = jnp.concatenate([pending, pool])
    x = features(space, pool)
    out = len(pending)
    # the pending points are among the candidates that an ask before them had
    repeated = jnp.append(jnp.ones(out, bool), _repeated(x[out:]))
    unwanted = repeated | _tried(x, process.data.x, process.data.known)
    outside = ~((pool >= box.low[None]) & (pool <= box.high[None])).all(1)
    reluctance = jnp.where(unwanted, TAKEN, outside * 1.0)
    key = jax.random.fold_in(key, PICK)
    own = (best, reluctance, out, key, n)
    return pool[ACQUISITIONS[acquisition](process, x, predicted(process, x), *own)]


def _pool(
    process: Posterior,
    key: Array,
    state: ModelState,
    box: Box,
    told: Array,
    means: Array,
    best: Array,
) -> Array:
    """Candidates ``[m, d]``: all over the box, ever closer to the most promising, and
    a few outside, for when there is nothing new inside."""
    space = state.space

    def promise(points):
        mean, variance, _ = predicted(process, features(space, points))
        return log_improvement(mean[None], variance, best[None])

    keys = [jax.random.fold_in(key, i) for i in range(len(CLOUDS) + 2)]
    pool = candidates.uniform_points(keys[0], space, box, SPREAD)
    score = promise(pool)
    leaders = told[jax.lax.top_k(means, LEADERS)[1]]
    for own, widest in zip(keys[1:-1], CLOUDS, strict=True):
        cloud = candidates.clouds(own, space, box, leaders, CLOUD, widest)
        pool = jnp.concatenate([pool, cloud])
        score = jnp.concatenate([score, promise(cloud)])
        leaders = pool[jax.lax.top_k(score, LEADERS)[1]]
    cube = candidates.unit_cube(space.dim)
    return jnp.concatenate(
        [pool, candidates.uniform_points(keys[-1], space, cube, ELSEWHERE)]
    )


def _tried(x: Array, told: Array, known: Array) -> Array:
    """``[m]`` bool: the candidates that are trials already."""

    def one(row):
        return (known & (told == row[None]).all(1)).any()

    return jax.lax.map(one, x, batch_size=256)


def _repeated(x: Array) -> Array:
    """``[m]`` bool: the candidates that an earlier row is equal to.

    By a hash of 32 bits: of two different rows with one hash the later one, too, counts
    as repeated, which costs a candidate in thousands.
    """
    words = jax.lax.bitcast_convert_type(x, jnp.uint32)
    hashed = jnp.zeros(len(x), jnp.uint32)
    for column in words.T:
        hashed = mixed(hashed ^ column) + jnp.uint32(0x9E3779B9)
    order = jnp.argsort(hashed, stable=True)
    same = jnp.append(False, hashed[order][1:] == hashed[order][:-1])
    return jnp.zeros(len(x), bool).at[order].set(same)


def _thompson(
    process: Posterior,
    x: Array,
    prediction: tuple[Array, Array, Array],
    best: Array,
    reluctance: Array,
    pending: int,
    key: Array,
    n: int,
) -> Array:
    """Drawn among the most promising, whatever is out; what is out is not picked."""
    mean, variance, explained = prediction
    score = log_improvement(mean[None], variance, best[None])
    # the least reluctant first, and the most promising of them; never a pending row
    order = jnp.lexsort((-score, reluctance, jnp.arange(len(x)) < pending))
    top = order[: max(JOINT, n)]
    out = _tried(x[top], x[:pending], jnp.ones(pending, bool))
    # draw j is the same one whether it is asked for at once or later
    draw = jax.vmap(lambda j: jax.random.fold_in(key, j))
    own = (mean[top], explained[:, top])
    left = jnp.where(out, TAKEN, reluctance[top])
    return top[thompson(process, x[top], own, left, draw(pending + jnp.arange(n)))]


ACQUISITIONS: dict[str, Callable[..., Any]] = {
    "log_ei": greedy,
    "thompson": _thompson,
}
