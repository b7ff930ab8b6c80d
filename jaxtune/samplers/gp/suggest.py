"""The next batch from a history: fit, gather candidates in a box, pick."""

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
from jaxtune.space import Space
from jaxtune.types import Array, Key

SPREAD = 2048  # candidates all over the box
ELSEWHERE = 512  # outside of it
LEADERS, CLOUD = 16, 64  # clouds, and candidates in each
# the largest step of each cloud: the first lies around the best trials, each next one
# around the most promising candidates so far
CLOUDS = (0.3, 0.1, 0.02)
Gathered = tuple[Array, Array, Array]  # candidates, their scores, the leaders
JOINT = 1024  # candidates of which whole functions are drawn


def model_of(state: ModelState, rows: int) -> tuple[Posterior, Array, Array]:
    """Fit the process to the history, or to ``rows`` of it.

    Args:
      state: of the sampler.
      rows: the largest number of trials; of a longer history, half of them are the
        best ones and half the latest others.

    Returns:
      The process, its points ``[c, d]`` snapped to cells, and ``[c]`` bool: the trials
      inside the present cube that have a score.
    """
    space, history = state.space, state.history
    points, (y, variance) = snapped(space, history.points), warped(history)
    known, fine = history.known, history.succeeded
    if history.scores.shape[0] > rows:
        index = _kept(known, y, rows)
        points, y, variance = points[index], y[index], variance[index]
        known, fine = known[index], fine[index]
    data = Data(features(space, points), y, variance, known)
    process = fitted(data, owners(space))
    return process, points, fine & inside(points)


def _kept(known: Array, y: Array, rows: int) -> Array:
    """Return the indices of the rows for the model, in the order of the history."""
    size = y.shape[0]
    best = jax.lax.top_k(jnp.where(known, y, -jnp.inf), rows // 2)[1]
    chosen = jnp.zeros(size, bool).at[best].set(True) & known
    # the best rows lie above all others, so the second top_k keeps them
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
    """Suggest the next batch.

    Args:
      state: of the sampler.
      n: size of the batch.
      acquisition: a name in ``ACQUISITIONS``.
      rows: trials in the model at most.
      region: ``(process, incumbent [d]) -> Box`` to search; the cube if ``None``.

    Returns:
      ``[n, d]`` points at the middle of their cells.
    """
    space = state.space
    process, points, usable = model_of(state, rows)
    key = jax.random.fold_in(state.key, state.history.trials)
    # of the function itself: the best of noisy scores is best by luck as well
    means = jnp.where(usable, predicted(process, process.data.x)[0], -jnp.inf)
    # nothing inside the cube yet: half a deviation above the mean is worth beating
    best = jnp.where(usable.any(), means.max(), 0.5)
    box = candidates.unit_cube(space.dim)
    if region is not None:
        box = region(process, points[jnp.argmax(means)])
    own = jax.random.fold_in(key, POOL)
    pool = _pool(process, own, space, box, points, means, best)
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
    prediction = predicted(process, x)
    pick = ACQUISITIONS[acquisition]
    return pool[pick(process, x, prediction, best, reluctance, out, key, n)]


def _pool(
    process: Posterior,
    key: Key,
    space: Space,
    box: Box,
    points: Array,
    means: Array,
    best: Array,
) -> Array:
    """Gather candidates ``[m, d]``.

    They lie all over the box, ever closer to the most promising ones, and a few lie
    outside, for when there is nothing new inside.
    """

    def promise(points: Array) -> Array:
        mean, variance, _ = predicted(process, features(space, points))
        return log_improvement(mean[None], variance, best[None])

    keys = [jax.random.fold_in(key, i) for i in range(len(CLOUDS) + 2)]
    rows, clouds = LEADERS * CLOUD, len(CLOUDS)
    everywhere = candidates.uniform_points(keys[0], space, box, SPREAD)
    # rows to come promise nothing, so that no leader is one of them
    pool = jnp.pad(everywhere, ((0, clouds * rows), (0, 0)))
    score = jnp.pad(promise(everywhere), (0, clouds * rows), constant_values=-jnp.inf)

    def add(carry: Gathered, step: tuple[Key, Array, Array]) -> tuple[Gathered, None]:
        pool, score, leaders = carry
        own, widest, begin = step
        cloud = candidates.clouds(own, space, box, leaders, CLOUD, widest)
        pool = jax.lax.dynamic_update_slice(pool, cloud, (begin, 0))
        score = jax.lax.dynamic_update_slice(score, promise(cloud), (begin,))
        return (pool, score, pool[jax.lax.top_k(score, LEADERS)[1]]), None

    # a loop, since each cloud takes as long to compile as the last one
    begins = SPREAD + rows * jnp.arange(clouds)
    steps = (jnp.stack(keys[1:-1]), jnp.asarray(CLOUDS, jnp.float32), begins)
    first = points[jax.lax.top_k(means, LEADERS)[1]]
    pool = jax.lax.scan(add, (pool, score, first), steps)[0][0]
    cube = candidates.unit_cube(space.dim)
    return jnp.concatenate(
        [pool, candidates.uniform_points(keys[-1], space, cube, ELSEWHERE)]
    )


def _tried(x: Array, trials: Array, known: Array) -> Array:
    """Return ``[m]`` bool: which candidates are trials already."""

    def one(row: Array) -> Array:
        return (known & (trials == row[None]).all(1)).any()

    # in batches: all pairs at once would be too large an array
    return jax.lax.map(one, x, batch_size=256)


def _repeated(x: Array) -> Array:
    """Return ``[m]`` bool: which candidates equal an earlier row.

    Rows are compared by a hash of 32 bits. Of two different rows with one hash the
    later one counts as repeated, which costs at most a few of thousands of candidates.
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
    key: Key,
    n: int,
) -> Array:
    """Pick with `thompson` among the most promising candidates that are not out."""
    mean, variance, explained = prediction
    score = log_improvement(mean[None], variance, best[None])
    # the least reluctant first, and the most promising of them; never a pending row
    order = jnp.lexsort((-score, reluctance, jnp.arange(len(x)) < pending))
    top = order[: max(JOINT, n)]
    out = _tried(x[top], x[:pending], jnp.ones(pending, bool))
    # draw j is the same one whether it is asked for at once or later
    draw = jax.vmap(lambda j: jax.random.fold_in(key, j))
    of_top = mean[top], explained[:, top]
    left = jnp.where(out, TAKEN, reluctance[top])
    keys = draw(pending + jnp.arange(n))
    return top[thompson(process, x[top], of_top, left, keys)]


ACQUISITIONS: dict[str, Callable[..., Any]] = {
    "log_ei": greedy,
    "thompson": _thompson,
}
