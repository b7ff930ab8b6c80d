"""The trials of one round in training, led by a scheduler."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.executors.streamed import local
from jaxtune.executors.workers import MakePool
from jaxtune.planning.workload import Workload
from jaxtune.schedulers import Decision, Plan, Progress, Scheduler
from jaxtune.space import Space
from jaxtune.space.points import Points
from jaxtune.training.evaluate import evaluate
from jaxtune.training.journal import Journal
from jaxtune.training.lineage import (
    Lineage,
    _takings,
    beginnings,
    joined,
    no_lineage,
)
from jaxtune.training.record import Record, Rungs, check_decision, no_rungs
from jaxtune.training.round_state import OnBlock, RoundMetrics, RoundState
from jaxtune.types import Key

AT_ONCE = 4  # blocks in training where a scheduler leaves it to us: for as many cores


class Training(NamedTuple):
    """What came out of one round.

    Args:
      outcome: last measurements, statuses and epochs.
      final: points and hyperparameters at the end.
      rungs: scores on the way.
      lineage: who took over from whom.
      budget: epochs of a whole training; 0 for plain functions.
      over: whether the round has ended.
    """

    outcome: RoundMetrics
    final: Points
    rungs: Rungs
    lineage: Lineage
    budget: int
    over: bool = True


class SchedulerRun(NamedTuple):
    """Who decides, and by what.

    Args:
      scheduler: who decides; nobody if ``None``.
      plan: what it planned for the trials and epochs of this round.
      key: its key for this round.
      metric: which metric is the score.
      mode: ``"max"`` or ``"min"``.
    """

    scheduler: Scheduler | None
    plan: Plan | None
    key: Key
    metric: str
    mode: str


def train(
    workload: Workload,
    root: Space,
    trials: np.ndarray,
    start: Points,
    seeds: np.ndarray,
    led: SchedulerRun,
    on_block: OnBlock,
    journal: Journal | None = None,
    on_rung: Callable[[Rungs], None] = lambda _: None,
    hire: MakePool = local,
) -> Training:
    """Train the trials of a round: in full, or as a scheduler decides.

    Args:
      workload: task or function, root key, width, and the epochs of a whole training.
      root: the space that the user gave.
      trials: ``[n]`` trial ids.
      start: the configurations to begin with.
      seeds: ``[s]`` seed ids.
      led: who decides.
      on_block: told what every finished block measured.
      journal: told of every block; it may know what some of them measured.
      on_rung: told which trials reached a rung, whenever some did.
      hire: who runs blocks.

    Returns:
      Measurements, final configurations, and what happened on the way.

    Raises:
      ValueError: a decision that no scheduler may make.
    """
    journal = journal or Journal()
    if led.scheduler is None or led.plan is None:
        own = (trials, start.hparams, seeds)
        outcome = evaluate(workload, root, *own, on_block, journal, hire)
        none = no_rungs(len(seeds))
        return Training(outcome, start, none, no_lineage(start), workload.epochs)
    scheduler, plan, key = led.scheduler, led.plan, led.key
    cohort = RoundState(workload, root, trials, start.hparams, seeds, journal, hire)
    record = Record(plan, len(trials), len(seeds))
    slots = plan.concurrent
    if slots is not None:
        # as many as at the round's beginning, if a run goes on with other blocks
        lanes = AT_ONCE * journal.width(workload.width)
        slots = slots or max(1, lanes // len(seeds))
    now, taken = start, [beginnings(trials, start)]
    while True:
        progress = record.progress(slots)
        decided = scheduler.decide(key, plan, progress)
        decided = check_decision(decided, progress, workload.epochs)
        moved = decided.source != decided.trial
        over = moved & (decided.source >= 0)
        if over.any():

            def vary(now=now, decided=decided, over=over, progress=progress):
                went = (key, workload, root, now, decided, progress)
                varied = _explored(scheduler, *went)
                return varied, _takings(trials, varied, decided, over, progress)

            now, takings = journal.vary(vary)
            cohort.gather(decided.trial[over], decided.source[over], now.hparams)
            taken.append(takings)
        record.send(decided)
        cohort.send(decided.trial, decided.epochs)
        if not cohort.waiting.size:
            record.check_all_began()
            break
        cohort.wave(on_block)
        cohort.halt(record.update(cohort, led.metric, led.mode))
        reached = record.latest(trials)
        if reached.trial.size:
            on_rung(reached)
    outcome = cohort.outcome()
    return Training(
        outcome,
        now,
        record.rungs(trials),
        joined(taken) if len(taken) > 1 else no_lineage(start),
        workload.epochs,
    )


def _explored(
    scheduler: Scheduler,
    key: Key,
    workload: Workload,
    root: Space,
    now: Points,
    decided: Decision,
    progress: Progress,
) -> Points:
    """Configurations after trials took over others' and changed them."""
    source = np.arange(len(now.points))
    source[decided.trial] = np.where(decided.source < 0, decided.trial, decided.source)
    copied = now.points[source]
    points = copied
    if scheduler.explore is not None:
        epoch = int(progress.epochs[decided.source[decided.source >= 0]].max())
        points = np.array(scheduler.explore(key, now.space, jnp.asarray(copied), epoch))
    shapes = {bucket.name for bucket in workload.layout.buckets}
    for column, name in enumerate(now.space.searched):
        # what sets a shape comes with the state that has it
        if root[name].static or name in shapes:
            points[:, column] = copied[:, column]
    takers = source != np.arange(len(source))
    points = np.where(takers[:, None], points, now.points)
    hparams = jax.device_get(now.space.decode(points))
    return Points(
        now.space,
        points,
        {n: np.where(takers, v, now.hparams[n]) for n, v in hparams.items()},
    )
