"""Read a result from a run directory; nothing in the directory is executed."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxtune.checks import RunError
from jaxtune.environment import check_process
from jaxtune.planning.tracing import trace
from jaxtune.planning.workload import Workload
from jaxtune.programs.lane import FAILED, WAITING
from jaxtune.reading import decoding
from jaxtune.results.result import Result, Setup
from jaxtune.results.rows import rows_of
from jaxtune.results.trials import Trials
from jaxtune.rounds.confirm import repeats_in
from jaxtune.space import Space
from jaxtune.storage import fingerprint
from jaxtune.storage.aims import constraints_of, goals_of
from jaxtune.storage.arrays import from_bytes
from jaxtune.storage.directory import RECORD, check_directory
from jaxtune.storage.durable import started, training_of, variation
from jaxtune.storage.folds import with_recorded_folds
from jaxtune.storage.forms import check_training
from jaxtune.storage.layouts import check_drop_last, check_examples, layout_of
from jaxtune.storage.settings import (
    budgets_of,
    check_same_task,
    checked_settings,
    given_of,
    key_of,
    rates_of,
    schedule_of,
    scoring_of,
    warn_of_jax_settings,
)
from jaxtune.storage.store import Store
from jaxtune.storage.subject import task_of
from jaxtune.storage.verified import open_verified
from jaxtune.tasks import Task
from jaxtune.tasks.function import as_task
from jaxtune.training.ledger import no_rungs
from jaxtune.training.round import Training
from jaxtune.training.round_state import LaneEpochs, RoundMetrics, without_uneven
from jaxtune.training.trajectory import concatenate_lineages, first_rows, no_lineage
from jaxtune.training.widths import WidthOverrides
from jaxtune.types import Objective

EVENTS_OF_SESSIONS = (
    "SELECT time, kind, detail FROM events WHERE kind IN ('opened', 'round', 'kept', "
    "'interrupted', 'finished') ORDER BY rowid"
)
MOST_LANES = 10**8  # of an open round, whose lanes are laid out before they are read


def load(
    directory: str | os.PathLike[str], task: Task | Objective | None = None
) -> Result:
    """Open a run, finished or not, also while its search is running.

    Trials that are not done have the status ``running`` if they have begun, else
    ``waiting``.

    >>> import tempfile, jax, jaxtune as jt
    >>> space, folder = jt.Space(x=jt.uniform(0.0, 1.0)), tempfile.mkdtemp()
    >>> found = jt.search(
    ...     lambda key, hparams: hparams["x"] ** 2,
    ...     space,
    ...     key=jax.random.key(0),
    ...     trials=8,
    ...     mode="min",
    ...     directory=folder,
    ... )
    >>> jt.load(folder).best == found.best
    True

    Args:
      directory: the run directory.
      task: the task of the run, needed to test or train again; not needed if model and
        optimiser are jaxtune's own.

    Returns:
      The result; of a finished run, equal to the bit to what the search returned. The
      open round of an unfinished run has no rungs and no history yet.

    Raises:
      RunError: no run, a damaged or newer run, a run without trials yet, or another
        task than that of the run.
    """
    check_process()
    path = check_directory(directory)
    settings = checked_settings(path)
    warn_of_jax_settings(path, settings)
    store = open_verified(path)
    try:
        workload = _workload(path, settings, task)
        with decoding(store.path):
            return _result(store, path, settings, workload)
    finally:
        store.close()


def _result(
    store: Store, path: Path, settings: dict[str, Any], workload: Workload
) -> Result:
    schedule = schedule_of(settings)
    space = schedule.space
    begun = store.one("SELECT count(*) FROM rounds")
    if not begun:
        raise RunError(f"{path} has no trials yet. Try again later, or resume it.")
    budgets = budgets_of(settings)
    repeats = settings["seeds"] * (settings["folds"] or 1)
    boxes, rounds = [], []
    history: list[Trials] = []
    for number in range(begun):
        start = started(store, space, number)
        if start is None:
            raise ValueError(f"round {number} has no points")
        blob = store.one("SELECT ended FROM rounds WHERE round = ?", number)
        training = (
            _unfinished(store, space, number, settings, budgets[number])
            if blob is None
            else training_of(from_bytes(blob), start, budgets[number])
        )
        first = sum(map(len, history))
        check_training(training, len(start.points), first, repeats)
        ids = np.arange(first, first + len(start.points))
        boxes.append(start.space)
        rounds.append(training)
        again = repeats_in(schedule, number, history, start.hparams)
        folds, metric = settings["folds"], settings["metric"]
        rows = rows_of(
            space, number, ids, training, metric, folds, again, workload.budget_rows
        )
        history.append(rows)
    setup = Setup(
        workload=workload,
        space=space,
        metric=settings["metric"],
        mode=settings["mode"],
        trials=schedule.trials,
        seeds=settings["seeds"],
        folds=settings["folds"],
        constraints=constraints_of(settings["constraints"]),
        goals=goals_of(settings["goals"]),
        given=given_of(settings),
    )
    table = functools.reduce(Trials.append, history)
    result = Result(table, tuple(boxes), setup, tuple(rounds))
    stopped = None if result.finished else _stopped(store)
    times = _times(store)._asdict()
    return dataclasses.replace(result, stopped=stopped, settings=settings, **times)


def _stopped(store: Store) -> str | None:
    """Return why the last session stopped, if it was to stop."""
    newest = (
        "SELECT kind, detail FROM events WHERE kind IN ('opened', 'stopped') "
        "ORDER BY rowid DESC LIMIT 1"
    )
    found = store.ask(newest)
    return found[0][1] if found and found[0][0] == "stopped" else None


class Times(NamedTuple):
    """The times of a run, as `load` reports them.

    Args:
      seconds: of all its sessions; one that was killed counts to its last block that
        is recorded.
      began: when it began, in ISO 8601.
    """

    seconds: float
    began: str | None


def times_of(directory: str | os.PathLike[str]) -> Times:
    """Return the times of a run, as `load` reports them."""
    # not verified: it is asked for beside a search, which verifies the run
    store = Store(check_directory(directory) / RECORD, write=False, damaged=True)
    try:
        with decoding(store.path):
            return _times(store)
    finally:
        store.close()


def _times(store: Store) -> Times:
    seconds = sum(_sessions(store)) or math.nan
    first = store.ask("SELECT time FROM events ORDER BY rowid LIMIT 1")
    return Times(seconds, first[0][0] if first else None)


def _sessions(store: Store) -> Iterator[float]:
    """Yield the seconds of each session.

    One that was killed could not note its own: it ends with the last that it wrote.
    """
    opened = last = None
    for time, kind, detail in store.ask(EVENTS_OF_SESSIONS):
        if kind == "opened":
            yield _between(opened, last)
            opened = last = time
        elif kind in ("finished", "interrupted") and detail:
            yield float(detail)
            opened = None
        else:
            last = time
    yield _between(opened, last)


def _between(begin: str | None, end: str | None) -> float:
    """Return the seconds between two times, none if a clock was set back."""
    if begin is None or end is None:
        return 0.0
    passed = datetime.fromisoformat(end) - datetime.fromisoformat(begin)
    return max(0.0, passed.total_seconds())


def _workload(
    path: Path, settings: dict[str, Any], task: Task | Objective | None
) -> Workload:
    if task is None:
        known: Any = task_of(path, settings)
    else:
        known = with_recorded_folds(path, settings, as_task(task))
    workload = Workload(
        task=known,
        key=key_of(settings),
        width=settings["block"],
        epochs=settings["epochs"],
        layout=layout_of(settings["layout"]),
        rates=rates_of(settings),
        across=settings["across"],
        scoring=scoring_of(settings),
        keep=settings["keep"],
        shared=schedule_of(settings).combinations,
        budget_rows=settings["budget"],
    )
    # of another task, the difference is told by its hashes
    examples = settings["task"].get("examples")
    same = task is None or (known.trains and known.examples == examples)
    if task is not None:
        check_drop_last(workload.layout, known, examples)
    if known is not None and same:
        check_examples(workload.layout, known, settings["epochs"])
    if task is not None:  # a task from the directory is the run's own
        space = schedule_of(settings).space
        traced = trace(workload, space, anew=True)
        known = fingerprint.task_hashes(workload, traced, space)
        check_same_task(settings, known)
    return workload


def _unfinished(
    store: Store, space: Space, number: int, settings: dict[str, Any], budget: int
) -> Training:
    """Return what is known of a round that has not ended."""
    start = started(store, space, number)
    if start is None:
        raise ValueError(f"round {number} has no points")
    seeds = settings["seeds"] * (settings["folds"] or 1)
    first = store.one("SELECT min(trial) FROM trials WHERE round = ?", number)
    ids = np.arange(first, first + len(start.points))
    if len(ids) * seeds > MOST_LANES:
        raise ValueError(f"{len(ids):,} trials of {seeds:,} trainings each")
    taken, now, which = [first_rows(ids, start)], start, 0
    while (known := variation(store, space, number, which)) is not None:
        now, which = known[0], which + 1
        taken.append(known[1])
    outcome = _latest(store, number, first, (len(ids), seeds), budget)
    outcome = outcome._replace(
        width_overrides=_width_overrides(store, number, settings["block"]),
        devices=_devices(store, number),
    )
    lineage = concatenate_lineages(taken) if which else no_lineage(start)
    return Training(outcome, now, no_rungs(seeds), lineage, budget, over=False)


def _width_overrides(store: Store, number: int, usual: int) -> WidthOverrides:
    rows = store.ask(
        "SELECT trial, seed, l.epochs, b.epochs, width FROM lanes l "
        "JOIN blocks b USING (block) WHERE round = ? AND width != ?",
        number,
        usual,
    )
    return WidthOverrides(*np.asarray(rows, np.int64).reshape(-1, 5).T)


def _devices(store: Store, number: int) -> dict[str, np.ndarray]:
    """Return kind of device to the trials of a round that it ran."""
    # a run of version 0.1.0 that is opened for reading has no such table
    if not store.has("devices"):
        return {}
    rows = store.ask(
        "SELECT DISTINCT kind, trial FROM devices JOIN lanes USING (block) "
        "JOIN blocks USING (block) WHERE round = ? ORDER BY kind, trial",
        number,
    )
    kinds = dict.fromkeys(kind for kind, _ in rows)
    return {name: np.asarray([t for k, t in rows if k == name]) for name in kinds}


def _latest(
    store: Store, number: int, first: int, shape: tuple[int, int], budget: int
) -> RoundMetrics:
    """Return the last metrics of each lane of a round that has not ended."""
    lanes = store.ask(
        "SELECT trial, seed, l.epochs, status, arrived, block, place FROM lanes l "
        "JOIN blocks USING (block) WHERE round = ? ORDER BY block, place",
        number,
    )
    values_of_lanes = store.ask(
        "SELECT block, place, name, value FROM metrics JOIN blocks USING (block) "
        "WHERE round = ?",
        number,
    )
    # the lanes are in the order of their blocks, so that a lane's last block counts
    measured: dict[tuple[int, int], dict[str, float]] = {}
    for block, place, name, value in values_of_lanes:
        measured.setdefault((block, place), {})[name] = value
    names = [
        name for (name,) in store.ask("SELECT DISTINCT name FROM metrics ORDER BY name")
    ]
    metrics = {name: np.full(shape, np.nan, np.float32) for name in names}
    epochs, status = np.zeros(shape, np.int32), np.full(shape, WAITING, np.int32)
    for trial, seed, trained, state, arrived, block, place in lanes:
        at = trial - first, seed
        failed = state in FAILED
        if not arrived and not failed:
            continue  # it only paused in this block, without a score
        done = failed or trained >= budget
        epochs[at], status[at] = trained, state if done else WAITING
        for name in names:
            known = measured.get((block, place), {}).get(name)
            metrics[name][at] = np.nan if known is None else known
    # lane-epochs of trials, and all that were computed, padding included; a block of a
    # plain function trains no epoch, and computes each lane once
    spent = store.ask(
        "SELECT sum(max(epochs, 1) * "
        "(SELECT count(*) FROM lanes l WHERE l.block = b.block)), "
        "sum(max(epochs, 1) * width) FROM blocks b WHERE round = ?",
        number,
    )[0]
    return without_uneven(
        RoundMetrics(metrics, status, epochs, LaneEpochs(*[n or 0 for n in spent]))
    )
