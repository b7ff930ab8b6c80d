"""The loop: ask, train, score, tell, zoom."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune import ranking
from jaxtune.journal import NoJournal, Points
from jaxtune.keys import check_key
from jaxtune.population import (
    Measured,
    Traced,
    Workload,
    prepare,
    trace,
    unread,
)
from jaxtune.progress import Report, progress
from jaxtune.refine import Refiner, zoom
from jaxtune.result import Result, Setup
from jaxtune.samplers import Sampler, sobol
from jaxtune.schedule import Schedule, flat
from jaxtune.schedulers import Plan, Scheduler
from jaxtune.space import Space
from jaxtune.table import rows_of
from jaxtune.tasks import Task, check_data
from jaxtune.training import Led, Training, train
from jaxtune.trials import Trials
from jaxtune.types import Key, Objective
from jaxtune.versions import check_versions

SAMPLE, SCHEDULE = 0, 2  # streams of the root key; training draws from 1

_decode = jax.jit(Space.decode)
_encode = jax.jit(Space.encode)
_active = jax.jit(Space.active)


def search(
    task: Task | Objective,
    space: Space | Schedule,
    *,
    key: Key,
    trials: int | None = None,
    rounds: int = 1,
    epochs: int | None = None,
    seeds: int = 1,
    metric: str | None = None,
    mode: str | None = None,
    sampler: Sampler | None = None,
    refine: Refiner | None = None,
    scheduler: Scheduler | None = None,
    directory: None = None,
    block: int | None = None,
    programs: int | None = None,
    verbose: int = 1,
) -> Result:
    """Search a space, coarse to fine, with many trials in one program.

    Every round asks the sampler for points in the present box, trains and scores them
    in blocks of lanes, and shrinks the box around the best. The same key gives the same
    table, bit for bit, on the same machine.

    Args:
      task: what to train, from :func:`classification`, :func:`regression` or
        :class:`Task`; or any function ``(key, hparams) -> scalar`` that JAX can trace.
      space: what to search; or a schedule of it, such as :func:`tiered`, which has its
        own trials and rounds.
      key: root of all randomness, from ``jax.random.key``.
      trials: configurations in the whole search, spread evenly over the rounds.
      rounds: how often to zoom in, plus one.
      epochs: how long every trial trains; not for plain functions.
      seeds: independent trainings of every configuration; its score is their mean, and
        it has failed if any of them has.
      metric: which of the task's metrics is the score; its first if not given.
      mode: ``"max"`` or ``"min"``; taken from the task's metric if not given.
      sampler: where to look inside a box; ``samplers.sobol()`` if not given.
      refine: how to shrink the box; ``zoom()`` if not given.
      scheduler: who trains how long, such as ``schedulers.hyperband()``, within each
        round; all trials train in full if not given. Not for plain functions.
      directory: not available yet; only ``None``.
      block: lanes in a block; chosen for the device if not given. It is part of a
        trial's identity: other widths differ in the last bits.
      programs: at most so many for the shapes of a padded model; chosen from the work
        that they save if not given. ``plan`` says beforehand. Part of a trial's
        identity, as ``block`` is.
      verbose: 0 hides the progress bar, which only a terminal shows.

    Returns:
      All trials, the best one, and the space of every round.

    Raises:
      ValueError: an argument that makes no sense, saying what would.
      RuntimeError: a version of jaxlib that is known to compute wrong numbers.
    """
    check_versions()
    _not_yet("directory", directory)
    check_key(key)
    _check_counts(seeds=seeds, **_given(block=block, programs=programs))
    schedule = _schedule(space, trials, rounds)
    space, rounds = schedule.space, len(schedule.stages)
    task = check_data(task) if isinstance(task, Task) else task
    metric, mode = _objective(task, space, metric, mode)
    workload = prepare(task, space, key, _budget(task, epochs), block, programs)
    plans = _plans(scheduler, task, schedule, workload.epochs)
    traced = trace(workload, space)
    _check_metric(traced, metric)
    _warn_about(unread(traced, workload, space), space, schedule.trials)

    sampler, refine = sampler or sobol(), refine or zoom()
    history: list[Trials] = []
    rounds_done: list[Training] = []
    refined, boxes, done = None, [], [0.0]
    with progress(
        _trainings(schedule, plans, workload) * seeds, rounds, verbose
    ) as say:
        for number, (_, count) in enumerate(schedule.stages):
            box = schedule.opened(refined, number)
            boxes.append(box)
            first = sum(map(len, history))
            draw = _stream(key, SAMPLE, number)
            points = _ask(sampler, draw, box, history, count, mode)
            start = Points(box, points, jax.device_get(_decode(box, points)))
            ids = np.arange(first, first + count)
            watch = _watch(say, metric, mode, history, done)
            draw = _stream(key, SCHEDULE, number)
            led = Led(scheduler, plans[number], draw, metric, mode)
            own = (ids, start, np.arange(seeds), led, watch, NoJournal())
            training = train(workload, space, *own)
            rounds_done.append(training)
            history.append(rows_of(space, number, ids, training, metric))
            if number + 1 < rounds:
                refined = _refined(refine, training.final, history[-1], mode)
    record = functools.reduce(Trials.append, history)
    setup = Setup(workload, space, metric, mode)
    return Result(record, tuple(boxes), setup, tuple(rounds_done))


def _trainings(schedule: Schedule, plans: list[Plan | None], workload: Workload) -> int:
    """What the search is worth in whole trainings, at most."""
    if not plans or plans[0] is None:
        return schedule.trials
    planned = sum(plan.epochs for plan in plans if plan is not None)
    return -(-planned // workload.epochs)


def _stream(key: Key, stream: int, number: int) -> Key:
    """The key of one round for one purpose."""
    return jax.random.fold_in(jax.random.fold_in(key, stream), number)


def _plans(
    scheduler: Scheduler | None,
    task: Task | Objective,
    schedule: Schedule,
    epochs: int,
) -> list[Plan | None]:
    """What the scheduler intends for each round, checked before anything trains."""
    counts = [stage.trials for stage in schedule.stages]
    if scheduler is None:
        return [None] * len(counts)
    if not isinstance(scheduler, Scheduler):
        raise ValueError(
            f"scheduler: got {scheduler!r}. Use one of jaxtune.schedulers, such as "
            "schedulers.hyperband()."
        )
    if not isinstance(task, Task):
        raise ValueError(
            "scheduler: a plain function has no epochs to stop at. Leave it out."
        )
    plans = [scheduler.plan(count, epochs) for count in counts]
    for plan, count in zip(plans, counts, strict=True):
        if plan.trials != count:
            raise ValueError(
                f"scheduler: planned {plan.trials} trials for a round of {count}."
            )
    return list(plans)


def _ask(
    sampler: Sampler,
    key: Key,
    box: Space,
    history: list[Trials],
    count: int,
    mode: str,
) -> np.ndarray:
    """New points of this round's cube, from a sampler told all trials so far."""
    state = sampler.init(key, box)
    known = _standing(history, mode)
    # round by round: arrays of one shape, so that later rounds compile nothing new
    for rows in history:
        scores, known = known[: len(rows)], known[len(rows) :]
        points = _encode(box, dict(rows.decoded))
        state = sampler.tell(state, points, jnp.asarray(scores))
    return np.asarray(sampler.ask(state, count)[1])


def _standing(history: list[Trials], mode: str) -> np.ndarray:
    """Oriented scores of all trials; those stopped early rank behind the others."""
    if not history:
        return np.empty(0, np.float32)
    scores = np.concatenate([rows["score"] for rows in history])
    epochs = np.concatenate([rows.epochs for rows in history])
    return ranking.standing(ranking.orient(scores, mode), epochs)


def _refined(refine: Refiner, end: Points, rows: Trials, mode: str) -> Space:
    scores = _standing([rows], mode)
    finite = int(np.isfinite(scores).sum())
    if finite < 2:
        warnings.warn(
            f"{len(scores) - finite} of {len(scores)} trials of this round failed: the "
            "space stays as it is. Search lower learning rates, or a smaller space.",
            stacklevel=3,
        )
        return end.space
    return refine(end.space, jnp.asarray(end.points), jnp.asarray(scores))


def _watch(
    report: Report, metric: str, mode: str, history: list[Trials], done: list[float]
) -> Any:
    """What to tell the progress bar after every block."""
    sign, number = ranking.direction(mode), len(history) + 1
    scores = np.concatenate([np.empty(0), *[rows.scores.ravel() for rows in history]])
    finite = sign * scores[np.isfinite(scores)]
    best, failed = [float(max(finite, default=-np.inf))], [len(scores) - len(finite)]

    def after_block(told: Measured) -> None:
        values = told.metrics.get(metric, np.empty(0))
        fine = sign * values[np.isfinite(values)]
        best[0] = max([best[0], *fine.tolist()])
        done[0] += told.trainings
        failed[0] += told.failed
        report(number, done[0], sign * best[0], failed[0])

    return after_block


def _not_yet(name: str, value: Any) -> None:
    if value is not None:
        raise NotImplementedError(
            f"{name}: got {value!r}, but this version of jaxtune has none. Use None."
        )


def _schedule(space: Space | Schedule, trials: int | None, rounds: int) -> Schedule:
    if isinstance(space, Schedule):
        if (trials or space.trials) != space.trials or rounds != 1:
            raise ValueError(
                f"trials={trials}, rounds={rounds}: the schedule has {space.trials} "
                f"trials in {len(space.stages)} rounds of its own. Leave both out."
            )
        return space
    if trials is None:
        raise ValueError("trials: say how many configurations to try.")
    _check_counts(trials=trials, rounds=rounds)
    if space.dim == 0:
        raise ValueError(f"space: nothing is searched, all is fixed in {space}.")
    if trials < rounds:
        raise ValueError(
            f"trials={trials} cannot fill rounds={rounds}. trials is the number of all "
            "trials, over all rounds."
        )
    return flat(space, trials, rounds)


def _given(**sizes: Any) -> dict[str, Any]:
    return {name: size for name, size in sizes.items() if size is not None}


def _check_counts(**sizes: Any) -> None:
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"{name}: got {size!r}. Use a whole number from 1.")


def _budget(task: Task | Objective, epochs: int | None) -> int:
    if not isinstance(task, Task):
        if epochs is not None:
            raise ValueError(f"epochs={epochs}: a plain function is not trained.")
        return 0
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"epochs: got {epochs!r}. A task needs a whole number from 1.")
    return epochs


def _objective(
    task: Task | Objective, space: Space, metric: str | None, mode: str | None
) -> tuple[str, str]:
    if not isinstance(task, Task):
        if not callable(task):
            raise ValueError(
                f"task: got {task!r}. Use a task such as classification(...), or a "
                "function (key, hparams) -> scalar."
            )
        if metric is not None:
            raise ValueError(f"metric={metric!r}: a plain function has only its value.")
        metric, known = "value", {}
    else:
        known = dict(task.metrics)
        metric = metric or next(iter(known), None)
    if metric is None or (known and metric not in known):
        names = ", ".join(known) or "whatever evaluate returns"
        raise ValueError(f"metric: got {metric!r}. Use one of: {names}.")
    mode = mode or known.get(metric)
    if mode is None:
        raise ValueError("mode: say whether scores are better when 'max' or 'min'.")
    ranking.direction(mode)
    if isinstance(task, Task):
        _check_limits(task, space)
    taken = [name for name in known if name in space.names]
    if taken:
        raise ValueError(f"space: {taken[0]!r} is a metric of the task. Rename it.")
    return metric, mode


def _check_limits(task: Task, space: Space) -> None:
    for name, (low, high) in task.limits:
        if name not in space.names:
            continue
        bounds = space[name].bounds
        if not low <= bounds[0] <= bounds[1] <= high:
            raise ValueError(
                f"dimension {name!r}: the space has {bounds}, but the model takes "
                f"{low} to {high}. Change the space, or make the model larger."
            )


def _check_metric(traced: tuple[Traced, ...], metric: str) -> None:
    for program in traced:
        if metric not in program.metrics:
            raise ValueError(
                f"metric: got {metric!r}, but evaluate returns "
                f"{', '.join(program.metrics) or 'nothing'}. Use one of these."
            )


def _warn_about(ignored: list[str], space: Space, trials: int) -> None:
    if ignored:
        warnings.warn(
            f"nothing reads {', '.join(ignored)}: searching them changes no score. "
            "Check the spelling, or fix them with space.keep(...).",
            stacklevel=3,
        )
    if space.size < trials:
        warnings.warn(
            f"this space has {space.size} configurations, so that {trials} trials "
            "repeat some. samplers.grid(...) gives each of them once.",
            stacklevel=3,
        )
