"""Tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), in batches.

The multivariate form of Optuna 5 (Falkner et al., 2018; Watanabe, 2023): one density of
the best points and one of the others, see `parzen.py`. For each point of a batch,
candidates are drawn from the first density, and the one with the largest ratio of the
two is kept. It then counts among the others, so that the next one keeps away (a
constant liar).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune import ranking
from jaxtune.door import guarded, real, whole
from jaxtune.recent import recent_jit
from jaxtune.registry import maker
from jaxtune.samplers._model_based import ModelState, cut, model_based, with_room
from jaxtune.samplers.base import Sampler
from jaxtune.samplers.beliefs import believed, following, log_belief
from jaxtune.samplers.geometry import inside, snapped
from jaxtune.samplers.history import History
from jaxtune.samplers.parzen import (
    Grid,
    Mixture,
    grid_of,
    log_density,
    mixture,
    placed,
    points_of,
    usual_widths,
    with_kernel,
)
from jaxtune.types import Array, Key

RECENT = 25  # trials that count in full; older ones count for less
KERNELS = 4096  # kernels of the others: the latest ones, and as many of what is out
BELIEVED = 4  # of so many draws one follows the beliefs of the space, if it has any
UNIFORM = 32  # points of anywhere, for where all draws were tried


@maker
@guarded(
    share=real(above=0, below=1),
    most=whole(1),
    draws=whole(1, 2**16),
    initial=whole(2),
)
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

    def suggest(state: ModelState, n: int) -> Array:
        padded, out = with_room(state, n)
        return cut(_suggest(padded, np.int32(out), np.int32(n), share, most, draws), n)

    return model_based(suggest, initial)


class Crowd(NamedTuple):
    """The points that the next one keeps away from: other trials, and what is out."""

    poor: Mixture  # the density of both
    widths: Array  # [d] of the kernels around what is out
    tried: Array | None  # [t, d] all points so far; None where none can come twice
    full: Array  # [t] bool, the rows of ``tried`` that hold one


@recent_jit(static=["most", "draws"])
def _suggest(
    state: ModelState, out: Array, n: Array, share: float, most: int, draws: int
) -> Array:
    """Return the next ``n`` points, the first rows of ``[size, d]``.

    Args:
      state: with ``[size, d]`` rows for pending points, which are the first ``out``.
      out: how many are.
      n: size of the batch; with what is out no more than ``size``.
      share: as for `tpe`, and so are the others.
      most: of the best.
      draws: for each point.
    """
    space, grid = state.space, grid_of(state.space)
    told = snapped(space, state.history.points)
    best, others, first = _split(state.history, share, most)
    # no more of them than can be among the best
    good = mixture(grid, told[first[:most]], best[first[:most]] * 1.0)
    pending, known = snapped(space, state.pending), state.history.known
    crowd = _crowd(grid, told, known, others, len(pending))
    key = jax.random.fold_in(state.key, state.history.trials)

    def wait(j: Array, crowd: Crowd) -> Crowd:
        return _joined(grid, crowd, len(told), pending[j], j)

    def pick(j: Array, carry: tuple[Crowd, Array]) -> tuple[Crowd, Array]:
        crowd, chosen = carry
        own = jax.random.fold_in(key, state.asked + j)
        points, fine = _candidates(own, grid, good, crowd, draws)
        at = placed(grid, points)
        ratio = log_density(grid, at, good) - log_density(grid, at, crowd.poor)
        ratio += log_belief(space, points, state.history.trials)
        best = points[jnp.argmax(jnp.where(fine, ratio, -jnp.inf))]
        return _joined(grid, crowd, len(told), best, out + j), chosen.at[j].set(best)

    # one point after the other, so that no array is as large as the batch times the
    # history, and a point does not depend on how many are wanted
    crowd = jax.lax.fori_loop(0, out, wait, crowd)
    none = jnp.zeros_like(pending)
    return jax.lax.fori_loop(0, n, pick, (crowd, none))[1]


def _split(history: History, share: float, most: int) -> tuple[Array, Array, Array]:
    """Return ``[c]`` the best trials, the others, and the order of all of them."""
    known, c = history.known, history.scores.shape[0]
    scores = jnp.where(known, ranking.worst_if_failed(history.scores), -jnp.inf)
    order = ranking.order(scores)
    place = jnp.zeros(c, jnp.int32).at[order].set(jnp.arange(c))
    count = jnp.minimum(jnp.ceil(share * history.trials), most)
    best = history.succeeded & (place < count)
    return best, known & ~best, order


def _recency(others: Array) -> Array:
    """Return ``[c]`` weights: older trials say less about where the search is now."""
    position = jnp.cumsum(others)
    total = jnp.maximum(others.sum(), 1)
    older = jnp.maximum(total - RECENT, 1)
    ramp = 1 / total + (1 - 1 / total) * (position - 1) / jnp.maximum(older - 1, 1)
    return others * jnp.minimum(ramp, 1.0)


def _crowd(grid: Grid, told: Array, known: Array, others: Array, more: int) -> Crowd:
    """Return the other trials, with room for ``more`` points that are out."""
    space = grid.space
    points, weights, room = told, _recency(others), min(more, KERNELS)
    if len(told) > KERNELS:
        late = others & (jnp.cumsum(others) > others.sum() - KERNELS)
        (late,) = jnp.nonzero(late, size=KERNELS, fill_value=len(told))
        points = told.at[late].get(mode="fill", fill_value=0.5)
        weights = weights.at[late].get(mode="fill", fill_value=0.0)
    points = jnp.concatenate([points, jnp.full((room, space.dim), 0.5)])
    poor = mixture(grid, points, jnp.append(weights, jnp.zeros(room)))
    searched = [space[name] for name in space.searched]
    # a real number that always matters is never the same twice
    if any(dim.kind == "continuous" and not dim.condition for dim in searched):
        return Crowd(poor, usual_widths(poor), None, known)
    tried = jnp.concatenate([told, jnp.zeros((more, space.dim))])
    full = jnp.append(known & inside(told), jnp.zeros(more, bool))
    return Crowd(poor, usual_widths(poor), tried, full)


def _joined(grid: Grid, crowd: Crowd, told: int, point: Array, number: Array) -> Crowd:
    """Return the crowd with one more point ``[d]`` that is out, as wide as usual."""
    poor, widths, tried, full = crowd
    first = min(told, KERNELS)
    # the oldest of what is out leaves where there is no room
    at = first + number % (len(poor.centres) - 1 - first)
    poor = with_kernel(grid, poor, at, point, widths)
    if tried is not None:
        tried = tried.at[told + number].set(point)
        full = full.at[told + number].set(True)
    return Crowd(poor, widths, tried, full)


def _candidates(
    key: Key, grid: Grid, good: Mixture, crowd: Crowd, draws: int
) -> tuple[Array, Array]:
    """Return candidates ``[m, d]``, and which of them ``[m]`` may be picked.

    Untried draws come first, then untried points of anywhere, then any draw.
    """
    dim, finite = grid.space.dim, crowd.tried is not None
    count = draws + UNIFORM * finite
    numbers = jax.random.uniform(key, (count, 1 + 3 * dim))
    points = points_of(grid, good, numbers[:draws])
    if believed(grid.space):
        some = draws // BELIEVED
        follow = snapped(grid.space, following(grid.space, numbers[:some, :dim]))
        points = jnp.concatenate([follow, points[some:]])
    if crowd.tried is None:
        return points, jnp.ones(draws, bool)
    points = jnp.concatenate([points, snapped(grid.space, numbers[draws:, :dim])])
    same = (points[:, None] == crowd.tried[None]).all(-1) & crowd.full[None]
    untried, draw = ~same.any(1), jnp.arange(len(points)) < draws
    fine = untried & draw
    rest = jnp.where(untried.any(), untried, draw)
    return points, jnp.where(fine.any(), fine, rest)
