"""The loop: ask, train, score, tell, zoom."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune import ranking
from jaxtune.checks import warn
from jaxtune.executors.streamed import local
from jaxtune.executors.workers import Hire
from jaxtune.planning.workload import Workload
from jaxtune.random import SAMPLE, SCHEDULE
from jaxtune.results.result import Result, Setup
from jaxtune.results.rows import rows_of
from jaxtune.results.trials import Trials
from jaxtune.rounds.callbacks import Callback
from jaxtune.rounds.progress import Report
from jaxtune.rounds.refine import Refiner
from jaxtune.rounds.schedule import Schedule
from jaxtune.samplers import Sampler
from jaxtune.schedulers import Plan, Scheduler
from jaxtune.space import Space
from jaxtune.space.points import Points
from jaxtune.training.journal import Journal
from jaxtune.training.round import Led, Training, train
from jaxtune.training.round_state import Measured
from jaxtune.types import Key


class Search(NamedTuple):
    """All that a search is a function of.

    Args:
      workload: task, key, block width and budget.
      schedule: the space and its rounds.
      seeds: trainings of every configuration.
      metric: which metric is the score.
      mode: ``"max"`` or ``"min"``.
      sampler: where to look inside a box.
      refine: how to shrink it.
      scheduler: who trains how long; all in full if ``None``.
    """

    workload: Workload
    schedule: Schedule
    seeds: int
    metric: str
    mode: str
    sampler: Sampler
    refine: Refiner
    scheduler: Scheduler | None

    @property
    def setup(self) -> Setup:
        """What a result tells of it."""
        schedule = self.schedule
        own = (self.workload, schedule.space, self.metric, self.mode)
        return Setup(*own, schedule.trials, self.seeds)


def run(
    search: Search,
    plans: list[Plan | None],
    journal: Journal,
    say: Report,
    callback: Callback,
    hire: Hire = local,
) -> Result:
    """Run the rounds of a search, or what the journal does not know of them.

    Args:
      search: all that it is a function of.
      plans: of its rounds, from `plan_rounds`.
      journal: told of everything; it may know the beginning.
      say: told of the progress.
      callback: told of everything that users may want to hear.
      hire: who runs blocks.

    Returns:
      All trials.
    """
    space, schedule = search.schedule.space, search.schedule
    history: list[Trials] = []
    rounds: list[Training] = []
    boxes, done = [], [0.0]
    for number, (_, count) in enumerate(schedule.stages):

        def make(number=number, count=count) -> Points:
            last = _refined(search, rounds[-1].final, history[-1]) if rounds else None
            return _begin(search, number, count, schedule.opened(last, number), history)

        first = sum(map(len, history))
        ids = np.arange(first, first + count)
        known = journal.ended(number)
        if known is None:
            start = journal.begin(number, make)
            draw = _stream(search.workload.key, SCHEDULE, number)
            metric, mode = search.metric, search.mode
            led = Led(search.scheduler, plans[number], draw, metric, mode)
            watch = _watch(say, search, history, done, callback)
            hear = functools.partial(callback.on_rung, number)
            own = (ids, start, np.arange(search.seeds), led, watch, journal, hear)
            training = train(search.workload, space, *own, hire)
            journal.end(number, training)
        else:
            start, training = known
            done[0] += training.outcome.spent.live / (search.workload.epochs or 1)
        boxes.append(start.space)
        rounds.append(training)
        history.append(rows_of(space, number, ids, training, search.metric))
        record = functools.reduce(Trials.append, history)
        result = Result(record, tuple(boxes), search.setup, tuple(rounds))
        callback.on_round(result)
    return result


def _begin(
    search: Search, number: int, count: int, box: Space, history: list[Trials]
) -> Points:
    """What a round begins with."""
    draw = _stream(search.workload.key, SAMPLE, number)
    points = _ask(search.sampler, draw, box, history, count, search.mode)
    return Points(box, points, jax.device_get(box.decode(points)))


def trainings(search: Search, plans: list[Plan | None]) -> int:
    """What the search is worth in whole trainings, at most."""
    if plans[0] is None:
        return search.schedule.trials * search.seeds
    planned = sum(plan.epochs for plan in plans if plan is not None)
    return -(-planned // search.workload.epochs) * search.seeds


def _stream(key: Key, stream: int, number: int) -> Key:
    """The key of one round for one purpose."""
    return jax.random.fold_in(jax.random.fold_in(key, stream), number)


def plan_rounds(search: Search) -> list[Plan | None]:
    """What the scheduler intends for each round, checked before anything trains.

    Raises:
      ValueError: a scheduler that is none, that loses trials, or where nothing trains.
    """
    scheduler, epochs = search.scheduler, search.workload.epochs
    counts = [stage.trials for stage in search.schedule.stages]
    if scheduler is None:
        return [None] * len(counts)
    if not isinstance(scheduler, Scheduler):
        raise ValueError(
            f"scheduler: got {scheduler!r}. Use one of jaxtune.schedulers, such as "
            "schedulers.hyperband()."
        )
    if not search.workload.trains:
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
    known = _known(history, mode)
    # round by round: arrays of one shape, so that later rounds compile nothing new
    for rows in history:
        scores, known = known[: len(rows)], known[len(rows) :]
        points = box.encode(rows.decoded)
        state = sampler.tell(state, points, jnp.asarray(scores))
    return np.asarray(sampler.ask(state, count)[1])


def _known(history: list[Trials], mode: str) -> np.ndarray:
    """What a sampler is told: a score for each seed where all trained equally long."""
    standing = _standing(history, mode)
    if not history or history[0].scores.shape[1] == 1:
        return standing
    epochs = np.concatenate([rows.epochs for rows in history])
    if not ranking.comparable(standing, epochs):
        return standing
    return ranking.orient(np.concatenate([rows.scores for rows in history]), mode)


def _standing(history: list[Trials], mode: str) -> np.ndarray:
    """Oriented scores of all trials; those stopped early rank behind the others."""
    if not history:
        return np.empty(0, np.float32)
    scores = np.concatenate([rows["score"] for rows in history])
    epochs = np.concatenate([rows.epochs for rows in history])
    return ranking.standing(ranking.orient(scores, mode), epochs)


def _refined(search: Search, end: Points, rows: Trials) -> Space:
    scores = _standing([rows], search.mode)
    finite = int(np.isfinite(scores).sum())
    if finite < 2:
        warn(
            f"{len(scores) - finite} of {len(scores)} trials of this round failed: the "
            "space stays as it is. Search lower learning rates, or a smaller space.",
        )
        return end.space
    return search.refine(end.space, jnp.asarray(end.points), jnp.asarray(scores))


def _watch(
    report: Report,
    search: Search,
    history: list[Trials],
    done: list[float],
    callback: Callback,
) -> Any:
    """What to tell the progress bar and a callback after every block."""
    sign, number = ranking.direction(search.mode), len(history) + 1
    scores = np.concatenate([np.empty(0), *[rows.scores.ravel() for rows in history]])
    finite = sign * scores[np.isfinite(scores)]
    best, failed = [float(max(finite, default=-np.inf))], [len(scores) - len(finite)]

    def after_block(told: Measured) -> None:
        values = told.metrics.get(search.metric, np.empty(0))
        fine = sign * values[np.isfinite(values)]
        best[0] = max([best[0], *fine.tolist()])
        done[0] += told.trainings
        failed[0] += told.failed
        report(number, done[0], sign * best[0], failed[0])
        callback.on_block(number - 1, told)

    return after_block
