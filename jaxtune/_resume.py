"""Resume a run, or train one of its trials again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxtune import _named
from jaxtune._arguments import ALLOW, BLOCK, CALLBACKS, VERBOSE, check_repeatable
from jaxtune._search import StopLike, open_executor, run_search, with_shared_width
from jaxtune.brevity import brief
from jaxtune.checks import RunError, as_whole
from jaxtune.door import guarded
from jaxtune.environment import check_process, check_transfers
from jaxtune.executors.base import Executor
from jaxtune.planning.preparation import prepare
from jaxtune.planning.workload import Workload
from jaxtune.results.given import UserChoices
from jaxtune.results.result import Result
from jaxtune.results.trials import A_TRIAL
from jaxtune.rounds.arguments import Search
from jaxtune.rounds.callbacks import Callback
from jaxtune.rounds.pace import paced
from jaxtune.rounds.race import with_race
from jaxtune.rounds.refine import Refiner
from jaxtune.rounds.schedule import Stage
from jaxtune.samplers import Sampler
from jaxtune.schedulers import Scheduler
from jaxtune.scripts import check_not_reading
from jaxtune.signals import GRACE
from jaxtune.space import Space
from jaxtune.stop import Stop, check_stop
from jaxtune.storage.aims import constraints_to_resume, goals_of
from jaxtune.storage.directory import check_directory
from jaxtune.storage.documents import Unserialisable, first_of
from jaxtune.storage.folds import with_recorded_folds
from jaxtune.storage.kernels import load_kernels
from jaxtune.storage.past import prior_of
from jaxtune.storage.read import load
from jaxtune.storage.rows import same_rows
from jaxtune.storage.settings import (
    check_allowed,
    check_jax_settings,
    checked_settings,
    key_of,
    made_of,
    schedule_of,
    scoring_of,
)
from jaxtune.storage.subject import task_of
from jaxtune.storage.verified import open_verified
from jaxtune.tasks import Task
from jaxtune.tasks.function import as_task
from jaxtune.training.retraining import retrain
from jaxtune.types import Objective
from jaxtune.versions import check_versions


@guarded(block=BLOCK, allow=ALLOW, callbacks=CALLBACKS, verbose=VERBOSE)
def resume(
    directory: str | os.PathLike[str],
    task: Task | Objective | None = None,
    *,
    sampler: Sampler | str | None = None,
    refine: Refiner | str | None = None,
    scheduler: Scheduler | str | None = None,
    constraints: Any = None,
    block: int | None = None,
    allow: Sequence[str] = (),
    stop: StopLike = None,
    callbacks: Sequence[Callback] = (),
    executor: Executor | str | None = None,
    grace: float = GRACE,
    verbose: int = 1,
) -> Result:
    """Resume a run that was interrupted, as if it had not been.

    The final table is that of an uninterrupted search, bit for bit, on the same machine
    and versions. A finished run is returned as it is.

    >>> import tempfile, jax, jaxtune as jt
    >>> def objective(key, hparams):
    ...     return hparams["x"] ** 2
    >>> class Interrupt(jt.Callback):
    ...     def on_round(self, result):
    ...         raise KeyboardInterrupt
    >>> space, folder = jt.Space(x=jt.uniform(0.0, 1.0)), tempfile.mkdtemp()
    >>> arguments = dict(key=jax.random.key(0), trials=8, rounds=2, mode="min")
    >>> try:
    ...     jt.search(
    ...         objective, space, **arguments, directory=folder, callbacks=[Interrupt()]
    ...     )
    ... except KeyboardInterrupt:
    ...     pass
    >>> resumed = jt.resume(folder, objective, verbose=0)
    >>> resumed.best == jt.search(objective, space, **arguments).best
    True

    Args:
      directory: where the run is.
      task: the run's task; not needed where model and optimiser are jaxtune's.
      sampler: needed if the run has one that is not jaxtune's.
      refine: needed if the run has one that is not jaxtune's.
      scheduler: needed if the run has one that is not jaxtune's.
      constraints: needed if the run has a `require`; then all of them.
      block: another number of lanes in a block; needs ``allow=["block"]``.
      allow: settings that may differ from those of the run, though they change last
        bits: ``"version"``, ``"device"``, ``"flags"``, ``"block"``. And ``"code"``: a
        sampler, a requirement or the like of your own, or a function that your task
        calls on the host, is written otherwise and means the same.
      stop: ends it before its time again, as for `search`. What stopped the run before
        counts no more.
      callbacks: called with what happens from now on, see `Callback`.
      executor: runs the blocks, and may be another one than before;
        ``executors.local()`` if not given.
      grace: seconds that blocks in flight get to end after SIGTERM or SIGHUP, see
        `search`.
      verbose: 0 hides the progress: a bar on a terminal, a line now and then elsewhere.

    Returns:
      The result of the whole search.

    Raises:
      RunError: no run, one that another process is busy with, or one that began with
        other data, model, versions or device, naming the difference.
      ValueError: a word in ``allow`` that is none of these.
      SystemExit: after SIGTERM or SIGHUP, see `search`.
    """
    check_versions()
    check_process()
    check_not_reading()
    check_transfers()
    check_allowed(allow)
    stops = check_stop(stop)
    path = check_directory(directory)
    settings = checked_settings(path)
    made = task_at_hand(path, settings, task)
    if made is None:
        found = load(path)
        if found.finished:
            return found
    return go_on(
        path,
        settings,
        made,
        Parts(sampler, refine, scheduler, constraints),
        block=as_whole(block),
        allow=allow,
        stops=stops,
        callbacks=callbacks,
        executor=executor,
        grace=grace,
        verbose=verbose,
    )


class Parts(NamedTuple):
    """The parts of a search that a run cannot hold if they are the user's own."""

    sampler: Sampler | str | None = None
    refine: Refiner | str | None = None
    scheduler: Scheduler | str | None = None
    constraints: Any = None


def task_at_hand(
    path: Path, settings: dict[str, Any], task: Task | Objective | None
) -> Task | None:
    """Return the task that was given, or that of the run; ``None`` for neither."""
    if task is None:
        return task_of(path, settings)
    return with_recorded_folds(path, settings, as_task(task))


def go_on(
    path: Path,
    settings: dict[str, Any],
    made: Task | None,
    parts: Parts,
    *,
    block: int | None = None,
    allow: Sequence[str] = (),
    stops: tuple[Stop, ...] = (),
    callbacks: Sequence[Callback] = (),
    executor: Executor | str | None = None,
    grace: float = GRACE,
    verbose: int = 1,
    more: tuple[Stage, ...] = (),
) -> Result:
    """Go on with a run, for the rounds that it has and ``more``."""
    schedule, (sampler, refine, scheduler, constraints) = schedule_of(settings), parts
    space, verb = schedule.space, "extend" if more else "resume"
    if made is None:
        raise RunError(
            f"{path}: the task has functions of your own, which a run does not hold "
            f"({_user_functions(settings)}). Give it: jaxtune.{verb}(directory, task), "
            f"or jaxtune {verb} DIR --task FILE.py:NAME."
        )
    _check_values(space)
    limited = constraints_to_resume(settings["constraints"], constraints)
    choices = UserChoices(block, settings["programs"])
    with open_executor(executor, grace) as session:
        workload = prepare(
            made,
            space,
            key_of(settings),
            epochs=settings["epochs"],
            width=block,
            programs=settings["programs"],
            platform=session.device["platform"],
        )._replace(
            scoring=scoring_of(settings),
            keep=settings["keep"],
            shared=schedule.combinations,
            budget_rows=settings["budget"],
        )
        _check_epochs(workload, more)
        asks = _named.sampler(made_of(settings, "sampler", sampler))
        led = _named.scheduler(made_of(settings, "scheduler", scheduler))
        seeds, given = settings["seeds"], settings["block_given"]
        further = schedule._replace(stages=more)
        if more:
            repeats = seeds * (settings["folds"] or 1)
            further = with_race(further, led.race, repeats, given)
            check_repeatable(further, led, settings["goals"])
        added = paced(further, asks, led, made, seeds, given)
        wanted = Search(
            workload=with_shared_width(workload, block, session),
            schedule=schedule._replace(stages=schedule.stages + added.stages),
            seeds=settings["seeds"],
            metric=settings["metric"],
            mode=settings["mode"],
            sampler=asks,
            refine=_named.refiner(made_of(settings, "refine", refine)),
            scheduler=led,
            first=first_of(settings["first"]),
            prior=prior_of(path, settings),
            constraints=limited,
            goals=goals_of(settings["goals"]),
        )
        return run_search(
            wanted,
            choices,
            session,
            path,
            allow=allow,
            stops=stops,
            verbose=verbose,
            callbacks=callbacks,
            before=settings["rounds"] if more else None,
        )


def _check_epochs(workload: Workload, more: Sequence[Stage]) -> None:
    if all(stage.epochs is None for stage in more):
        return
    if workload.budget_rows:
        raise ValueError(
            "epochs: under budget='examples' a budget is a part of all epochs, so that "
            "all rounds train equally long. Leave it out, or begin another search."
        )
    batching = workload.layout.batching
    if batching is not None and batching.epochs is not None:
        raise ValueError(
            "epochs: the optimiser asks for the steps of a whole training, which its "
            "programs hold, so that all rounds train equally long. Leave it out, or "
            "begin another search."
        )


def _user_functions(settings: dict[str, Any]) -> str:
    known = settings["task"]
    return known.get("function") or f"optimizer {known['optimizer']}"


def _check_values(space: Space) -> None:
    for name in space.names:
        for value in space[name].choices:
            if isinstance(value, Unserialisable):
                raise RunError(
                    f"dimension {name!r} has the value {value}, a Python object, which "
                    "a run does not hold. Call jaxtune.search as before, with the same "
                    "directory, which resumes the run."
                )


@brief
class Rerun(NamedTuple):
    """One trial, trained again.

    Args:
      trial: its id.
      recorded: metric to one value per seed, and per fold if there are some, from the
        run.
      again: the same of the trial trained again alone.
    """

    trial: int
    recorded: dict[str, np.ndarray]
    again: dict[str, np.ndarray]

    @property
    def same(self) -> bool:
        """True if all are equal, bit for bit; a failure equals a failure."""
        return self.recorded.keys() == self.again.keys() and all(
            np.array_equal(values, self.again[name], equal_nan=True)
            for name, values in self.recorded.items()
        )


@guarded(trial=A_TRIAL)
def rerun(
    directory: str | os.PathLike[str],
    trial: int,
    task: Task | Objective | None = None,
) -> Rerun:
    """Train one recorded trial again, alone, through all the states it took over.

    >>> import tempfile, jax, jaxtune as jt
    >>> def objective(key, hparams):
    ...     return hparams["x"] + jax.random.normal(key)
    >>> space, folder = jt.Space(x=jt.uniform(0.0, 1.0)), tempfile.mkdtemp()
    >>> arguments = dict(key=jax.random.key(0), trials=8, mode="min", verbose=0)
    >>> found = jt.search(objective, space, **arguments, directory=folder)
    >>> jt.rerun(folder, 3, objective).same
    True

    Args:
      directory: where the run is.
      trial: its id.
      task: the run's task; not needed where model and optimiser are jaxtune's.

    Returns:
      The recorded metrics and those of the new training.

    Raises:
      IndexError: no such trial.
      RunError: no run, a task other than the run's, a setting of JAX by which it would
        compute other numbers, or a trial that has not been scored.
    """
    check_versions()
    check_process()
    check_transfers()
    path = check_directory(directory)
    check_jax_settings(checked_settings(path))
    result = load(path, task)
    workload, space = result.setup.workload, result.setup.space
    result.trials.check_id(trial)
    if workload.task is None:
        raise RunError(
            f"{path}: the task has functions of your own, which a run does not hold. "
            "Give it: jaxtune.rerun(directory, trial, task), or jaxtune rerun DIR "
            "TRIAL --task FILE.py:NAME."
        )
    _check_values(space)
    recorded = _recorded(result, trial)
    done = result.trials.done[trial]
    if not done and not any(np.isfinite(v).any() for v in recorded.values()):
        raise RunError(f"{path}: trial {trial} has not been scored yet.")
    load_kernels(path)
    seeds = np.arange(result.setup.repeats)
    trajectory, overrides = result.trajectory(trial), result.width_overrides
    with closing(open_verified(path)) as store, same_rows(store, workload.task):
        again = retrain(workload, space, trajectory, seeds, overrides)
    return Rerun(trial, recorded, again)


def _recorded(result: Result, trial: int) -> dict[str, np.ndarray]:
    row = result.trials.row(trial)
    first = int(np.flatnonzero(result.trials["round"] == row["round"])[0])
    metrics = result.rounds[row["round"]].outcome.metrics
    return {name: values[trial - first] for name, values in metrics.items()}
