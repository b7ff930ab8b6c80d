"""Trials trained outside of a round: in full, or one again as the search trained it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxtune.cache import compiled_once
from jaxtune.executors.streamed import local_pool
from jaxtune.executors.workers import MakePool
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
from jaxtune.training.trajectory import TrajectorySegment
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
    parts = [
        _metrics_of(_retrained(workload, space, trajectory, some, overrides))
        for some in _apart(trajectory, seeds, overrides)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@compiled_once()
def retrain_lane(
    workload: Workload,
    space: Space,
    trajectory: Sequence[TrajectorySegment],
    seed: int,
    overrides: WidthOverrides | None = None,
) -> tuple[dict[str, float], TrainedLanes | None]:
    """Train one seed of a trial again, as `retrain` does, and keep its state.

    Returns:
      Its metrics, and the lane; ``None`` if it diverged.
    """
    seeds = np.asarray([seed])
    state = _retrained(workload, space, trajectory, seeds, overrides)
    metrics = {n: float(values[0]) for n, values in _metrics_of(state).items()}
    failed = bool(np.isin(state.ledger.status, FAILED).any())
    return metrics, None if failed else state.trained(0)


@compiled_once()
def retrain_lanes(
    workload: Workload,
    space: Space,
    trajectory: Sequence[TrajectorySegment],
    seeds: np.ndarray,
    overrides: WidthOverrides | None = None,
) -> list[TrainedLanes] | None:
    """Train some seeds of a trial again, as `retrain` does, and keep their states.

    Returns:
      The lanes, in one part or several; ``None`` if one of them diverged.
    """
    parts = []
    for some in _apart(trajectory, seeds, overrides):
        state = _retrained(workload, space, trajectory, some, overrides)
        if np.isin(state.ledger.status, FAILED).any():
            return None
        parts.append(state.trained(0))
    return parts


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


def _metrics_of(state: RoundState) -> dict[str, np.ndarray]:
    """Return name to ``[s]`` of a population of one."""
    return {name: v[0] for name, v in state.metrics().metrics.items()}


def _retrained(
    workload: Workload,
    space: Space,
    trajectory: Sequence[TrajectorySegment],
    seeds: np.ndarray,
    overrides: WidthOverrides | None,
) -> RoundState:
    """Train one trial again with some seeds, which trained at the same widths."""
    alone = workload.alone(trajectory[-1].epochs)
    cut = [(segment, alone.width) for segment in trajectory]
    if overrides is not None:
        # a device's share of a block has the bits of a block of that width, see Sharded
        shared = overrides._replace(width=overrides.width // workload.across)
        cut = split_by_width(trajectory, int(seeds[0]), shared, alone.width)
    workload = alone
    first, journal = cut[0][0], Journal()
    trials, hparams = _alone(first)
    # a lane may train alone: its block is padded to the recorded width by copies of it,
    # and its bits depend on the width and never on its neighbours
    state = RoundState(
        workload, space, trials, hparams, seeds, journal, keeps_last=True
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
