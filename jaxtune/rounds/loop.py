"""The loop of a search.

A round refines the box by the last round, tells a new sampler all earlier rounds, asks
it for points, and trains them.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune import ranking
from jaxtune.checks import warn
from jaxtune.environment import on_host, unplaced
from jaxtune.executors.streamed import local_pool
from jaxtune.executors.workers import MakePool
from jaxtune.goals.arguments import Constraints
from jaxtune.goals.limits import violation
from jaxtune.goals.order import Goal
from jaxtune.goals.rejection import allowed_only
from jaxtune.goals.scalarisation import asked_in_parts
from jaxtune.planning.workload import Workload
from jaxtune.random import PAST, SAMPLE, SCHEDULE
from jaxtune.registry import recipe_of
from jaxtune.results.folded import per_seed
from jaxtune.results.result import Result, Setup
from jaxtune.results.trials import Trials
from jaxtune.rounds.ahead import rehearsing
from jaxtune.rounds.aimed import admission, roomy_enough, told_scores, with_sizes
from jaxtune.rounds.callbacks import Callback
from jaxtune.rounds.confirm import measured_again
from jaxtune.rounds.known import Setting, has_room_for, with_known
from jaxtune.rounds.past import Past, Told, with_past
from jaxtune.rounds.progress import Report
from jaxtune.rounds.refine import Refiner
from jaxtune.rounds.repeats import distinct, identities, roomy
from jaxtune.rounds.schedule import Schedule
from jaxtune.rounds.so_far import UNLIMITED, Follower, Limits, SoFar
from jaxtune.samplers import Sampler
from jaxtune.schedulers import Plan, Scheduler, in_full
from jaxtune.space import Space
from jaxtune.space.points import Points
from jaxtune.training.journal import Journal
from jaxtune.training.round import SchedulerRun, Training, train_round
from jaxtune.training.round_state import BlockEvent, OnBlock
from jaxtune.training.stopping import INTERRUPTED, Stopping
from jaxtune.types import HparamArrays, Key


class Search(NamedTuple):
    """The arguments of a search, checked: equal ones give equal tables.

    Args:
      workload: task, key, block width and budget.
      schedule: the space and its rounds.
      seeds: trainings of every configuration, with folds on each of them.
      metric: the metric that is the score.
      mode: ``"max"`` or ``"min"``.
      sampler: proposes points inside a box.
      refine: shrinks the box.
      scheduler: decides how long each trial trains.
      distinct: whether no configuration is trained twice while untried ones are left.
      first: known settings, which are the first trials.
      prior: earlier searches, which the sampler learns from.
      constraints: limits of metrics and sizes, and requirements of hyperparameters.
      goals: several goals in place of the score alone.
    """

    workload: Workload
    schedule: Schedule
    seeds: int
    metric: str
    mode: str
    sampler: Sampler
    refine: Refiner
    scheduler: Scheduler
    distinct: bool = True
    first: tuple[Setting, ...] = ()
    prior: tuple[Past, ...] = ()
    constraints: Constraints = Constraints()
    goals: tuple[Goal, ...] = ()

    def workload_of(self, number: int) -> Workload:
        """Return the workload of a round, which may train for epochs of its own."""
        epochs, usual = self.schedule.stages[number].epochs, self.workload
        return usual if epochs is None else usual._replace(epochs=epochs)

    def first_of(self, number: int) -> tuple[Setting, ...]:
        """Return the known settings that a round begins with."""
        return self.first if number == 0 else self.schedule.stages[number].first

    def scheduler_of(self, number: int) -> Scheduler:
        """Return the scheduler of a round: repeats are not stopped by others."""
        stage, budget = self.schedule.stages[number], self.workload_of(number).budget
        # at its own pace a trial is complete where it was stopped, and so is a repeat
        alone = self.scheduler.plan(stage.trials, budget).own_pace
        return in_full() if stage.confirms and not alone else self.scheduler

    @property
    def folds(self) -> int | None:
        """Number of folds; ``None`` without them."""
        folds = self.workload.task.folds
        return None if folds is None else folds.number

    @property
    def repeats(self) -> int:
        """Trainings of every trial: one for each seed and fold."""
        return self.seeds * (self.folds or 1)

    @property
    def setup(self) -> Setup:
        """The setup, as results report it."""
        return Setup(
            workload=self.workload,
            space=self.schedule.space,
            metric=self.metric,
            mode=self.mode,
            trials=self.schedule.trials,
            seeds=self.seeds,
            folds=self.folds,
            constraints=self.constraints,
            goals=self.goals,
        )


def run_rounds(
    search: Search,
    plans: list[Plan],
    journal: Journal,
    report: Report,
    callback: Callback,
    make_pool: MakePool = local_pool,
    limits: Limits = UNLIMITED,
) -> Result:
    """Run the rounds of a search, or those that the journal does not know.

    Args:
      search: its arguments.
      plans: of its rounds, from `plan_rounds`.
      journal: records everything; it may know the beginning.
      report: shows the progress.
      callback: called with everything that users may want to follow.
      make_pool: makes worker pools.
      limits: what may end it before its time.

    Returns:
      All trials.

    Raises:
      KeyboardInterrupt: Ctrl-C, unless what there is has a score and is kept.
    """
    so_far, last = SoFar(), len(search.schedule.stages) - 1
    follower = Follower(report, callback, [0.0])
    stopping = Stopping(limits.judge, limits.drains, limits.keeps)
    try:
        for number in range(last + 1):
            known = journal.ended(number)
            if known is None:
                start, training = _train(
                    search,
                    plans[number],
                    journal,
                    so_far,
                    follower,
                    make_pool,
                    stopping,
                )
            else:
                start, training = known
                share = training.outcome.spent.live / search.workload_of(number).budget
                follower.done[0] += share
            so_far = so_far.plus(search, start, training)
            if not training.over:
                break
            callback.on_round(so_far.result(search))
            if number < last and not journal.begun(number + 1):
                stopping.look(functools.partial(so_far.result, search))
            if stopping.reason:
                break
    except KeyboardInterrupt as interrupt:
        stopping.end(interrupt)
    return _stopped(search, so_far, stopping, journal)


def _stopped(
    search: Search, so_far: SoFar, stopping: Stopping, journal: Journal
) -> Result:
    """Return the result, with the reason if it is not finished."""
    result = so_far.result(search) if so_far.rounds else None
    if stopping.reason == INTERRUPTED and (
        result is None or not np.isfinite(result.standing).any()
    ):
        raise KeyboardInterrupt  # nothing is lost that anybody could use
    assert result is not None, "a search has a round"
    if result.finished or not stopping.reason:
        return result
    journal.stopped = stopping.reason
    return dataclasses.replace(result, stopped=stopping.reason)


def _train(
    search: Search,
    plan: Plan,
    journal: Journal,
    so_far: SoFar,
    follower: Follower,
    make_pool: MakePool,
    stopping: Stopping,
) -> tuple[Points, Training]:
    """Return the points that the next round began with, and its training."""
    number, history = len(so_far.rounds), so_far.history
    count = search.schedule.stages[number].trials
    make = functools.partial(_begin, search, number, count, so_far)
    start = journal.begin(number, make)
    stopping.result_of = lambda training: so_far.plus(search, start, training).result(
        search
    )
    with rehearsing(functools.partial(_rehearse, search, number, start, history)):
        training = train_round(
            search.workload_of(number),
            search.schedule.space,
            trials=so_far.ids(count),
            start=start,
            seeds=np.arange(search.repeats),
            run=_scheduler_run(search, plan, number),
            on_block=_watch(search, history, follower, start),
            journal=journal,
            on_rung=functools.partial(follower.callback.on_rung, number),
            make_pool=make_pool,
            stopping=stopping,
        )
    if training.over:
        journal.end(number, training)
    return start, training


def _scheduler_run(search: Search, plan: Plan, number: int) -> SchedulerRun:
    return SchedulerRun(
        scheduler=search.scheduler_of(number),
        plan=plan,
        key=_stream(search.workload.key, SCHEDULE, number),
        metric=search.metric,
        mode=search.mode,
        limits=search.constraints.limits,
        rules=search.constraints.rules,
        goals=search.goals,
    )


@on_host()
def _begin(search: Search, number: int, count: int, so_far: SoFar) -> Points:
    """Return the configurations that a round begins with, after those before it."""
    history, stages = so_far.history, search.schedule.stages
    if stages[number].confirms:
        standing = _standing(search, history)
        return _sized(
            search, measured_again(search.schedule, number, history, standing)
        )
    # a round that measures again has seen too little to refine by
    searched = [i for i in range(number) if not stages[i].confirms]
    last = None
    if searched:
        final, rows = so_far.rounds[searched[-1]].final, history[searched[-1]]
        last = _refined(search, final, rows)
    box, first = search.schedule.opened(last, number), search.first_of(number)
    whole = functools.partial(search.schedule.opened, None, number)
    if not has_room_for(box, first):
        box = whole()
    draw = _stream(search.workload.key, SAMPLE, number)

    rules, space = search.constraints.rules, search.schedule.space
    sampler = allowed_only(search.sampler, rules)

    def ask(box: Space) -> Points:
        points = _ask(search, draw, box, history, count)
        if search.prior and box.searched:
            past = _stream(search.workload.key, PAST, number)
            told = _told(search, history)
            points = with_past(points, sampler, past, box, told, search.prior)
        begin = Points(box, points, jax.device_get(box.decode(points)))
        return with_known(begin, first)

    box = roomy_enough(draw, box, whole, rules)
    # in an infinite space no configuration comes twice
    if not search.distinct or box.size == math.inf:
        return _sized(search, ask(box))
    tried = set().union(*[identities(box, rows.decoded) for rows in history])
    admits = admission(rules, space)
    begin = ask(roomy(draw, box, whole, tried, count, admits))
    return _sized(search, distinct(draw, begin, tried, len(first), admits))


def _sized(search: Search, points: Points) -> Points:
    """Return points with the true sizes that constraints and goals name."""
    limits, goals = search.constraints.limits, search.goals
    return with_sizes(points, search.workload, search.schedule.space, limits, goals)


def _rehearse(
    search: Search, number: int, start: Points, history: Sequence[Trials]
) -> None:
    """Compile what follows a round: refine, tell and ask with made-up scores."""
    stages = search.schedule.stages
    # functions of the user may count their calls, or be costly
    remade = recipe_of(search.sampler) and recipe_of(search.refine)
    # a requirement is a function of the user, and goals are asked for in parts
    ours = remade and not (search.constraints.rules or search.goals)
    if number + 1 == len(stages) or not ours or not start.space.searched:
        return
    if stages[number].confirms or stages[number + 1].confirms:
        return  # nothing is refined or asked
    seeds = (search.seeds,) if search.seeds > 1 else ()

    def told(hparams: HparamArrays, count: int) -> tuple[HparamArrays, np.ndarray]:
        return hparams, np.zeros((count, *seeds), np.float32)

    rows = len(start.points)
    scores = jnp.asarray(np.linspace(0, 1, rows, dtype=np.float32))
    box = search.refine(start.space, jnp.asarray(start.points), scores)
    box = search.schedule.opened(box, number + 1)
    known = [told(before.decoded, len(before)) for before in history]
    known.append(told(start.hparams, rows))
    draw = _stream(search.workload.key, SAMPLE, number + 1)
    box.decode(_asked(search.sampler, draw, box, known, stages[number + 1].trials))


def trainings(search: Search, plans: list[Plan]) -> int:
    """Return the number of whole trainings that a search is worth, at most."""
    budgets = [search.workload_of(i).budget for i in range(len(plans))]
    shares = [Fraction(p.epochs, b) for p, b in zip(plans, budgets, strict=True)]
    return math.ceil(sum(shares)) * search.repeats


@on_host()
def _stream(key: Key, stream: int, number: int) -> Key:
    """Return the key of one round for one purpose."""
    return jax.random.fold_in(jax.random.fold_in(unplaced(key), stream), number)


def plan_rounds(search: Search) -> list[Plan]:
    """Return the plan of the scheduler for each round, before anything trains.

    Raises:
      ValueError: a scheduler that loses trials.
    """
    plans = []
    for number, stage in enumerate(search.schedule.stages):
        budget = search.workload_of(number).budget
        plan = search.scheduler_of(number).plan(stage.trials, budget)
        if plan.trials != stage.trials:
            raise ValueError(
                f"scheduler: planned {plan.trials} trials for a round of "
                f"{stage.trials}."
            )
        plans.append(plan)
    return plans


def _ask(
    search: Search, key: Key, box: Space, history: Sequence[Trials], count: int
) -> np.ndarray:
    """Return new points of this round's cube, from a sampler that knows all trials."""
    if not box.searched:  # one configuration, at the only point of no dimension
        return np.empty((count, 0), np.float32)
    sampler = allowed_only(search.sampler, search.constraints.rules)

    def ask(key: Key, weights: np.ndarray | None, count: int) -> np.ndarray:
        return _asked(sampler, key, box, _told(search, history, weights), count)

    if not search.goals or not _learns(search.sampler, key, box, history):
        return ask(key, None, count)
    return asked_in_parts(key, count, ask, len(search.goals))


def _learns(sampler: Sampler, key: Key, box: Space, history: Sequence[Trials]) -> bool:
    """Return whether a sampler takes in what it is told; a sequence does not."""
    if not history:
        return False
    state, rows = sampler.init(key, box), history[0]
    points = box.encode(rows.decoded)
    return sampler.tell(state, points, jnp.zeros(len(rows))) is not state


def _told(
    search: Search, history: Sequence[Trials], weights: np.ndarray | None = None
) -> Told:
    """Return the configurations and scores of each round, for a sampler."""
    known = _known(search, history, weights)
    told = list[tuple[HparamArrays, np.ndarray]]()
    # round by round: arrays of one shape, so that later rounds compile less
    for rows in history:
        scores, known = known[: len(rows)], known[len(rows) :]
        told.append((rows.decoded, scores))
    return told


def _asked(
    sampler: Sampler,
    key: Key,
    box: Space,
    told: Told,
    count: int,
) -> np.ndarray:
    """Return new points, after the configurations and scores of each round."""
    # a new sampler each round: what it knows is a function of the table alone. It gets
    # a round's scores here, when the next round starts, since their points have to be
    # encoded in the new box first
    state = sampler.init(key, box)
    for decoded, scores in told:
        # a trial's point in the cube differs from box to box
        state = sampler.tell(state, box.encode(decoded), jnp.asarray(scores))
    return np.asarray(sampler.ask(state, count)[1])


def _known(
    search: Search, history: Sequence[Trials], weights: np.ndarray | None
) -> np.ndarray:
    """Return the scores for a sampler: of each seed where all trained equally long."""
    # otherwise they are ranks, since scores after different epochs do not compare
    standing = _standing(search, history, weights)
    if not history or search.seeds == 1 or search.goals:
        return standing
    stages = np.concatenate([rows.stage for rows in history])
    means = np.concatenate([rows["score"] for rows in history])
    # ranks also where a trial violates a limit
    ranks = not np.array_equal(standing, ranking.orient(means, search.mode), True)
    if ranks or not ranking.comparable(standing, stages):
        return standing
    seeds = np.concatenate([rows.scores for rows in history])
    return ranking.orient(per_seed(seeds, search.folds), search.mode)


def _standing(
    search: Search, history: Sequence[Trials], weights: np.ndarray | None = None
) -> np.ndarray:
    """Return a number for each trial to rank by; those stopped early rank last."""
    limits, goals = search.constraints.limits, search.goals
    return told_scores(history, search.mode, limits, goals, weights)


def _refined(search: Search, end: Points, rows: Trials) -> Space:
    if not end.space.searched:
        return end.space
    scores = _standing(search, [rows])
    finite = int(np.isfinite(scores).sum())
    # a refiner needs two scores: one point spans no box
    if finite < 2:
        warn(
            f"{len(scores) - finite} of {len(scores)} trials of this round failed: the "
            "space stays as it is. Search lower learning rates, or a smaller space.",
        )
        return end.space
    return search.refine(end.space, jnp.asarray(end.points), jnp.asarray(scores))


def _feasible(search: Search, rows: Trials) -> np.ndarray:
    """Return the scores of those trials that meet all limits, of all their seeds."""
    over = violation(search.constraints.limits, rows.columns, len(rows))
    return rows.scores[over == 0].ravel()


def _watch(
    search: Search, history: Sequence[Trials], follower: Follower, start: Points
) -> OnBlock:
    """Return a function that passes every block to the progress and the callback."""
    report, callback, done = follower
    sign, number = ranking.direction(search.mode), len(history) + 1
    limits, first = search.constraints.limits, sum(map(len, history))
    scores = np.concatenate([np.empty(0), *[rows.scores.ravel() for rows in history]])
    failures = int((~np.isfinite(scores)).sum())
    if limits:
        scores = np.concatenate([np.empty(0), *[_feasible(search, r) for r in history]])
    finite = sign * scores[np.isfinite(scores)]
    # lists, which the function below can change
    best, failed = [float(max(finite, default=-np.inf))], [failures]

    def after_block(event: BlockEvent) -> None:
        values = event.metrics.get(search.metric, np.empty(0))
        fine = np.isfinite(values)
        if limits and values.size:
            own = {n: v[event.trial - first] for n, v in start.sizes.items()}
            fine &= violation(limits, event.metrics | own, values.shape) == 0
        fine = sign * values[fine]
        best[0] = max([best[0], *fine.tolist()])
        done[0] += event.trainings
        failed[0] += event.failed
        report(number, done[0], sign * best[0], failed[0])
        callback.on_block(number - 1, event)

    return after_block
