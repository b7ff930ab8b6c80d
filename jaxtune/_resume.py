"""Go on with a run, or train one of its trials again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxtune._search import opened, run, shared_out
from jaxtune.cache import compiled_once
from jaxtune.checks import RunError
from jaxtune.executors import Executor
from jaxtune.planning.workload import Workload, prepare
from jaxtune.results.result import Result
from jaxtune.rounds.callbacks import Callback
from jaxtune.rounds.loop import Search
from jaxtune.rounds.refine import Refiner
from jaxtune.samplers import Sampler
from jaxtune.schedulers import Scheduler
from jaxtune.space import Space
from jaxtune.storage.directory import check_directory
from jaxtune.storage.documents import Opaque
from jaxtune.storage.read import load
from jaxtune.storage.settings import (
    Given,
    check_allowed,
    checked_settings,
    key_of,
    made_of,
    schedule_of,
)
from jaxtune.storage.subject import task_of
from jaxtune.tasks import Task, check_data
from jaxtune.training.evaluate import evaluate, retrace
from jaxtune.types import Objective
from jaxtune.versions import check_versions


def resume(
    directory: str | os.PathLike[str],
    task: Task | Objective | None = None,
    *,
    sampler: Sampler | None = None,
    refine: Refiner | None = None,
    scheduler: Scheduler | None = None,
    block: int | None = None,
    allow: Sequence[str] = (),
    callbacks: Sequence[Callback] = (),
    executor: Executor | None = None,
    verbose: int = 1,
) -> Result:
    """Go on with a run that was cut off, as if it had not been.

    The final table is that of an uninterrupted search, bit for bit, on the same machine
    and versions. A finished run is returned as it is.

    Args:
      directory: where the run is.
      task: what it trains; not needed where model and optimiser are jaxtune's own.
      sampler: needed if the run's is the user's own.
      refine: needed if the run's is the user's own.
      scheduler: needed if the run's is the user's own.
      block: another number of lanes in a block; needs ``allow=["block"]``.
      allow: what may differ from how the run began, though it changes last bits:
        ``"version"``, ``"device"``, ``"flags"``, ``"block"``.
      callbacks: told of what this run brings, see `Callback`.
      executor: who runs blocks, whoever began; ``executors.local()`` if not given.
      verbose: 0 hides the progress: a bar on a terminal, a line now and then elsewhere.

    Returns:
      The result of the whole search.

    Raises:
      RunError: no run, one that another process is busy with, or one that began with
        other data, model, versions or device, naming the difference.
      ValueError: a word in ``allow`` that is none of these.
    """
    check_versions()
    check_allowed(allow)
    path = check_directory(directory)
    settings = checked_settings(path)
    schedule = schedule_of(settings)
    space = schedule.space
    subject = task if task is not None else task_of(path, settings)
    if subject is None:
        found = load(path)
        if found.finished:
            return found
        raise RunError(
            f"{path}: the task has functions of your own, which a run does not hold "
            f"({_own(settings)}). Give it: jaxtune.resume(directory, task), or "
            "jaxtune resume DIR --task FILE.py:NAME."
        )
    _check_values(space)
    subject = check_data(subject) if isinstance(subject, Task) else subject
    own = {"sampler": sampler, "refine": refine, "scheduler": scheduler}
    made = {name: made_of(settings, name, given) for name, given in own.items()}
    given = Given(block, settings["programs"])
    start = (subject, space, key_of(settings), settings["epochs"], block)
    names = ("seeds", "metric", "mode")
    with opened(executor) as crew:
        made_for = (settings["programs"], crew.device["platform"])
        wanted = Search(
            shared_out(prepare(*start, *made_for), block, crew),
            schedule,
            **{name: settings[name] for name in names},
            **made,
        )
        return run(wanted, given, path, allow, verbose, callbacks, crew)


def _own(settings: dict[str, Any]) -> str:
    known = settings["task"]
    return known.get("function") or f"optimizer {known['optimizer']}"


def _check_values(space: Space) -> None:
    for name in space.names:
        for value in space[name].choices:
            if isinstance(value, Opaque):
                raise RunError(
                    f"dimension {name!r} has the value {value}, a Python object, which "
                    "a run does not hold. Call jaxtune.search as before, with the same "
                    "directory: it goes on."
                )


class Rerun(NamedTuple):
    """One trial, trained again.

    Args:
      trial: its id.
      recorded: metric to one value per seed, from the run.
      again: the same, trained now, alone.
    """

    trial: int
    recorded: dict[str, np.ndarray]
    again: dict[str, np.ndarray]

    @property
    def same(self) -> bool:
        """Whether all are equal, bit for bit; a failure equals a failure."""
        return self.recorded.keys() == self.again.keys() and all(
            np.array_equal(values, self.again[name], equal_nan=True)
            for name, values in self.recorded.items()
        )


def rerun(
    directory: str | os.PathLike[str],
    trial: int,
    task: Task | Objective | None = None,
) -> Rerun:
    """Train one recorded trial again, alone, through all the states it took over.

    Args:
      directory: where the run is.
      trial: its id.
      task: what the run trains; not needed where model and optimiser are jaxtune's own.

    Returns:
      What was recorded and what came out now.

    Raises:
      IndexError: no such trial.
      RunError: no run, another task than its own, or a trial that has not been scored.
    """
    check_versions()
    path = check_directory(directory)
    result = load(path, task)
    workload, space = result.setup.workload, result.setup.space
    status = result.trials.row(trial)["status"]
    if workload.subject is None:
        raise RunError(
            f"{path}: the task has functions of your own, which a run does not hold. "
            "Give it: jaxtune.rerun(directory, trial, task), or jaxtune rerun DIR "
            "TRIAL --task FILE.py:NAME."
        )
    _check_values(space)
    recorded = _recorded(result, trial)
    if status == "waiting" and not any(np.isfinite(v).any() for v in recorded.values()):
        raise RunError(f"{path}: trial {trial} has not been scored yet.")
    return Rerun(trial, recorded, _again(workload, result, trial))


def _recorded(result: Result, trial: int) -> dict[str, np.ndarray]:
    row = result.trials.row(trial)
    first = int(np.flatnonzero(result.trials["round"] == row["round"])[0])
    metrics = result.rounds[row["round"]].outcome.metrics
    return {name: values[trial - first] for name, values in metrics.items()}


@compiled_once()
def _again(workload: Workload, result: Result, trial: int) -> dict[str, np.ndarray]:
    space = result.setup.space
    seeds = np.arange(result.trials.scores.shape[1])
    if workload.trains:
        return retrace(workload, space, result.legs(trial), seeds, result.narrow)
    alone = {name: v[trial : trial + 1] for name, v in result.trials.decoded.items()}
    values = []
    for seed in seeds.tolist():
        known = [width for *_, width in result.narrow.of(trial, seed)]
        width = [workload.width, *known][-1]
        same = workload._replace(width=width).alone(workload.epochs)
        own = (np.asarray([trial]), alone, np.asarray([seed]))
        values.append(evaluate(same, space, *own).metrics["value"][0, 0])
    return {"value": np.asarray(values)}
