"""Checks of the contracts of samplers, refiners, schedulers and tasks.

Each check raises ``AssertionError`` with one sentence when the contract is broken. They
are meant for your own parts as much as for jaxtune's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.door import FUNCTION, KEY, guarded, optional, whole
from jaxtune.planning.preparation import prepare
from jaxtune.programs import block as block_program
from jaxtune.programs.lane import DIVERGED, RUNNING
from jaxtune.results.names import check_metrics
from jaxtune.rounds.refine import A_REFINER, Refiner
from jaxtune.samplers import Sampler
from jaxtune.samplers.base import A_SAMPLER
from jaxtune.schedulers import Decision, Plan, Progress, Scheduler
from jaxtune.schedulers.base import A_SCHEDULER, Explore
from jaxtune.space import (
    A_SPACE,
    Space,
    choice,
    integer,
    log_uniform,
    ordinal,
    reverse_log_uniform,
    uniform,
)
from jaxtune.tasks import Task
from jaxtune.tasks._folds import with_folds
from jaxtune.tasks.function import as_task
from jaxtune.tasks.task import A_TASK
from jaxtune.training.ledger import Ledger, RungScores, check_decision
from jaxtune.training.retraining import train_in_full
from jaxtune.types import Key


def mixed_space() -> Space:
    """Make a space with a dimension of every kind, for checks.

    >>> import jaxtune as jt
    >>> jt.testing.mixed_space().names
    ('rate', 'momentum', 'dropout', 'units', 'decay', 'activation')

    Returns:
      Six searched dimensions.
    """
    return Space(
        rate=log_uniform(1e-4, 1.0),
        momentum=reverse_log_uniform(0.5, 0.999),
        dropout=uniform(0.0, 0.5),
        units=integer(16, 256, scale="log"),
        decay=ordinal([0.0, 0.1, 1.0]),
        activation=choice(["relu", "tanh", "gelu"]),
    )


@guarded(sampler=A_SAMPLER, space=optional(A_SPACE), n=whole(3))
def check_sampler(sampler: Sampler, space: Space | None = None, n: int = 12) -> None:
    """Check the contract of a sampler, from its first point on.

    >>> import jaxtune as jt
    >>> jt.testing.check_sampler(jt.samplers.halton())

    Args:
      sampler: the sampler.
      space: the space to sample; `mixed_space` if not given.
      n: points to ask for, at least 3.

    Raises:
      AssertionError: points of a wrong shape or outside the cube, points that depend on
        the batching or differ when the key is repeated, or a state that is changed in
        place or does not accept failures.
    """
    space = space or mixed_space()
    key = jax.random.key(7)
    start = sampler.init(key, space)
    before = jax.tree.map(np.asarray, _plain(start))
    state, points = sampler.ask(start, n)
    chex.assert_shape(points, (n, space.dim))
    assert ((points >= 0) & (points < 1)).all(), "points must lie in [0, 1)"
    for sizes in ((1,) * n, (n - 2, 2), (2, n - 2)):
        got, batched = [], sampler.init(key, space)
        for size in sizes:
            batched, part = sampler.ask(batched, size)
            got.append(np.asarray(part))
        same = np.array_equal(np.concatenate(got), points)
        assert same, f"batches of {sizes} must give the points of one batch of {n}"
    chex.assert_trees_all_equal(_plain(start), before)
    # a third failed; scores come alone or with a column for each seed
    scores = jnp.where(jnp.arange(n) % 3 == 0, jnp.nan, points.sum(1))
    for seeds in (scores, jnp.stack([scores, scores + 1], axis=1)):
        after = sampler.tell(state, points, seeds)
        chex.assert_trees_all_equal_structs(_plain(after), _plain(state))


@guarded(refiner=A_REFINER, space=optional(A_SPACE), n=whole(2))
def check_refiner(refiner: Refiner, space: Space | None = None, n: int = 64) -> None:
    """Check the contract of a refiner.

    >>> import jaxtune as jt
    >>> jt.testing.check_refiner(jt.zoom(top=4))

    Args:
      refiner: the refiner.
      space: the space to refine; `mixed_space` if not given.
      n: points to refine from.

    Raises:
      AssertionError: another tree, bounds that leave the space, failures that are
        selected, a result that depends on the order of rows or differs under ``jit``.
    """
    space = space or mixed_space()
    points = jax.random.uniform(jax.random.key(3), (n, space.dim))
    scores = -((points - 0.3) ** 2).sum(1)
    smaller = refiner(space, points, scores)
    chex.assert_trees_all_equal_structs(smaller, space)
    _assert_inside(smaller, space)
    # not to the bit: one compiled program may round otherwise than several
    chex.assert_trees_all_close(
        jax.jit(refiner)(space, points, scores), smaller, rtol=1e-6
    )
    shuffled = jax.random.permutation(jax.random.key(4), n)
    chex.assert_trees_all_equal(
        refiner(space, points[shuffled], scores[shuffled]), smaller
    )
    # failures in a far corner must move nothing; as many fail on both sides, since a
    # refiner may keep a share of all points
    corner = jnp.where(jnp.arange(n)[:, None] < n // 8, 0.999, points)
    expected = refiner(
        space, points, jnp.where(jnp.arange(n) < n // 8, jnp.nan, scores)
    )
    for failure in (jnp.nan, jnp.inf, -jnp.inf):
        failing = jnp.where(jnp.arange(n) < n // 8, failure, scores)
        chex.assert_trees_all_equal(
            _ordered(refiner(space, points, failing)), _ordered(expected)
        )
        chex.assert_trees_all_equal(
            _ordered(refiner(space, corner, failing)), _ordered(expected)
        )
    repeat = refiner(smaller, points, scores)
    _assert_inside(repeat, smaller)


class Simulation(NamedTuple):
    """The decisions of a scheduler on known learning curves.

    Args:
      plan: the scheduler's plan.
      epochs: ``[n]`` int, epochs that each trial trained.
      failed: ``[n]`` bool, trials that failed.
      steps: pairs of the progress that it saw and its decision, in order.
    """

    plan: Plan
    epochs: np.ndarray
    failed: np.ndarray
    steps: list[tuple[Progress, Decision]]


@guarded(
    scheduler=A_SCHEDULER,
    score=FUNCTION,
    trials=whole(1),
    epochs=whole(1),
    key=optional(KEY),
    concurrent=whole(1),
)
def simulate(
    scheduler: Scheduler,
    score: Callable[[int, int], float],
    trials: int,
    epochs: int,
    key: Key | None = None,
    concurrent: int = 8,
    points: np.ndarray | None = None,
) -> Simulation:
    """Let a scheduler decide on known learning curves; nothing is trained.

    >>> import jaxtune as jt
    >>> halving = jt.schedulers.successive_halving(eta=3)
    >>> jt.testing.simulate(halving, lambda row, epoch: row, 9, 9).epochs.tolist()
    [3, 3, 3, 3, 3, 3, 9, 9, 9]

    Args:
      scheduler: the scheduler.
      score: ``(row, epoch) -> score``; higher is better, NaN fails the trial.
      trials: number of trials.
      epochs: epochs of a whole training.
      key: key of the scheduler; ``jax.random.key(0)`` if not given.
      concurrent: trials at once for a scheduler that leaves it open.
      points: ``[trials, d]`` in the unit cube, for a scheduler that learns where good
        trials lie; without them it knows the curves alone.

    Returns:
      The plan, the decisions and how long each trial trained.

    Raises:
      ValueError: a decision that no scheduler may make.
    """
    key = jax.random.key(0) if key is None else key
    plan = scheduler.plan(trials, epochs)
    ledger, ids = Ledger(trials, 1), np.arange(trials)
    scores = RungScores(plan, ledger, "score", "max")
    slots = None if plan.concurrent is None else plan.concurrent or concurrent
    steps = []
    while True:
        progress = scores.progress(slots, points)
        decided = scheduler.decide(key, plan, progress)
        decided = check_decision(decided, progress, epochs)
        scores.check_rungs(decided)
        steps.append((progress, decided))
        taken = decided.source >= 0
        ledger.copy(decided.trial[taken], decided.source[taken])
        ledger.send(decided.trial, decided.epochs)
        if not ledger.waiting.size:
            return Simulation(plan, ledger.epochs, progress.failed, steps)
        _advance(ledger, score)
        scores.update(ids)


def _advance(ledger: Ledger, score: Callable[[int, int], float]) -> None:
    """Let all lanes go as far as the next one arrives."""
    rows = ledger.waiting
    step = (ledger.target[rows] - ledger.epochs[rows]).min()
    epochs = ledger.epochs[rows] + step
    arrives = epochs == ledger.target[rows]
    values = np.full(len(rows), np.nan, np.float32)
    for at in np.flatnonzero(arrives):
        values[at] = score(int(rows[at]), int(epochs[at]))
    fine = np.isfinite(values) | ~arrives
    status = np.where(fine, RUNNING, DIVERGED).astype(np.int32)
    ledger.note(rows, epochs, arrives, {"score": values}, status)


@guarded(scheduler=A_SCHEDULER, trials=whole(1), epochs=whole(1))
def check_scheduler(scheduler: Scheduler, trials: int = 40, epochs: int = 27) -> None:
    """Check the contract of a scheduler.

    >>> import jaxtune as jt
    >>> jt.testing.check_scheduler(jt.schedulers.hyperband())

    Args:
      scheduler: the scheduler.
      trials: number of trials to decide on.
      epochs: epochs of a whole training.

    Raises:
      AssertionError: a plan that loses trials or does not end with the budget, trials
        that never start, decisions that are not repeatable or depend on the unit of the
        scores, or exploration that leaves the cube or mixes members.
      ValueError: a decision that no scheduler may make.
    """
    plan = scheduler.plan(trials, epochs)
    rows = [row for bracket in plan.brackets for row in bracket.rows.tolist()]
    assert sorted(rows) == list(range(trials)), "every trial is in one bracket"
    for bracket in plan.brackets:
        rising = all(np.diff([0, *bracket.epochs]) > 0)
        assert rising, f"rungs must rise, got {bracket.epochs}"
        assert bracket.epochs[-1] == epochs, "the last rung is the whole training"
    noise = np.random.default_rng(0).normal(size=(trials, epochs + 1))
    curves = noise.cumsum(axis=1).astype(np.float32)
    curves[::7, epochs // 2 :] = np.nan  # some trials diverge on the way
    found = simulate(scheduler, _lookup(curves), trials, epochs)
    assert (found.epochs > 0).all(), "every trial must begin"
    for unit in (1.0, 1024.0):  # a power of two changes no rounding
        again = simulate(scheduler, _lookup(unit * curves), trials, epochs)
        same = all(
            np.array_equal(a, b)
            for (_, one), (_, other) in zip(found.steps, again.steps, strict=True)
            for a, b in zip(one, other, strict=True)
        )
        assert same, "the same progress must give the same decisions, in any unit"
    # where every trial fails, a scheduler that waits for scores would never end
    simulate(scheduler, lambda r, e: np.nan, trials, epochs)
    if scheduler.explore is not None:
        _check_explore(scheduler.explore)


def _lookup(curves: np.ndarray) -> Callable[[int, int], float]:
    """Return ``(row, epoch) -> score`` of the curves ``[n, epochs + 1]``."""
    return lambda row, epoch: curves[row, epoch]


def _check_explore(explore: Explore) -> None:
    """Check that exploration is repeatable and treats every member alone."""
    space, key = mixed_space(), jax.random.key(1)
    points = jax.random.uniform(jax.random.key(2), (6, space.dim))
    moved = explore(key, space, points, 3)
    chex.assert_shape(moved, points.shape)
    assert ((moved >= 0) & (moved < 1)).all(), "explored points must lie in [0, 1)"
    chex.assert_trees_all_equal(explore(key, space, points, 3), moved)
    other = explore(key, space, points.at[1].set(0.5), 3)
    for row in (0, 2, 3, 4, 5):
        alone = np.array_equal(other[row], moved[row])
        assert alone, "a member's exploration must not depend on another's"


@guarded(task=A_TASK, space=A_SPACE, epochs=whole(1))
def check_task(task: Task, space: Space, epochs: int = 1) -> None:
    """Train a few lanes of a task and check the contract of its functions.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> import jaxtune as jt
    >>> import numpy as np
    >>> import optax
    >>> x = np.linspace(-1, 1, 8, dtype=np.float32)
    >>> data = {"x": x, "y": 2 * x}
    >>> def error(w, batch):
    ...     return jnp.mean((w * batch["x"] - batch["y"]) ** 2)
    >>> task = jt.Task(
    ...     init=lambda key, h: jax.random.normal(key),
    ...     loss=lambda w, batch, key, h: error(w, batch),
    ...     evaluate=lambda w, split, h: {"mse": error(w, split)},
    ...     optimizer=lambda h: optax.sgd(h["rate"]),
    ...     train=data,
    ...     valid=data,
    ...     batch_size=4,
    ...     metrics=(("mse", "min"),),
    ... )
    >>> jt.testing.check_task(task, jt.Space(rate=jt.log_uniform(1e-3, 1e-1)))

    Args:
      task: the task.
      space: hyperparameters to train with.
      epochs: epochs to train.

    Raises:
      AssertionError: parameters that depend on anything but the key, a lane whose
        numbers depend on its neighbours, or metrics that are not repeatable.
      ValueError: data that cannot be used for training, or a metric that has the name
        of another column of the table.
    """
    task, key = as_task(task), jax.random.key(5)
    # one that is made for folds has no other rows to be scored on
    folds = 2 if task.trains and task.valid is None else None
    task = with_folds(task, folds, key)
    workload = prepare(task, space, key, epochs, 4)
    points = jax.random.uniform(jax.random.key(6), (4, space.dim))
    hparams = {name: np.asarray(v) for name, v in space.decode(points).items()}
    ids, seeds = np.arange(4), np.arange(1)
    first = train_in_full(workload, space, ids, hparams, seeds)
    assert first.metrics, "evaluate must return at least one metric"
    check_metrics(first.metrics, space.names)
    chex.assert_trees_all_equal(
        first, train_in_full(workload, space, ids, hparams, seeds), strict=True
    )
    # one trial of the four, with padding in the place of its neighbours
    alone = {name: values[2:3] for name, values in hparams.items()}
    single = train_in_full(workload, space, ids[2:3], alone, seeds)
    for name, values in first.metrics.items():
        message = f"{name} of a lane must not depend on its neighbours"
        np.testing.assert_array_equal(single.metrics[name][0], values[2], message)


def compilations() -> int:
    """Count the block programs that have been compiled in this process so far.

    >>> import jaxtune as jt
    >>> before = jt.testing.compilations()
    >>> jt.testing.compilations() - before  # nothing was trained in between
    0

    Returns:
      The number; compare it before and after a search.
    """
    programs = [
        block_program.start_program(),
        block_program.advance,
        block_program.advance_on_subset,
        block_program.score,
        block_program.measure,
    ]
    return sum(program.programs() for program in programs)


def _assert_inside(smaller: Space, space: Space) -> None:
    """Check that no bound or choice of one space leaves another."""
    for name in space.searched:
        inner, outer = smaller[name], space[name]
        if outer.allowed is not None:
            kept = np.asarray(inner.allowed)
            assert kept.any(), f"{name} must keep a choice"
            assert not (kept & ~np.asarray(outer.allowed)).any(), f"{name} grew"
        else:
            low, high = np.float32(outer.low), np.float32(outer.high)
            message = f"{name} must stay inside its bounds"
            assert low <= inner.low <= inner.high <= high, message


def _ordered(space: Space) -> Any:
    """Return the bounds without choices, whose evidence counts failures as tries."""
    return {n: space[n].bounds for n in space.searched if space[n].allowed is None}


def _plain(state: Any) -> Any:
    """Return a tree with keys as numbers, which NumPy can hold and compare."""

    def data(leaf: Any) -> Any:
        if isinstance(leaf, jax.Array) and jnp.issubdtype(
            leaf.dtype, jax.dtypes.prng_key
        ):
            return jax.random.key_data(leaf)
        return leaf

    return jax.tree.map(data, state)
