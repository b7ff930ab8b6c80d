"""Predictions for every row of the training data by models that have not seen it."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from jaxtune.checks import is_whole, warn
from jaxtune.planning.scoring import Scoring
from jaxtune.programs import block as block_program
from jaxtune.results.result import Result
from jaxtune.tasks import Task, batches
from jaxtune.training.retraining import retrain_lanes
from jaxtune.training.round_state import TrainedLanes
from jaxtune.training.trajectory import trajectory_until
from jaxtune.types import PyTree


def outputs_by_row(result: Result, trial: int | None, seed: int) -> PyTree:
    """Return the out-of-fold outputs of a trial; see `Result.out_of_fold`."""
    task, folds = _task_of(result, seed), result.folds.rows
    trial = result.best.trial if trial is None else trial
    setup, trajectory = result.setup, result.trajectory(trial)
    repeats = seed * len(folds) + np.arange(len(folds))
    workload = setup.workload._replace(scoring=Scoring())
    # models of the epochs that the folds have their scores of, which may differ
    epochs = result.best_epochs[trial, repeats]
    lanes: dict[int, TrainedLanes] = {}
    for epoch in np.unique(epochs).tolist():
        some = repeats[epochs == epoch]
        until = trajectory_until(trajectory, epoch) if epoch else trajectory
        _, parts = retrain_lanes(
            workload, setup.space, until, some, result.width_overrides
        )
        if parts is None:
            raise ValueError(
                f"out_of_fold: trial {trial} with seed {seed} diverges in a fold. Use "
                "a trial that has a score."
            )
        lanes |= zip(some.tolist(), _one_by_one(parts), strict=True)
    outputs = [
        _outputs(task, lanes[repeat], rows)
        for repeat, (_, rows) in zip(repeats.tolist(), folds, strict=True)
    ]
    return _in_order(outputs, [rows for _, rows in folds], task.examples)


def _one_by_one(parts: list[TrainedLanes]) -> list[TrainedLanes]:
    """Return every lane by itself."""

    def lane(part: TrainedLanes, row: int) -> TrainedLanes:
        arrays = part.block, part.state
        block, state = jax.tree.map(lambda a: a[row : row + 1], arrays)
        return TrainedLanes(block, part.static, state)

    return [lane(part, row) for part in parts for row in range(len(part.block.trial))]


def _task_of(result: Result, seed: Any) -> Task:
    setup = result.setup
    if setup.folds is None:
        raise ValueError("out_of_fold: the search had none. Use search(..., folds=5).")
    setup.check_task("out_of_fold")
    if not is_whole(seed, 0) or seed >= setup.seeds:
        raise ValueError(
            f"out_of_fold: seed={seed!r}, and the search had {setup.seeds} seed(s), "
            "counted from 0."
        )
    task = setup.workload.task
    if task.predict is None:
        raise ValueError(
            "out_of_fold: the task cannot predict. Give it predict=, see jaxtune.Task."
        )
    return task


def _outputs(task: Task, lane: TrainedLanes, rows: np.ndarray) -> PyTree:
    """Return the outputs of one lane for some rows, on the host."""
    held_out = batches.take(task.train, jax.numpy.asarray(rows))
    alone = dataclasses.replace(task, folds=None, valid=held_out)
    found = block_program.predict(alone, lane.block, lane.state, "valid", lane.static)
    outputs = jax.tree.map(lambda a: np.asarray(a)[0], found)
    for leaf in jax.tree.leaves(outputs):
        if leaf.shape[:1] != (len(rows),):
            raise ValueError(
                f"out_of_fold: predict returns shape {leaf.shape} for {len(rows)} "
                "rows. Return arrays whose first axis is the rows."
            )
    return outputs


def _in_order(outputs: list[PyTree], rows: list[np.ndarray], examples: int) -> PyTree:
    """Return outputs by row: the mean of several, and NaN where there are none."""
    times = np.bincount(np.concatenate(rows), minlength=examples)
    none = int((times == 0).sum())
    if none:
        warn(
            f"out_of_fold: {none} of {examples} rows are held out by no fold, and have "
            "no prediction (NaN)."
        )

    def whole(*parts: np.ndarray) -> np.ndarray:
        if (times == 1).all():
            joined = np.empty((examples, *parts[0].shape[1:]), parts[0].dtype)
            joined[np.concatenate(rows)] = np.concatenate(parts)
            return joined
        total = np.zeros((examples, *parts[0].shape[1:]), np.float64)
        for part, at in zip(parts, rows, strict=True):
            total[at] += part  # within a fold every row is there once
        with np.errstate(invalid="ignore"):
            mean = total / times.reshape(-1, *[1] * (total.ndim - 1))
        return mean.astype(np.result_type(parts[0].dtype, np.float32))

    return jax.tree.map(whole, *outputs)
