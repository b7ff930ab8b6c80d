"""The model of a trial, from a result: trained again as the search trained it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.checks import is_whole, warn
from jaxtune.planning.layout import with_examples
from jaxtune.planning.scoring import BEST, BEST_EPOCH, Scoring
from jaxtune.planning.workload import Workload
from jaxtune.programs import block as block_program
from jaxtune.results._replay import plain_setting
from jaxtune.results.result import Result
from jaxtune.tasks import Task
from jaxtune.tasks.hparams import own_copy
from jaxtune.tasks.networks import Predict
from jaxtune.trained.inputs import input_forms
from jaxtune.trained.model import TrainedModel
from jaxtune.trained.predicting import TaskFunctions
from jaxtune.trained.setting import Setting, trimmed
from jaxtune.training.retraining import retrain, retrain_lanes
from jaxtune.training.round_state import TrainedLanes
from jaxtune.training.trajectory import TrajectorySegment, trajectory_until
from jaxtune.training.widths import WidthOverrides
from jaxtune.types import PyTree

TRAIN, BOTH = "train", "train+valid"
ROWS = 64  # of a split, on which the cut model is compared


def train_trial(
    result: Result, trial: int | None, *, seed: int, epochs: int | None, data: str
) -> TrainedModel:
    """Train one seed of a trial; see `Result.train`."""
    _check(result, trial, seed, epochs, data)
    trial = result.best.trial if trial is None else trial
    trajectory = result.trajectory(trial)
    overrides: WidthOverrides | None = result.width_overrides
    if not (epochs or trajectory[-1].epochs):
        raise ValueError(
            f"train: trial {trial} was not trained in the search. Say for how many "
            "epochs, with epochs=..."
        )
    # the model is scored as it is: of the epoch that the search chose, if it did
    workload = result.setup.workload._replace(scoring=Scoring())
    if result.setup.folds is not None:
        workload, overrides = workload.on_all_rows, None
    length = epochs or scored_epoch(result, trajectory, seed)
    if workload.budget_rows and data == BOTH:
        length = epochs or workload.epochs  # of a trial that was left, too
    if data == TRAIN and length < trajectory[-1].epochs and epochs is None:
        trajectory = trajectory_until(trajectory, length)
    # for epochs that are given, on all data, though the trial may know a subset alone
    anew = workload.budget_rows and epochs is not None
    if data == BOTH or anew or length != trajectory[-1].epochs:
        # no recorded bits to repeat, so the width of its blocks is the usual one
        trajectory, overrides = _stretched(trajectory, length), None
        workload = _longer(workload, data, length)
    metrics, lanes = retrain_lanes(
        workload, result.setup.space, trajectory, np.asarray([seed]), overrides
    )
    if lanes is None:
        raise ValueError(
            f"train: trial {trial} with seed {seed} diverges: its loss is not finite. "
            "Train another trial, or fewer epochs."
        )
    made = lane_model(workload.task, lanes[0])
    judged = data == TRAIN and result.setup.folds is None
    if not anew:
        length, data = _worked(workload, length, data)
    return dataclasses.replace(
        made,
        hparams=plain_setting(result, trajectory[-1]),
        trial=trial,
        seed=seed,
        epochs=length,
        data=data,
        metrics={n: float(v[0]) for n, v in metrics.items()} if judged else {},
    )


def _worked(workload: Workload, length: int, data: str) -> tuple[int, str]:
    """Return the epochs and the data of a training, whose record counts all rows.

    Under ``budget="examples"``, a trial that was stopped has trained for all epochs, on
    a part of the rows.
    """
    whole = workload.epochs
    if workload.budget_rows and data == TRAIN and length < whole:
        return whole, f"{length} of {whole} parts of {data}"
    return length, data


def scored_epoch(
    result: Result, trajectory: Sequence[TrajectorySegment], seed: int
) -> int:
    """Return the epoch of which a training has its score; its last if it failed.

    Args:
      result: of the search.
      trajectory: of the trial.
      seed: of the trial, one of the search or another.
    """
    trial, last = trajectory[-1].trial, trajectory[-1].epochs
    setup = result.setup
    if setup.workload.scoring.score != BEST:
        return last
    if seed < setup.seeds:
        return int(result.model_epochs(trial)[seed]) or last
    if setup.folds is not None:
        raise ValueError(
            f"train: seed={seed} was not searched, so its best epoch is not known. Use "
            f"a seed below {setup.seeds}, or say how many epochs=..."
        )
    found = retrain(
        setup.workload,
        setup.space,
        trajectory,
        np.asarray([seed]),
        result.width_overrides,
    )
    epoch = found[BEST_EPOCH][0]
    return int(epoch) if np.isfinite(epoch) else last


def _check(result: Result, trial: Any, seed: Any, epochs: Any, data: Any) -> None:
    setup = result.setup
    if trial is not None and not is_whole(trial, 0):
        raise ValueError(f"train: trial={trial!r}. Use the number of a trial.")
    if not setup.workload.trains:
        raise ValueError("train: a plain function has no model.")
    setup.check_task("train")
    if not is_whole(seed, 0):
        raise ValueError(f"train: seed={seed!r}. Use a whole number from 0.")
    if epochs is not None and not is_whole(epochs, 1):
        raise ValueError(f"train: epochs={epochs!r}. Use a whole number from 1.")
    if data not in (TRAIN, BOTH):
        raise ValueError(f"train: data={data!r}. Use {TRAIN!r} or {BOTH!r}.")
    if data == BOTH and setup.folds is not None:
        raise ValueError(
            f"train: data={BOTH!r}, but the search had folds, so that train is all "
            "there is. Leave data out."
        )
    if data == BOTH and setup.workload.task.stream is not None:
        raise ValueError(
            f"train: data={BOTH!r} needs the training data in memory, and they are a "
            "stream. Make a stream of both, and a task with it."
        )


def _stretched(
    trajectory: Sequence[TrajectorySegment], epochs: int
) -> list[TrajectorySegment]:
    """Return a trajectory that ends at an epoch, earlier or later than its own."""
    whole = [
        *trajectory[:-1],
        trajectory[-1]._replace(epochs=max(epochs, trajectory[-1].epochs)),
    ]
    return trajectory_until(whole, epochs)


def _longer(workload: Workload, data: str, epochs: int) -> Workload:
    """Return the workload of a training of its own: other data, or other epochs."""
    task = workload.task
    if data == BOTH:
        task = dataclasses.replace(task, train=_joined(task.train, task.valid))
    layout = with_examples(workload.layout, task, epochs)
    return workload._replace(task=task, layout=layout, epochs=epochs, budget_rows=0)


def _joined(train: PyTree, valid: PyTree) -> PyTree:
    """Return both splits as one; rows without weights, beside others, weigh 1."""
    parts = [train, valid]
    named = all(isinstance(part, dict) and "y" in part for part in parts)
    if named and any("weights" in part for part in parts):
        ones = [jnp.ones(part["y"].shape[:1], jnp.float32) for part in parts]
        parts = [{"weights": w, **p} for w, p in zip(ones, parts, strict=True)]
    forms: list[Any] = list(map(jax.tree.structure, parts))
    if forms[0] != forms[1]:
        raise ValueError(
            f"train: data={BOTH!r}, but train and valid have different arrays. Join "
            "them yourself, and make a task with the result."
        )
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), *parts)


def lane_model(task: Task, lanes: TrainedLanes, row: int = 0) -> TrainedModel:
    """Return the model of one lane, without padding.

    Args:
      task: of the lane.
      lanes: trained ones.
      row: which of them.

    Returns:
      A model that does not know where it is from.
    """
    block, static, stacked = lanes
    found = block_program.evaluated(task, block, stacked, static)
    params, state = jax.tree.map(lambda a: a[row], found)
    traced = {name: np.asarray(v)[row] for name, v in block.hparams.items()}
    setting = Setting(static, traced)
    cut = trimmed(task, setting, params, state)
    if cut[0] != setting and not _are_equal(task, (setting, params, state), cut):
        warn(
            "train: the model is handed over with its padding, since without it the "
            "model computes something else. Units in use must come first in every "
            "array, see the page about sizes."
        )
        cut = setting, params, state
    setting, params, state = cut
    return TrainedModel(
        params=params,
        state=state,
        hparams={},
        trial=-1,
        seed=-1,
        epochs=0,
        data=TRAIN,
        metrics={},
        setting=setting,
        functions=task_functions(task),
    )


def _are_equal(task: Task, one: tuple, other: tuple) -> bool:
    """Return whether two forms of one model have the same metrics on some rows."""
    rows = jax.tree.map(lambda a: a[:ROWS], _some_split(task))

    @jax.jit
    def measure(params: PyTree, state: PyTree, rows: PyTree, setting: Any) -> Any:
        given = (params, state) if task.stateful else (params,)
        return task.evaluate(*given, rows, own_copy(setting))

    found = [
        jax.device_get(measure(params, state, rows, setting.hparams))
        for setting, params, state in (one, other)
    ]
    return all(
        np.allclose(found[0][name], found[1][name], 1e-3, 1e-4, equal_nan=True)
        for name in found[0]
    )


def task_functions(task: Task) -> TaskFunctions:
    """Return the functions of a task that its models need."""
    if not isinstance(task.predict, Predict):
        return TaskFunctions(task.predict, task.stateful)
    split = _some_split(task)
    return TaskFunctions(
        task.predict,
        task.stateful,
        input_forms(split["x"]),
        tuple(split["y"].shape[1:]),
        task.columns,
    )


def _some_split(task: Task) -> PyTree:
    # after a search with folds there is no other
    return task.train if task.valid is None else task.valid
