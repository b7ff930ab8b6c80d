"""The training of one round, led by a scheduler."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.brevity import brief
from jaxtune.environment import on_host
from jaxtune.executors.streamed import local_pool
from jaxtune.executors.workers import MakePool
from jaxtune.goals.limits import Limit
from jaxtune.goals.order import Goal
from jaxtune.goals.requirement import Requirement, meets
from jaxtune.planning.layout import constants
from jaxtune.planning.workload import Workload
from jaxtune.schedulers import Decision, Plan, Progress, Scheduler
from jaxtune.schedulers.base import FOUR_BLOCKS, left_behind
from jaxtune.space import Space
from jaxtune.space.points import Points
from jaxtune.training.configured import Configured
from jaxtune.training.journal import Journal
from jaxtune.training.ledger import (
    Rungs,
    RungScores,
    check_all_began,
    check_decision,
    no_rungs,
)
from jaxtune.training.places import places_of
from jaxtune.training.round_state import (
    BlockEvent,
    RoundMetrics,
    RoundState,
)
from jaxtune.training.rung_aims import RungAims
from jaxtune.training.stopping import Stopped, Stopping
from jaxtune.training.trajectory import Lineage, takeovers
from jaxtune.types import Key

# blocks in training where a scheduler sets no number: with one, one core would work. A
# constant and not the number of cores, since decisions depend on it
AT_ONCE = 4


@brief
class Training(NamedTuple):
    """The outcome of one round.

    Args:
      outcome: last metrics, statuses and epochs.
      final: points and hyperparameters at the end.
      rungs: scores at the rungs.
      lineage: the states that trials took over from others.
      budget: epochs of a whole training; 0 for plain functions.
      over: whether the round has ended.
      own_pace: whether trials that stopped early are complete, see `Plan`.
    """

    outcome: RoundMetrics
    final: Points
    rungs: Rungs
    lineage: Lineage
    budget: int
    over: bool = True
    own_pace: bool = False


AfterBlock = Callable[[BlockEvent, Callable[[], Training]], None]


class MorePoints(Protocol):
    """Return the configurations of a round batch by batch; mutable."""

    def more(self, known: Callable[[], Training]) -> Points:
        """Return the configurations until now, and those of one more batch.

        Args:
          known: returns what is known of the round.

        Returns:
          As many as there were if there are no more, although the round has room.
        """

    def look_ahead(self, known: Callable[[], Training]) -> None:
        """Prepare the next batch, if there is one, beside what trains from now on."""


class SchedulerRun(NamedTuple):
    """The scheduler of a round, with its plan, key and metric."""

    scheduler: Scheduler
    plan: Plan  # for the trials and epochs of this round
    key: Key  # for this round
    metric: str  # the one that is the score
    mode: str  # "max" or "min"
    limits: tuple[Limit, ...] = ()
    rules: tuple[Requirement, ...] = ()
    goals: tuple[Goal, ...] = ()


def train_round(
    workload: Workload,
    space: Space,
    trials: np.ndarray,
    start: Points,
    seeds: np.ndarray,
    run: SchedulerRun,
    on_block: AfterBlock = lambda event, so_far: None,
    journal: Journal | None = None,
    on_rung: Callable[[Rungs], None] = lambda _: None,
    make_pool: MakePool = local_pool,
    stopping: Stopping | None = None,
    batches: MorePoints | None = None,
) -> Training:
    """Train the trials of a round as its scheduler decides.

    Args:
      workload: task, root key, width, and the epochs of a whole training.
      space: the space that the user gave.
      trials: ``[n]`` trial ids.
      start: the configurations to begin with, of the first trials.
      seeds: ``[s]`` seed ids.
      run: the scheduler.
      on_block: called with every finished block, and with what returns the training so
        far.
      journal: records every block; it may know the results of some.
      on_rung: called after each wave with the trials that reached a rung (the last
        included) or failed; never if the plan has a single rung.
      make_pool: makes the worker pool.
      stopping: may end the search after a block; it judges what is known by then.
      batches: the configurations of the other trials.

    Returns:
      Metrics, final configurations, rungs and lineage; of a round that was stopped,
      what is known of it.

    Raises:
      ValueError: a decision that no scheduler may make.
    """
    journal, stopping = journal or Journal(), stopping or Stopping()
    now = Configured(trials, start)
    state = RoundState(
        workload,
        space,
        trials,
        now.filled.hparams,
        seeds,
        journal,
        make_pool,
        stopping,
        asked=now.asked,
    )
    aims = RungAims(run.limits, run.goals, run.plan, len(trials), now.filled.sizes)
    scores = RungScores(run.plan, state.ledger, run.metric, run.mode, aims)
    slots = _slots(run.plan, workload, journal, len(seeds))

    def known(outcome: RoundMetrics, rungs: Rungs, over: bool) -> Training:
        # while a round is open, any of its trials may go on
        pace, outcome = over and run.plan.own_pace, outcome.first(now.asked)
        final, lineage = now.points, now.lineage
        return Training(outcome, final, rungs, lineage, workload.epochs, over, pace)

    def so_far() -> Training:
        return known(state.so_far(), no_rungs(len(seeds)), over=False)

    def so_far_with_rungs() -> Training:
        return so_far()._replace(rungs=rungs(), own_pace=run.plan.own_pace)

    def rungs() -> Rungs:
        return scores.all() if run.plan.compares else no_rungs(len(seeds))

    def after_block(event: BlockEvent) -> None:
        on_block(event, so_far)
        if not state.replaying:
            stopping.look_inside(so_far)

    ledger, gone = state.ledger, np.zeros(0, int)
    try:
        while True:
            decided, progress = _decide(run, scores, slots, workload.budget, gone, now)
            taken = _takes_over(decided)
            if taken.any():
                # on record, since the last bits of new points belong to one machine
                make = partial(_take_over, workload, space, run, now, decided, progress)
                now.take_over(*journal.explore(make))
                hparams, aims.sizes = now.filled.hparams, now.filled.sizes
                state.gather(decided.trial[taken], decided.source[taken], hparams)
            ledger.send(decided.trial, decided.epochs)
            gone = left_behind(run.plan, ledger.target, ledger.trial_epochs)
            state.release(gone)
            if not ledger.waiting.size:
                check_all_began(ledger)
                break
            while state.idle and batches is not None:
                asked = now.asked
                now.add(batches.more(so_far_with_rungs))
                if now.asked == asked:  # a race is over before its budget is
                    ledger.halt(np.arange(asked, len(trials)))
                    break
                state.assign(now.asked, now.filled.hparams)
                aims.sizes = now.filled.sizes
            if not ledger.waiting.size:
                break
            if batches is not None:
                batches.look_ahead(so_far_with_rungs)
            state.wave(after_block)
            reached, failed = scores.update(trials)
            if run.plan.compares:
                # a trial has failed if one seed has: its other lanes make room
                ledger.halt(failed)
                if reached.trial.size:
                    on_rung(reached)
    except (Stopped, KeyboardInterrupt) as ended:
        stopping.end(ended)
        return so_far()
    return known(state.metrics(), rungs(), over=True)


@on_host()
def _decide(
    run: SchedulerRun,
    scores: RungScores,
    slots: int | None,
    budget: int,
    gone: np.ndarray,
    now: Configured,
) -> tuple[Decision, Progress]:
    """Return the next decision, checked, and the progress that it is based on."""
    points = places_of(now) if run.plan.learns else None
    progress = scores.progress(slots, points)
    decided = run.scheduler.decide(run.key, run.plan, progress)
    decided = check_decision(decided, progress, budget, gone)
    scores.check_rungs(decided)
    return decided, progress


def _takes_over(decided: Decision) -> np.ndarray:
    """Return ``[m]`` bool: true for trials that take over the state of another."""
    # -1 is a fresh start, and no trial
    return (decided.source != decided.trial) & (decided.source >= 0)


def _slots(plan: Plan, workload: Workload, journal: Journal, seeds: int) -> int | None:
    """Return the trials that train at once; ``None`` for all that are ready."""
    if plan.concurrent is None:
        return None
    # the journal's width: a run that is resumed with another one must decide as before
    lanes = AT_ONCE * journal.width(workload.width)
    return max(1, lanes // seeds) if plan.concurrent == FOUR_BLOCKS else plan.concurrent


def _take_over(
    workload: Workload,
    space: Space,
    run: SchedulerRun,
    now: Configured,
    decided: Decision,
    progress: Progress,
) -> tuple[Points, Lineage]:
    """Return the configurations after some takeovers, and their lineage."""
    explored = _explored(workload, space, run, now.filled, decided, progress)
    taken = _takes_over(decided)
    lineage = takeovers(now.trials, explored, decided, taken, progress)
    return explored.take(np.arange(now.asked)), lineage


@on_host()
def _explored(
    workload: Workload,
    space: Space,
    run: SchedulerRun,
    now: Points,
    decided: Decision,
    progress: Progress,
) -> Points:
    """Return the configurations, those of trials that take over copied and explored."""
    source = np.arange(len(now.points))
    # as an index, -1 would silently read the last row
    source[decided.trial] = np.where(decided.source < 0, decided.trial, decided.source)
    copied = now.points[source]
    points = copied
    if run.scheduler.explore is not None:
        # explore takes one epoch: pbt sends all members from the same rung
        epoch = int(progress.epochs[decided.source[decided.source >= 0]].max())
        moved = run.scheduler.explore(run.key, now.space, jnp.asarray(copied), epoch)
        points = np.array(moved)  # a copy: NumPy's views of JAX arrays are read-only
    shapes = {bucket.name for bucket in workload.layout.buckets}
    shapes |= set(constants(workload.layout, space))
    for column, name in enumerate(now.space.searched):
        # what sets a shape must stay that of the state, or the state would not fit
        if name in shapes:
            points[:, column] = copied[:, column]
    if run.rules and run.scheduler.explore is not None:
        # what was taken over meets them
        tried = jax.device_get(now.space.decode(points))
        points = np.where(meets(run.rules, space, tried)[:, None], points, copied)
    takers = source != np.arange(len(source))
    # explored and decoded in one shape, so compiled once; only takers are changed
    points = np.where(takers[:, None], points, now.points)
    hparams = jax.device_get(now.space.decode(points))
    return Points(
        now.space,
        points,
        {n: np.where(takers, v, now.hparams[n]) for n, v in hparams.items()},
        # shapes are taken over, and true sizes with them
        {name: sizes[source] for name, sizes in now.sizes.items()},
    )
