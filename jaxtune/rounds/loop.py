"""The loop of a search.

A round refines the box by the last round, asks for points, see
`jaxtune.rounds.asking`, and trains them.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from contextlib import closing
from fractions import Fraction

import jax
import numpy as np

from jaxtune.executors.streamed import local_pool
from jaxtune.executors.workers import MakePool
from jaxtune.random import SAMPLE, SCHEDULE
from jaxtune.registry import recipe_of
from jaxtune.results.result import Result
from jaxtune.results.trials import Trials
from jaxtune.rounds.ahead import rehearsing
from jaxtune.rounds.arguments import Search
from jaxtune.rounds.asking import Batches, key_of_round
from jaxtune.rounds.callbacks import Callback
from jaxtune.rounds.progress import Report
from jaxtune.rounds.so_far import UNLIMITED, Follower, Limits, SoFar
from jaxtune.rounds.told import asked
from jaxtune.schedulers import Plan
from jaxtune.space.points import Points
from jaxtune.training.journal import Journal
from jaxtune.training.round import (
    AfterBlock,
    SchedulerRun,
    Training,
    train_round,
)
from jaxtune.training.round_state import BlockEvent
from jaxtune.training.stopping import INTERRUPTED, Stopping
from jaxtune.types import HparamArrays


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
    follower = Follower(report, callback, [0])
    stopping = Stopping(limits.judge, limits.drains, limits.keeps)
    try:
        for number in range(last + 1):
            known = journal.ended(number)
            if known is None:
                training = _train(
                    search,
                    plans[number],
                    journal,
                    so_far,
                    follower,
                    make_pool,
                    stopping,
                )
            else:
                training = known[1]
                follower.turns[0] += training.outcome.spent.live
            so_far = so_far.plus(search, training)
            ended = functools.partial(so_far.result, search)
            report(number, follower.turns[0], ended)
            if not training.over:
                break
            callback.on_round(ended())
            if number < last and not journal.begun(number + 1):
                stopping.look(ended)
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
) -> Training:
    """Return the training of the next round."""
    number, history = len(so_far.rounds), so_far.history
    batches = Batches(search, number, so_far, journal)
    start = batches.points
    stopping.result_of = lambda training: so_far.plus(search, training).result(search)
    rehearse = functools.partial(_rehearse, search, number, start, history)
    within = len(search.schedule.stages[number].batches or ()) > 1
    with closing(batches), rehearsing(rehearse, on_cpu=within) as rehearsed:
        batches.rehearsed = rehearsed
        training = train_round(
            search.workload_of(number),
            search.schedule.space,
            trials=so_far.ids(search.schedule.stages[number].trials),
            start=start,
            seeds=np.arange(search.repeats),
            run=_scheduler_run(search, plan, number),
            on_block=_watch(search, so_far, follower),
            journal=journal,
            on_rung=functools.partial(follower.callback.on_rung, number),
            make_pool=make_pool,
            stopping=stopping,
            batches=batches,
        )
    if training.over:
        journal.end(number, training)
    return training


def _scheduler_run(search: Search, plan: Plan, number: int) -> SchedulerRun:
    return SchedulerRun(
        scheduler=search.scheduler_of(number),
        plan=plan,
        key=key_of_round(search.workload.key, SCHEDULE, number),
        metric=search.metric,
        mode=search.mode,
        limits=search.constraints.limits,
        rules=search.constraints.rules,
        goals=search.goals,
    )


def _rehearse(
    search: Search, number: int, start: Points, history: Sequence[Trials]
) -> None:
    """Compile what follows the first batch of a round, with made-up scores.

    That is to tell and to ask; after a round of one batch, to refine before.
    """
    stages, space = search.schedule.stages, start.space
    # functions of the user may count their calls, or be costly
    remade = recipe_of(search.sampler) and recipe_of(search.refine)
    # a requirement is a function of the user, and goals are asked for in parts
    ours = remade and not (search.constraints.rules or search.goals)
    own, rows = stages[number].batches or (), len(start.points)
    if not ours or not space.searched or stages[number].confirms:
        return
    if stages[number].compares:  # of each combination alone, in programs of its own
        return
    if len(own) > 1:
        box, following, count = space, number, own[1]
    elif number + 1 == len(stages) or stages[number + 1].confirms:
        return  # nothing is refined or asked
    else:
        seen = rows
        if getattr(search.refine, "rounds", "last") == "all":
            seen += sum(map(len, history))
        scores = np.linspace(0, 1, seen, dtype=np.float32)
        points = np.resize(start.points, (seen, space.dim))
        box = search.refine(space, *jax.device_put((points, scores)))
        box, following = search.schedule.opened(box, number + 1), number + 1
        count = (stages[following].batches or (stages[following].trials,))[0]
    seeds = (search.seeds,) if search.seeds > 1 else ()

    def told(hparams: HparamArrays, count: int) -> tuple[HparamArrays, np.ndarray]:
        return hparams, np.zeros((count, *seeds), np.float32)

    known = [told(before.decoded, len(before)) for before in history]
    known.append(told(start.hparams, rows))
    draw = key_of_round(search.workload.key, SAMPLE, following)
    box.decode(asked(search.sampler, draw, box, known, count))


def trainings(search: Search, plans: list[Plan]) -> int:
    """Return the number of whole trainings that a search is worth, at most."""
    budgets = [search.workload_of(i).budget for i in range(len(plans))]
    shares = [Fraction(p.epochs, b) for p, b in zip(plans, budgets, strict=True)]
    return math.ceil(sum(shares)) * search.repeats


def turns(search: Search, plans: list[Plan]) -> int:
    """Return the epochs of all trainings of a search, at most, or its values."""
    return sum(plan.epochs for plan in plans) * search.repeats


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


def _watch(search: Search, so_far: SoFar, follower: Follower) -> AfterBlock:
    """Return a function that passes every block to the progress and the callback."""
    number = len(so_far.rounds)
    budget = search.workload_of(number).budget

    def after_block(event: BlockEvent, training: Callable[[], Training]) -> None:
        follower.turns[0] += round(event.trainings * budget)

        # what a search has so far is its result so far, so that no two can differ
        def result() -> Result:
            return so_far.plus(search, training()).result(search)

        follower.report(number, follower.turns[0], result)
        follower.callback.on_block(number, event)

    return after_block
