"""Trials trained outside of a round: in full, or one again as the search trained it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxtune.cache import compiled_once
from jaxtune.executors.streamed import local_pool
from jaxtune.executors.workers import MakePool
from jaxtune.planning.scoring import BEST, BEST_EPOCH, Scoring
from jaxtune.planning.workload import Workload
from jaxtune.programs.lane import FAILED
from jaxtune.space import Space
from jaxtune.training.journal import Journal
from jaxtune.training.round_state import (
    OnBlock,
    RoundMetrics,
    RoundState,
    TrainedLanes,
)
from jaxtune.training.trajectory import TrajectorySegment, trajectory_until
from jaxtune.training.widths import WidthOverrides, split_by_width
from jaxtune.types import HparamArrays


def train_in_full(
    workload: Workload,
    space: Space,
    trials: np.ndarray,
    hparams: HparamArrays,
    seeds: np.ndarray,
    on_block: OnBlock = lambda _: None,
    journal: Journal | None = None,
    make_pool: MakePool = local_pool,
) -> RoundMetrics:
    """Train every trial with every seed for the whole budget, without a scheduler.

    Args:
      workload: task, root key, width and budget.
      space: the space that the trials come from, for its static dimensions.
      trials: ``[n]`` trial ids.
      hparams: name to ``[n]`` decoded values.
      seeds: ``[s]`` seed ids.
      on_block: called with every finished block.
      journal: records every block; it may know the results of some.
      make_pool: makes the worker pool.

    Returns:
      Metrics, statuses and epochs of all trials.
    """
    state = RoundState(workload, space, trials, hparams, seeds, journal, make_pool)
    rows = np.arange(len(trials))
    _advance(state, rows, np.full(len(rows), workload.budget), on_block)
    return state.metrics()


@compiled_once()
def retrain(
    workload: Workload,
    space: Space,
    trajectory: Sequence[TrajectorySegment],
    seeds: np.ndarray,
    overrides: WidthOverrides | None = None,
) -> dict[str, np.ndarray]:
    """Train one trial again, segment by segment, and score it.

    Args:
      workload: task, root key, width and split.
      space: the space that the trial comes from.
      trajectory: the segments that led to the trial's state, in order.
      seeds: ``[s]`` seed ids.
      overrides: blocks of another width than the workload's.

    Returns:
      Name to ``[s]``: the metrics of the search to the bit, given its workload.
    """
    return _metrics_of(_retrained(workload, space, trajectory, seeds, overrides, False))


@compiled_once()
def retrain_lanes(
    workload: Workload,
    space: Space,
    trajectory: Sequence[TrajectorySegment],
    seeds: np.ndarray,
    overrides: WidthOverrides | None = None,
) -> tuple[dict[str, np.ndarray], list[TrainedLanes] | None]:
    """Train some seeds of a trial again, as `retrain` does, and keep their states.

    Returns:
      Name to ``[s]``, and the lanes, in one part or several; ``None`` if one of them
      diverged.
    """
    states = _retrained(workload, space, trajectory, seeds, overrides, True)
    failed = any(np.isin(state.ledger.status, FAILED).any() for state in states)
    lanes = None if failed else [state.trained(0) for state in states]
    return _metrics_of(states), lanes


@compiled_once()
def retrain_together(
    workload: Workload,
    space: Space,
    last: Sequence[TrajectorySegment],
    seeds: np.ndarray,
) -> RoundState:
    """Train several trials again in the same blocks, and keep their states.

    Args:
      workload: task, root key, width and split.
      space: the space that the trials come from.
      last: of each trial, its only segment: trials that took over no state.
      seeds: ``[s]`` seed ids.

    Returns:
      The trials in this order, as rows.
    """
    epochs = np.asarray([segment.epochs for segment in last])
    trials = np.asarray([segment.trial for segment in last])
    names = last[0].hparams
    hparams = {n: np.asarray([segment.hparams[n] for segment in last]) for n in names}
    alone = workload.alone(int(epochs.max()))
    state = RoundState(alone, space, trials, hparams, seeds, keeps_last=True)
    _advance(state, np.arange(len(trials)), epochs)
    return state


def _apart(
    trajectory: Sequence[TrajectorySegment],
    seeds: np.ndarray,
    overrides: WidthOverrides | None,
) -> list[np.ndarray]:
    """Return the seeds that train together."""
    ids = [segment.trial for segment in trajectory]
    if overrides is None or not np.isin(overrides.trial, ids).any():
        return [seeds]
    # seeds of one trial may have trained at other widths
    return [seeds[at : at + 1] for at in range(len(seeds))]


def _metrics_of(states: Sequence[RoundState]) -> dict[str, np.ndarray]:
    """Return name to ``[s]`` of populations of one, for the seeds of all of them."""
    parts = [state.metrics().metrics for state in states]
    return {name: np.concatenate([p[name][0] for p in parts]) for name in parts[0]}


def judge(
    workload: Workload,
    space: Space,
    trajectory: Sequence[TrajectorySegment],
    seeds: np.ndarray,
    overrides: WidthOverrides | None = None,
    best: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Train one trial again, and measure its model on a split of the user's choice.

    The model is that of the last epoch, or of the best one where trials are judged by
    it. The best is chosen on the validation split, whatever the split of the workload.

    Args:
      workload: task, root key, width and split.
      space: the space that the trial comes from.
      trajectory: the segments that led to the trial's state, in order.
      seeds: ``[s]`` seed ids.
      overrides: blocks of another width than the workload's.
      best: ``[s]`` the best epochs, 0 for a seed that failed, if they are known.

    Returns:
      Name to ``[s]``: the metrics of the task.
    """
    plain = workload._replace(scoring=Scoring())
    if workload.scoring.score != BEST:
        return retrain(plain, space, trajectory, seeds, overrides)
    if best is None:
        chosen = workload._replace(split="valid")
        found = retrain(chosen, space, trajectory, seeds, overrides)[BEST_EPOCH]
        best = np.nan_to_num(found).astype(np.int32)
    measured: dict[str, np.ndarray] = {}
    for epoch in np.unique(best):
        at = np.flatnonzero(best == epoch)
        # what failed is trained to its end, where it fails again
        until = trajectory_until(trajectory, int(epoch)) if epoch else trajectory
        metrics = retrain(plain, space, until, seeds[at], overrides)
        for name, values in metrics.items():
            empty = np.full(len(seeds), np.nan, np.float32)
            measured.setdefault(name, empty)[at] = values
    return measured


def _retrained(
    workload: Workload,
    space: Space,
    trajectory: Sequence[TrajectorySegment],
    seeds: np.ndarray,
    overrides: WidthOverrides | None,
    keeps_last: bool,
) -> list[RoundState]:
    """Train one trial again; seeds that trained at other widths apart."""
    return [
        _at_one_width(workload, space, trajectory, some, overrides, keeps_last)
        for some in _apart(trajectory, seeds, overrides)
    ]


def _at_one_width(
    workload: Workload,
    space: Space,
    trajectory: Sequence[TrajectorySegment],
    seeds: np.ndarray,
    overrides: WidthOverrides | None,
    keeps_last: bool,
) -> RoundState:
    """Train one trial again with some seeds, which trained at the same widths."""
    alone = workload.alone(trajectory[-1].epochs)
    cut = [(segment, alone.width) for segment in trajectory]
    if overrides is not None:
        # a device's share of a block has the bits of a block of that width, see Sharded
        shared = overrides._replace(width=overrides.width // workload.across)
        if workload.budget_rows:
            # the last training is one of its own, whatever the widths of those before
            shared = shared.at(trajectory[-1].epochs)
        cut = split_by_width(trajectory, int(seeds[0]), shared, alone.width)
    workload = alone
    first, journal = cut[0][0], Journal()
    trials, hparams = _alone(first)
    # a lane may train alone: its block is padded to the recorded width by copies of it,
    # and its bits depend on the width and never on its neighbours
    state = RoundState(
        workload, space, trials, hparams, seeds, journal, keeps_last=keeps_last
    )
    for segment, width in cut:
        if segment is not first:
            # the state stays and the trial changes, as when one takes over another's
            state.relabel(*_alone(segment))
        journal.set_width(width)
        # a plain function trains no epoch but takes one turn; a trial that was stopped
        # before all its seeds began has trained none, and takes none
        turns = segment.epochs if workload.trains else workload.budget
        _advance(state, np.zeros(1, np.int32), np.asarray([turns]))
    return state


def _advance(
    state: RoundState,
    rows: np.ndarray,
    epochs: np.ndarray,
    on_block: OnBlock = lambda _: None,
) -> None:
    """Train trials until they have trained so many epochs."""
    state.ledger.send(rows, epochs)
    while state.ledger.waiting.size:
        state.wave(on_block)


def _alone(segment: TrajectorySegment) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the id and the hyperparameters of a population of one."""
    hparams = {name: np.asarray([v]) for name, v in segment.hparams.items()}
    return np.asarray([segment.trial]), hparams
