"""Trials in, scores out: whole trainings, one training again, or plain functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from jaxtune.cache import compiled_once
from jaxtune.executors.streamed import local
from jaxtune.executors.workers import MakePool
from jaxtune.planning.layout import groups
from jaxtune.planning.workload import Workload
from jaxtune.programs import block as blocks
from jaxtune.programs.block import Block, Group
from jaxtune.programs.job import Done, values
from jaxtune.programs.lane import RUNNING
from jaxtune.space import Space
from jaxtune.tasks import Task
from jaxtune.training.journal import BlockAssignment, Journal
from jaxtune.training.lineage import TrajectorySegment
from jaxtune.training.round_state import BlockEvent, OnBlock, RoundMetrics, RoundState
from jaxtune.training.runner import BlockRunner
from jaxtune.training.widths import WidthOverrides, stretches
from jaxtune.types import HparamArrays, Key


def evaluate(
    workload: Workload,
    space: Space,
    trials: np.ndarray,
    hparams: HparamArrays,
    seeds: np.ndarray,
    on_block: OnBlock = lambda _: None,
    journal: Journal | None = None,
    hire: MakePool = local,
) -> RoundMetrics:
    """Train every trial with every seed in full, or evaluate it.

    Args:
      workload: the task or function, root key, width and budget.
      space: the space that the trials come from, for its static dimensions.
      trials: ``[n]`` trial ids.
      hparams: name to ``[n]`` decoded values.
      seeds: ``[s]`` seed ids.
      on_block: told what every finished block measured.
      journal: told of every block; it may know what some of them measured.
      hire: who runs blocks.

    Returns:
      Metrics, statuses and epochs of all trials.
    """
    subject, journal = workload.subject, journal or Journal()
    if not isinstance(subject, Task):
        shape = (workload.width, journal, workload.across)
        runner = BlockRunner(hire(workload.key, None), *shape)
        run = partial(values, subject)
        own = (trials, hparams, seeds)
        return _measure(runner, run, workload, space, *own, on_block)
    cohort = RoundState(workload, space, trials, hparams, seeds, journal, hire)
    rows = np.arange(len(trials))
    cohort.send(rows, np.full(len(rows), workload.epochs))
    while cohort.waiting.size:
        cohort.wave(on_block)
    return cohort.outcome()


@compiled_once()
def retrace(
    workload: Workload,
    space: Space,
    legs: Sequence[TrajectorySegment],
    seeds: np.ndarray,
    known: WidthOverrides | None = None,
) -> dict[str, np.ndarray]:
    """Train one trial again, leg by leg, and score it.

    Args:
      workload: the task, root key, width and split.
      space: the space that the trial comes from.
      legs: in order.
      seeds: ``[s]`` seed ids.
      known: blocks that were narrower than the workload's.

    Returns:
      Name to ``[s]``: bit for bit what the search measured, given its workload.
    """
    whole = workload.alone(legs[-1].epochs)
    usual = whole.width
    if known is None or not np.isin(known.trial, [leg.trial for leg in legs]).any():
        return _retraced(whole, space, [(leg, usual) for leg in legs], seeds)
    known = known._replace(width=known.width // workload.across)
    alone = [
        _retraced(whole, space, stretches(legs, seed, known, usual), np.asarray([seed]))
        for seed in seeds.tolist()
    ]
    return {name: np.concatenate([one[name] for one in alone]) for name in alone[0]}


def _retraced(
    workload: Workload,
    space: Space,
    cut: list[tuple[TrajectorySegment, int]],
    seeds: np.ndarray,
) -> dict[str, np.ndarray]:
    first = cut[0][0]
    journal = Journal()
    cohort = RoundState(workload, space, *_alone(first), seeds, journal)
    for leg, width in cut:
        if leg is not first:
            cohort.become(*_alone(leg))
        journal.choose(width)
        cohort.send(np.zeros(1, np.int32), np.asarray([leg.epochs]))
        while cohort.waiting.size:
            cohort.wave()
    return {name: v[0] for name, v in cohort.outcome().metrics.items()}


def _alone(leg: TrajectorySegment) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A leg as a population of one."""
    hparams = {name: np.asarray([value]) for name, value in leg.hparams.items()}
    return np.asarray([leg.trial]), hparams


def _measure(
    runner: BlockRunner,
    run: Callable[[Key, Any], Done],
    workload: Workload,
    space: Space,
    trials: np.ndarray,
    hparams: HparamArrays,
    seeds: np.ndarray,
    on_block: OnBlock,
) -> RoundMetrics:
    """A plain function's values, block by block."""
    values = np.full(len(trials) * len(seeds), np.nan, np.float32)
    status = np.full(len(values), RUNNING, np.int32)
    hparams = {name: np.asarray(column) for name, column in hparams.items()}

    def work(group: Group) -> BlockAssignment:
        lanes, none = group.lanes, np.zeros(len(group.lanes), np.int32)
        own = trials[lanes // len(seeds)], seeds[lanes % len(seeds)]
        return BlockAssignment(*own, none, np.ones(len(lanes), bool), 0)

    def job(group: Group, work: BlockAssignment, width: int) -> tuple[Block, Group]:
        own = (group.lanes, trials, hparams, seeds, group.static, width)
        return blocks.fill(*own), group

    pieces = groups(workload.layout, space, hparams, len(seeds))
    for ran in runner.each(run, pieces, work, job):
        runner.keep(ran, [])
        members, finished = ran.piece.lanes, ran.done.finished
        if finished.metrics:
            values[members] = finished.metrics["value"]
        status[members] = finished.status
        new = values[members]
        failed = int((~np.isfinite(new)).sum())
        told = ran.work.trial, ran.work.seed, ran.work.epochs
        on_block(BlockEvent(*told, {"value": new}, failed, len(new)))
    shape = (len(trials), len(seeds))
    epochs = np.zeros(len(trials), np.int32)
    return RoundMetrics(
        {"value": values.reshape(shape)},
        status.reshape(shape),
        epochs,
        narrow=runner.narrow,
        devices=runner.devices,
    )
