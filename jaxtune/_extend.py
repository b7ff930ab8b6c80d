"""Extend a finished run by more rounds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from jaxtune import ranking
from jaxtune._arguments import ALLOW, CALLBACKS, VERBOSE
from jaxtune._resume import Parts, go_on, task_at_hand
from jaxtune._search import StopLike
from jaxtune.checks import RunError, as_whole, is_whole
from jaxtune.door import guarded
from jaxtune.environment import check_process, check_transfers
from jaxtune.executors.base import Executor
from jaxtune.results.result import Result
from jaxtune.rounds.callbacks import Callback
from jaxtune.rounds.confirm import check_confirm, with_confirmation
from jaxtune.rounds.known import check_first
from jaxtune.rounds.refine import Refiner
from jaxtune.rounds.schedule import Schedule, Stage
from jaxtune.samplers import Sampler
from jaxtune.schedulers import Scheduler
from jaxtune.schedulers.base import apportion
from jaxtune.scripts import check_not_reading
from jaxtune.signals import GRACE
from jaxtune.stop import check_stop
from jaxtune.storage.directory import check_directory
from jaxtune.storage.read import load
from jaxtune.storage.settings import (
    budgets_of,
    check_allowed,
    checked_settings,
    schedule_of,
)
from jaxtune.tasks import Task
from jaxtune.types import Objective
from jaxtune.versions import check_versions


@guarded(allow=ALLOW, callbacks=CALLBACKS, verbose=VERBOSE)
def extend(
    directory: str | os.PathLike[str],
    task: Task | Objective | None = None,
    *,
    trials: int,
    rounds: int = 1,
    epochs: int | None = None,
    first: Sequence[Mapping[str, Any]] | str | None = None,
    sampler: Sampler | str | None = None,
    refine: Refiner | str | None = None,
    scheduler: Scheduler | str | None = None,
    constraints: Any = None,
    confirm: int | float | None = None,
    stop: StopLike = None,
    allow: Sequence[str] = (),
    callbacks: Sequence[Callback] = (),
    executor: Executor | str | None = None,
    grace: float = GRACE,
    verbose: int = 1,
) -> Result:
    """Extend a finished run by more trials, in rounds that are refined from its last.

    The trials that the run has stay as they are, to the bit. The whole is what a search
    of all these rounds would have found, bit for bit. If it is interrupted, `resume`
    goes on.

    >>> import tempfile, jax, jaxtune as jt
    >>> def objective(key, hparams):
    ...     return (hparams["x"] - 0.3) ** 2
    >>> space, folder = jt.Space(x=jt.uniform(0.0, 1.0)), tempfile.mkdtemp()
    >>> arguments = dict(key=jax.random.key(0), mode="min", verbose=0)
    >>> found = jt.search(
    ...     objective, space, **arguments, trials=16, rounds=2, directory=folder
    ... )
    >>> more = jt.extend(folder, objective, trials=8, verbose=0)
    >>> straight = jt.search(objective, space, **arguments, trials=24, rounds=3)
    >>> len(more.trials), more.best == straight.best
    (24, True)

    Args:
      directory: where the run is.
      task: the run's task; not needed where model and optimiser are jaxtune's.
      trials: number of further configurations.
      rounds: further rounds, over which they are spread.
      epochs: of every further trial, at least as many as any trial of the run; as many
        if not given. Trials that trained in full are compared by their scores, whatever
        their epochs.
      first: known settings, which are the first of the further trials, as for `search`;
        ``"best"`` for the best configurations of the run, as many as the first of the
        further rounds has trials. They are trained anew, as trials of their own.
      sampler: needed if the run has one that is not jaxtune's.
      refine: needed if the run has one that is not jaxtune's.
      scheduler: needed if the run has one that is not jaxtune's.
      constraints: needed if the run has a `require`; then all of them.
      confirm: measures the best of the whole run again, in the last of the further
        trials, as for `search`. Without it the best is chosen by its score, also where
        the run has measured some again; a run with a race ends with another one.
      stop: ends it before its time, as for `search`.
      allow: as for `resume`.
      callbacks: called with what happens from now on, see `Callback`.
      executor: runs the blocks; ``executors.local()`` if not given.
      grace: seconds that blocks in flight get to end after SIGTERM or SIGHUP, see
        `search`.
      verbose: 0 hides the progress: a bar on a terminal, a line now and then elsewhere.

    Returns:
      The result of the whole run.

    Raises:
      RunError: no run, one that is not finished or that another process is busy with,
        or one that began with other data, model, versions or device.
      ValueError: an argument that makes no sense, with one that does.
      SystemExit: after SIGTERM or SIGHUP, see `search`.
    """
    check_versions()
    check_process()
    check_not_reading()
    check_transfers()
    check_allowed(allow)
    stops, path = check_stop(stop), check_directory(directory)
    settings = checked_settings(path)
    found = load(path)
    if not found.finished:
        raise RunError(
            f"{path} is not finished ({found.counts}). "
            "Finish it first: jaxtune.resume(directory), or jaxtune resume DIR."
        )
    known = schedule_of(settings)
    if known.compared:
        raise ValueError(
            f"{path} is a study, whose values were tuned with equal numbers of trials. "
            "Begin a larger one: jaxtune.study(..., trials=...)."
        )
    stages = _stages(known, as_whole(trials), as_whole(rounds), confirm)
    wanted = _epochs(as_whole(epochs), max(budgets_of(settings)))
    if wanted != settings["epochs"]:
        stages = [stage._replace(epochs=wanted) for stage in stages]
    whole = known._replace(stages=tuple(stages))
    settled = check_first(_best(found, stages[0].trials, first), whole)
    stages[0] = stages[0]._replace(first=settled)
    return go_on(
        path,
        settings,
        task_at_hand(path, settings, task),
        Parts(sampler, refine, scheduler, constraints),
        allow=allow,
        stops=stops,
        callbacks=callbacks,
        executor=executor,
        grace=grace,
        verbose=verbose,
        more=tuple(stages),
    )


def _stages(schedule: Schedule, trials: Any, rounds: Any, confirm: Any) -> list[Stage]:
    for name, value in (("trials", trials), ("rounds", rounds)):
        if not is_whole(value, 1):
            raise ValueError(f"{name}: got {value!r}. Use a whole number from 1.")
    again = check_confirm(confirm, trials)
    left = trials - again.trials
    if left < rounds:
        less = f", of which {again.trials} confirm," if again.trials else ""
        raise ValueError(
            f"trials={trials}{less} cannot fill rounds={rounds}. trials is the number "
            "of all further trials."
        )
    # all that was opened by the last round stays open
    names = schedule.stages[-1].searched
    stages = tuple(Stage(names, count) for count in apportion(left, [1] * rounds, 2))
    more = with_confirmation(schedule._replace(stages=stages), again)
    return list(more.stages)


def _epochs(epochs: Any, most: int) -> int:
    if epochs is None:
        return most
    if not most:
        raise ValueError(f"epochs={epochs!r}: a plain function is not trained.")
    if not is_whole(epochs, most):
        raise ValueError(
            f"epochs: got {epochs!r}, and the run has trials of {most} epochs. Use a "
            f"whole number from {most}."
        )
    return epochs


def _best(found: Result, count: int, first: Any) -> Any:
    """Return known settings; for ``"best"``, those of the best trials."""
    if isinstance(first, str) and first not in ("best", "defaults"):
        raise ValueError(
            f"first: got {first!r}. Use 'best', 'defaults', or a list of dicts."
        )
    if not isinstance(first, str) or first != "best":
        return first
    space, order = found.setup.space, ranking.order(found.standing).tolist()
    best: list[dict[str, Any]] = []
    for trial in order:
        if found.trials.failed[trial] or len(best) == count:
            break
        setting = space.values(found.trials.decoded, trial)
        if setting not in best:
            best.append(setting)
    return best
