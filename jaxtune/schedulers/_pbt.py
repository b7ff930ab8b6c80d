"""Population based training (Jaderberg et al., 2017, arXiv 1711.09846).

All members train at once. Every few epochs the worst of them take over the parameters
and the hyperparameters of some of the best (exploit), and change the hyperparameters a
little (explore). The result is a schedule of hyperparameters, not a single setting.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.door import guarded, optional, real, whole
from jaxtune.environment import in_32_bits
from jaxtune.random import DRAWN, EXPLOIT, MOVE, REDRAW
from jaxtune.recent import recent_jit
from jaxtune.registry import maker
from jaxtune.schedulers.base import (
    Bracket,
    Decision,
    Plan,
    Progress,
    Scheduler,
    best,
    decision,
    own_scheduler,
    start_new_trials,
)
from jaxtune.space import Space
from jaxtune.types import Array, Key


@maker
@guarded(
    interval=optional(whole(1)),
    share=real(0, 0.5),
    step=real(0, 1),
    resample=real(0, 1),
)
def pbt(
    interval: int | None = None,
    share: float = 0.2,
    step: float = 0.1,
    resample: float = 0.05,
) -> Scheduler:
    """Let the worst members take over from the best, with changed hyperparameters.

    Numbers move by up to ``step`` of the unit cube, on their own scale, and are
    reflected at the bounds. Choices, static dimensions and those that set shapes stay
    as they were taken over. A member that diverged takes over from the best as well.
    Every member and dimension has a key of its own.

    >>> import jaxtune as jt
    >>> jt.schedulers.pbt(interval=5).plan(32, 20)
    Plan(32 trials, at most 640 epochs
      bracket 1: 32 to epoch 5, 32 to epoch 10, 32 to epoch 15, 32 to epoch 20)

    Args:
      interval: epochs between exploitations; a tenth of the budget if not given.
      share: this share of the members, the worst, takes over from the best share, each
        from one of them at random (truncation selection).
      step: the largest move of a hyperparameter, as a share of its range.
      resample: probability that a hyperparameter is drawn afresh from its range.

    Returns:
      A scheduler. Its ``plan`` raises ``ValueError`` for fewer than two members, or
      where nothing is exploited before the end.

    Raises:
      ValueError: an argument out of range.
    """

    def plan(trials: int, epochs: int) -> Plan:
        every = interval or max(1, round(epochs / 10))
        rungs = (*range(every, epochs, every), epochs)
        if trials < 2 or len(rungs) < 2:
            raise ValueError(
                f"pbt: trials={trials} and epochs={epochs} leave nothing to exploit "
                f"every {every} epochs. Use at least two trials and a longer training."
            )
        return Plan((Bracket(0, rungs, (trials,) * len(rungs)),))

    def decide(key: Key, plan: Plan, progress: Progress) -> Decision:
        (bracket,) = plan.brackets
        if (progress.target == 0).any():
            return start_new_trials(plan, progress)
        now = int(progress.target.max())
        waiting = progress.running.any() or now == bracket.epochs[-1]
        if waiting or progress.failed.all():
            return decision([], 0)
        rung = bracket.epochs.index(now)
        source = _sources(key, rung, progress, share)
        return Decision(
            trial=np.arange(len(source), dtype=np.int32),
            source=source,
            epochs=np.full_like(source, bracket.epochs[rung + 1]),
        )

    def explore(key: Key, space: Space, points: Array, epoch: int) -> Array:
        return _explore(space, key, points, epoch, step, resample)

    return own_scheduler(plan, decide, explore)


def _sources(key: Key, rung: int, progress: Progress, share: float) -> np.ndarray:
    """Return ``[n]`` int32: the member whose state each one continues from."""
    rows = np.arange(len(progress.epochs))
    count = int(share * len(rows))
    ranked = best(progress, rung, rows, len(rows), 0.0)
    # failed members are the first of the worst, even if they are more than the share
    failed = np.setdiff1d(rows, ranked)
    elite = ranked[: max(1, count)]
    worst = ranked[len(ranked) - max(0, count - len(failed)) :]
    takers = np.setdiff1d(np.concatenate([failed, worst]), elite)
    source = rows.astype(np.int32)
    draws = _draw(jax.random.fold_in(key, EXPLOIT), rung, len(rows))
    source[takers] = elite[(np.asarray(draws)[takers] * len(elite)).astype(int)]
    return source


@in_32_bits
@partial(jax.jit, static_argnums=2)
def _draw(key: Key, rung: int, members: int) -> Array:
    """Return a number in [0, 1) for every member ``[members]``."""
    own = jax.random.fold_in(key, rung)
    ids = jnp.arange(members)
    return jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(own, i)))(ids)


@in_32_bits
@recent_jit()
def _explore(
    space: Space, key: Key, points: Array, epoch: int, step: float, resample: float
) -> Array:
    """Return points ``[n, d]``, each coordinate moved a little or drawn afresh."""
    key = jax.random.fold_in(key, epoch)

    def one(member: Array, column: Array, u: Array) -> Array:
        def uniform(stream: int) -> Array:
            # keys by member and column: no number depends on the other members
            own = jax.random.fold_in(jax.random.fold_in(key, stream), member)
            return jax.random.uniform(jax.random.fold_in(own, column))

        moved = u + step * (2 * uniform(MOVE) - 1)
        moved = jnp.where(moved < 0, -moved, moved)
        moved = jnp.where(moved >= 1, 2 - moved, moved)
        return jnp.where(uniform(REDRAW) < resample, uniform(DRAWN), moved)

    members, columns = jnp.arange(points.shape[0]), jnp.arange(points.shape[1])
    every_column = jax.vmap(one, in_axes=(None, 0, 0))
    moved = jax.vmap(every_column, in_axes=(0, None, 0))(members, columns, points)
    listed = jnp.asarray([space[name].allowed is not None for name in space.searched])
    below_one = np.nextafter(np.float32(1), np.float32(0))
    return jnp.where(listed[None], points, jnp.clip(moved, 0.0, below_one))
