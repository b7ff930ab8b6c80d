"""The next batch from a history: fit, gather candidates in a box, pick."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtune.random import PICK, POOL
from jaxtune.samplers._model_based import ModelState, with_room
from jaxtune.samplers._sobol import mixed
from jaxtune.samplers.beliefs import believed, following, log_belief
from jaxtune.samplers.geometry import enumerated, features, inside, owners, snapped
from jaxtune.samplers.gp import candidates, large
from jaxtune.samplers.gp.acquisition import (
    NEVER,
    TAKEN,
    greedy,
    log_improvement,
    thompson,
)
from jaxtune.samplers.gp.candidates import Box
from jaxtune.samplers.gp.model import (
    Data,
    Posterior,
    fitted,
    fitted_means,
    posterior,
    predicted,
)
from jaxtune.samplers.history import History
from jaxtune.samplers.warp import warped
from jaxtune.space import Space
from jaxtune.space.dimension import BELOW_ONE
from jaxtune.types import Array, Key

LEADERS, CLOUD = 16, 64  # clouds, and candidates in each
GROUP = LEADERS * CLOUD
SPREAD = 2  # groups all over the box
# the largest step of each cloud: the first lies around the best trials, each next one
# around the most promising candidates so far
CLOUDS = (0.3, 0.1, 0.02)
ABSENT = 9.0  # a feature that no candidate has
LOWEST = -1e30  # a mean that no trial has
JOINT = 1024  # candidates of which whole functions are drawn
FITTED = 256  # trials that the length scales are fitted to, evenly over the history
COMPARED = 1024  # trials that candidates are compared with one by one
LARGEST = 128  # points out or asked for that are picked one by one

# ``(history, space, incumbent [d], log length scales [d], argument) -> Box``
Region = Callable[[History, Space, Array, Array, Array], Box]


class Fit(NamedTuple):
    """The fitted process, and all else that judges the candidates of a batch."""

    process: Posterior
    points: Array  # [c, d] of the trials, snapped to cells; 0.5 for a lost choice
    told: Array  # [C, D] features of all trials, ``ABSENT`` in empty rows
    means: Array  # [c] of the function at the usable trials, ``LOWEST`` elsewhere
    best: Array  # [] the largest of them
    box: Box  # to search
    trials: Array | int = 0  # how many are in the history


class Candidates(NamedTuple):
    """Candidates of a batch, first ``size`` rows for the pending points."""

    points: Array  # [m, d]
    x: Array  # [m, D] features
    prediction: tuple[Array, Array, Array]
    reluctance: Array  # [m], see `greedy`
    belief: Array  # [m] what is added to the logarithm of their improvement


def model_of(history: History, space: Space) -> tuple[Posterior, Array]:
    """Fit the process to a history.

    Args:
      history: of the trials, at most ``rows``; see `shortened`.
      space: of their points.

    Returns:
      The process, and its points ``[c, d]`` snapped to cells.
    """
    points, (y, variance) = snapped(space, history.points), warped(history)
    data = Data(features(space, points), y, variance, history.known)
    if len(y) <= FITTED:
        return fitted(data, owners(space)), points
    # few trials tell the length scales; sixty factors of all of them take seconds
    index = jnp.arange(FITTED) * jnp.maximum(history.trials, FITTED) // FITTED
    few = jax.tree.map(lambda column: column[index], data)
    hypers = fitted(few, owners(space)).hypers
    return posterior(data, hypers, owners(space)), points


def shortened(history: History, rows: int) -> History:
    """Return at most ``rows`` trials: half the best ones, half the latest others."""
    size = history.scores.shape[0]
    if size <= rows:
        return history
    known = history.known
    scores = jnp.where(history.succeeded, history.scores, -jnp.inf)
    index = _kept(known, scores, rows)
    return History(
        points=history.points[index],
        scores=history.scores[index],
        variance=history.variance[index],
        batch=history.batch[index],
        trials=jnp.minimum(history.trials, rows),
    )


def _kept(known: Array, y: Array, rows: int) -> Array:
    """Return the indices of the rows for the model, in the order of the history."""
    size = y.shape[0]
    best = jax.lax.top_k(jnp.where(known, y, -jnp.inf), rows // 2)[1]
    chosen = jnp.zeros(size, bool).at[best].set(True) & known
    # the best rows lie above all others, so the second top_k keeps them
    latest = jnp.where(known, jnp.arange(size), -1) + size * chosen
    index = jax.lax.top_k(jnp.where(known, latest, -1), rows)[1]
    return jnp.sort(jnp.where(latest[index] < 0, size - 1, index))


def fit_history(
    history: History, space: Space, argument: Array, rows: int, region: Region | None
) -> Fit:
    """Fit the process, and find the box to search.

    Args:
      history: of all trials.
      space: of their points.
      argument: for ``region``.
      rows: trials in the model at most.
      region: the box; the cube if ``None``.
    """
    few = shortened(history, rows)
    process, points = model_of(few, space)
    usable = few.succeeded & inside(points)
    # of the function itself: the best of noisy scores is best by luck as well
    means = jnp.where(usable, fitted_means(process), -jnp.inf)
    # nothing inside the cube yet: half a deviation above the mean is worth beating
    best = jnp.where(usable.any(), means.max(), 0.5)
    box = candidates.unit_cube(space.dim)
    if region is not None:
        incumbent = points[jnp.argmax(means)]
        box = region(history, space, incumbent, process.hypers.lengths, argument)
    x, known = process.data.x, few.known
    if len(few.scores) < len(history.scores):
        x, known = features(space, snapped(space, history.points)), history.known
    # finite numbers, which JAX can be asked to insist on between two programs
    told = jnp.where(known[:, None], x, ABSENT)
    means = jnp.maximum(means, LOWEST)
    points = jnp.nan_to_num(points, nan=0.5)
    return Fit(process, points, told, means, best, box, history.trials)


def picked(
    model: Fit,
    space: Space,
    key: Key,
    pending: Array,
    out: Array | int,
    n: Array | int,
    acquisition: str,
) -> Array:
    """Pick the points of a batch.

    Args:
      model: of the trials.
      space: of the points.
      key: of the batch.
      pending: ``[size, d]`` the points that are out, then empty rows.
      out: how many are.
      n: size of the batch.
      acquisition: a name in ``ACQUISITIONS``.

    Returns:
      ``[size, d]`` points at the middle of their cells; the first ``n`` are the batch.
    """
    pool_key, own = (jax.random.fold_in(key, stream) for stream in (POOL, PICK))
    size, best = len(pending), model.best
    if size > LARGEST:
        return _drawn(model, space, (pool_key, own), pending, out, n)
    pool = _gathered(model, space, pool_key, pending)
    index = ACQUISITIONS[acquisition](model.process, pool, best, out, own, n, size)
    return pool.points[index]


def suggested(
    state: ModelState,
    n: int,
    acquisition: str,
    rows: int,
    region: Region | None = None,
    argument: Array | float = 0.0,
) -> Array:
    """Suggest the next batch, ``[n, d]`` points at the middle of their cells.

    Args:
      state: of the sampler.
      n: size of the batch.
      acquisition: a name in ``ACQUISITIONS``.
      rows: trials in the model at most.
      region: the box to search; the cube if ``None``.
      argument: for ``region``.
    """
    space, history = state.space, state.history
    model = fit_history(history, space, jnp.float32(argument), rows, region)
    key = jax.random.fold_in(state.key, history.trials)
    padded, out = with_room(state, n)
    return picked(model, space, key, padded.pending, out, n, acquisition)[:n]


def _gathered(model: Fit, space: Space, key: Key, pending: Array) -> Candidates:
    """Gather candidates, group by group.

    The first group has the pending points, and a few of the whole cube for when there
    is nothing new inside the box. The next ones lie all over the box, or are all the
    configurations of a space that has so few, and the last ones lie ever closer to the
    most promising of those before.
    """
    process, size, dim = model.process, len(pending), space.dim
    cube = candidates.unit_cube(dim)
    slots = jnp.pad(pending, ((0, max(GROUP - size, 0)), (0, 0)))
    row = jnp.arange(GROUP)
    first = model.points[jax.lax.top_k(model.means, LEADERS)[1]]

    def gather(
        top: tuple[Array, Array], step: tuple[Array, Key, Array]
    ) -> tuple[tuple[Array, Array], tuple[Array, ...]]:
        number, own, widest = step
        box = jax.tree.map(partial(jnp.where, number > 0), model.box, cube)
        centres = jnp.where(number == 1 + SPREAD, first, top[0])
        anew = number <= SPREAD
        points = candidates.clouds(own, space, box, centres, CLOUD, widest, anew)
        every, few = enumerated(space, number * GROUP + row, SPREAD * GROUP)
        points = jnp.where(anew & few, every, points)
        if believed(space):
            points = jnp.where(number == SPREAD, following(space, points), points)
        slot = (number == 0) & (row < size)
        points = snapped(space, jnp.where(slot[:, None], slots, points))
        x = features(space, points)
        mean, variance, explained = predicted(process, x)
        score = log_improvement(mean[None], variance, model.best[None])
        belief = log_belief(space, points, model.trials)
        score += belief
        among = jnp.append(top[1], jnp.where(number > 0, score, -jnp.inf))
        scores, index = jax.lax.top_k(among, LEADERS)
        top = jnp.concatenate([top[0], points])[index], scores
        # a point at a side of the box may be snapped to just beyond it
        low, high = model.box.low[None] - 1e-6, model.box.high[None] + 1e-6
        outside = ~((points >= low) & (points <= high))
        tried = _tried(x, model.told)
        reluctance = jnp.where(tried, TAKEN, outside.any(1) * 1.0)
        # the pending points are picked first by their number
        reluctance = jnp.where(slot, NEVER, reluctance)
        return top, (points, x, mean, variance, explained.T, reluctance, belief)

    numbers = jnp.arange(1 + SPREAD + len(CLOUDS))
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(numbers)
    widest = jnp.asarray((0.0,) * (1 + SPREAD) + CLOUDS, jnp.float32)
    start = (jnp.zeros((LEADERS, dim)), jnp.full(LEADERS, -jnp.inf))
    groups = jax.lax.scan(gather, start, (numbers, keys, widest))[1]
    flat = (part.reshape(-1, *part.shape[2:]) for part in groups)
    points, x, mean, variance, explained, reluctance, belief = flat
    return Candidates(points, x, (mean, variance, explained.T), reluctance, belief)


def _drawn(
    model: Fit,
    space: Space,
    keys: tuple[Key, Key],
    pending: Array,
    out: Array | int,
    n: Array | int,
) -> Array:
    """Pick ``[size, d]`` points, each the best of one function drawn; see `large`.

    Where several functions have one best point, or it is a trial already, the most
    promising of the other candidates take the places that are left.
    """
    leaders = model.points[jax.lax.top_k(model.means, large.LEADERS)[1]]
    leaders = jnp.clip(leaders, 0, BELOW_ONE)
    size = len(pending)
    chunks = large.drawn_chunks(
        model.process,
        space,
        model.box,
        leaders,
        keys,
        begin=out,
        n=n,
        size=size // large.CHUNK,
    )
    both = [chunks.best.reshape(size, -1), chunks.others.reshape(-1, space.dim)]
    points = jnp.concatenate(both)
    slots = snapped(space, pending)
    waiting = (jnp.arange(size) < out)[:, None]
    taken = jnp.where(waiting, features(space, slots), ABSENT)
    before = jnp.concatenate([model.told, taken])
    repeated = _repeated(jnp.concatenate([before, features(space, points)]))
    # the best points in the order of their functions, then the others
    best = jnp.where(jnp.arange(size) < n, jnp.inf, -jnp.inf)
    rest = jnp.append(best, chunks.promise.ravel())
    unwanted = repeated[len(before) :] | jnp.isneginf(rest)
    order = jnp.lexsort((-rest, unwanted))
    return points[order[:size]]


def _tried(x: Array, told: Array) -> Array:
    """Return ``[m]`` bool: which candidates are trials already."""
    if len(told) <= COMPARED:
        return (x[:, None] == told[None]).all(2).any(1)
    hashes = jnp.sort(_hashed(told))
    place = jnp.minimum(jnp.searchsorted(hashes, _hashed(x)), len(told) - 1)
    return hashes[place] == _hashed(x)


def _repeated(x: Array) -> Array:
    """Return ``[m]`` bool: which candidates equal an earlier row.

    Rows are compared by a hash of 32 bits. Of two different rows with one hash the
    later one counts as repeated, which costs at most a few of thousands of candidates.
    """
    hashed = _hashed(x)
    order = jnp.argsort(hashed, stable=True)
    same = jnp.append(False, hashed[order][1:] == hashed[order][:-1])
    return jnp.zeros(len(x), bool).at[order].set(same)


def _hashed(x: Array) -> Array:
    words = jax.lax.bitcast_convert_type(x, jnp.uint32)
    hashed = jnp.zeros(len(x), jnp.uint32)
    for column in words.T:
        hashed = mixed(hashed ^ column) + jnp.uint32(0x9E3779B9)
    return hashed


def _greedy(
    process: Posterior,
    pool: Candidates,
    best: Array,
    pending: Array | int,
    key: Key,
    n: Array | int,
    size: int,
) -> Array:
    x, prediction, reluctance, belief = pool[1:]
    return greedy(
        process, x, prediction, best, reluctance, pending, key, n, size, belief
    )


def _thompson(
    process: Posterior,
    pool: Candidates,
    best: Array,
    pending: Array | int,
    key: Key,
    n: Array | int,
    size: int,
) -> Array:
    """Pick with `thompson` among the most promising candidates that are not out."""
    del n  # draws to spare are cut off
    x, (mean, variance, explained), reluctance, belief = pool[1:]
    score = log_improvement(mean[None], variance, best[None]) + belief
    rows = jnp.arange(len(x))
    # the pending points are among the candidates that an ask before them had
    repeated = jnp.append(jnp.ones(size, bool), _repeated(x[size:]))
    reluctance = jnp.where(repeated, jnp.maximum(reluctance, TAKEN), reluctance)
    # the least reluctant first, and the most promising of them; never a pending row
    order = jnp.lexsort((-score, reluctance, rows < size))
    top = order[: max(JOINT, size)]
    waiting = jnp.where((jnp.arange(size) < pending)[:, None], x[:size], ABSENT)
    out = _tried(x[top], waiting)
    # draw j is the same one whether it is asked for at once or later
    draw = jax.vmap(lambda j: jax.random.fold_in(key, j))
    of_top = mean[top], explained[:, top]
    left = jnp.where(out, TAKEN, reluctance[top])
    keys = draw(pending + jnp.arange(size))
    return top[thompson(process, x[top], of_top, left, keys)]


ACQUISITIONS: dict[str, Callable[..., Any]] = {
    "log_ei": _greedy,
    "thompson": _thompson,
}
