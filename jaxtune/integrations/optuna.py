"""Results as studies of Optuna, and studies of Optuna as points for a sampler."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtune import ranking
from jaxtune.checks import extra
from jaxtune.door import Argument, guarded
from jaxtune.goals.order import Goal
from jaxtune.integrations.tool import Tool, as_scalar, mean_curve, metric_names
from jaxtune.results.names import REPEAT_OF
from jaxtune.results.result import Result, Setup
from jaxtune.space import A_SPACE, Dimension, Space

if TYPE_CHECKING:
    import optuna as package

NAME = "jaxtune"
DIRECTIONS: dict[str, Any] = {"max": "maximize", "min": "minimize"}
# a status that is missing here, "running" or "waiting", is of a trial not done
STATES = {"ok": "COMPLETE", "stopped": "PRUNED", "diverged": "FAIL", "crashed": "FAIL"}


class Optuna(Tool):
    """A study in a journal file, or in a database if ``where`` is a URL.

    A journal file takes a second for a thousand trials, SQLite half a minute. Trials
    that are not done are left out; a user attribute of the study says how many. A
    journal file is exchanged whole: whoever is killed leaves no half of a study, and no
    lock.
    """

    def on_start(self, setup: Setup) -> None:
        """Create the study; raise ``ValueError`` if the place has one already."""
        package = extra("optuna", "export")
        goals = _goals(setup)
        with _written(self.where) as storage:
            try:
                study = package.create_study(
                    storage=storage,
                    study_name=NAME,
                    directions=[DIRECTIONS[goal.mode] for goal in goals],
                )
            except package.exceptions.DuplicatedStudyError as error:
                raise ValueError(
                    f"export: {self.where} holds a study {NAME!r} already. Use another "
                    "file or database."
                ) from error
            study.set_metric_names([goal.name for goal in goals])
        self._rows = 0

    def on_round(self, result: Result) -> None:
        """Add the trials that came since the last round."""
        package = extra("optuna", "export")
        trials = frozen(result, self._rows)
        left = len(result.trials) - self._rows - len(trials)
        with _written(self.where) as storage:
            study = package.load_study(study_name=NAME, storage=storage)
            study.set_user_attr("trials not done", left)
            study.add_trials(trials)
        self._rows = len(result.trials)


def _goals(setup: Setup) -> tuple[Goal, ...]:
    return setup.goals or (Goal(setup.metric, setup.mode),)


@contextmanager
def _written(where: str) -> Iterator[Any]:
    """Yield the storage of a place; a file is exchanged when all is written."""
    with _quiet():
        if "://" in where:
            yield where
        else:
            with _exchanged(where) as storage:
                yield storage


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out Optuna's log, and its warning that some of it is experimental."""
    package = extra("optuna", "export")
    before = package.logging.get_verbosity()
    package.logging.set_verbosity(package.logging.WARNING)
    try:
        with warnings.catch_warnings():
            experimental = package.exceptions.ExperimentalWarning
            warnings.simplefilter("ignore", experimental)
            yield
    finally:
        package.logging.set_verbosity(before)


@contextmanager
def _exchanged(where: str) -> Iterator[Any]:
    """Yield the storage of a file, a copy that takes its place at the end."""
    storages = extra("optuna", "export").storages
    path = Path(where)
    # Optuna's lock is a file beside the journal, and who is killed leaves it there
    with TemporaryDirectory(prefix=".jaxtune-", dir=path.parent) as folder:
        copy = Path(folder, path.name)
        if path.exists():
            shutil.copyfile(path, copy)
        backend = storages.journal.JournalFileBackend(str(copy))
        yield storages.JournalStorage(backend)
        os.replace(copy, path)


def frozen(result: Result, first: int = 0) -> list[package.trial.FrozenTrial]:
    """Return the trials of a result as Optuna's; those that are not done are left out.

    Args:
      result: from a search, or from a run directory.
      first: id of the first trial to return.

    Returns:
      Trials with parameters, the distributions of the search space, states, and scores
      at rungs as intermediate values, or of every epoch where there is a history. User
      attributes are the id, round, epochs, metrics and the score of every seed. With
      several goals a trial has their values, and none on the way.
    """
    import optuna as package

    space, trials = result.setup.space, result.trials
    # of the whole space, whatever the box of a trial's round was
    ranges = {name: distribution(space[name]) for name in space.searched}
    metrics, found = metric_names(space, trials.names), []
    on_the_way = result.rungs.by_trial()
    if result.setup.workload.scoring.history:
        curves: Any = result.history.get(result.setup.metric, ())
        on_the_way = {trial: mean_curve(values) for trial, values in enumerate(curves)}
    for trial in range(first, len(trials)):
        row = trials.row(trial)
        if row["status"] not in STATES:
            continue
        params = {
            name: parameter(space[name], value)
            for name, value in space.values(trials.decoded, trial).items()
            if name in ranges
        }
        reached = on_the_way.get(trial, {})
        # attributes are kept as JSON, which has no NaN
        seeds = [float(s) if np.isfinite(s) else None for s in trials.scores[trial]]
        about = {"trial": trial, "round": row["round"], "scores": seeds}
        if row.get(REPEAT_OF, -1) >= 0:
            about[REPEAT_OF] = row[REPEAT_OF]
        about |= {n: row[n] for n in ("epochs", *metrics) if n in row and _fine(row[n])}
        state = package.trial.TrialState[STATES[row["status"]]]
        failed = state == package.trial.TrialState.FAIL
        values = [row[goal.name] for goal in result.setup.goals] or [row["score"]]
        if not failed and not all(map(_fine, values)):  # of another goal than the score
            failed, state = True, package.trial.TrialState.FAIL
        found.append(
            package.trial.create_trial(
                state=state,
                values=None if failed else values,
                params=params,
                distributions={name: ranges[name] for name in params},
                user_attrs=about,
                # of one objective only
                intermediate_values={} if result.setup.goals else reached,
            )
        )
    return found


def _fine(value: Any) -> bool:
    return not isinstance(value, float) or bool(np.isfinite(value))


def distribution(dim: Dimension) -> Any:
    """Return the distribution of Optuna for a dimension.

    Optuna has no log scale of 1 - x, which becomes linear. Powers of two become
    integers on a log scale. Choices that JSON cannot hold become strings.
    """
    from optuna import distributions as kinds

    if dim.choices:
        return kinds.CategoricalDistribution([_category(v) for v in dim.choices])
    low, high = dim.bounds
    log = dim.scale == "log" or dim.kind == "power_of_two"
    if dim.kind == "continuous":
        return kinds.FloatDistribution(float(low), float(high), log=log)
    return kinds.IntDistribution(int(low), int(high), log=log)


def parameter(dim: Dimension, value: Any) -> Any:
    """Return a value as a parameter that the dimension's distribution contains."""
    if dim.choices:
        return _category(value)
    if dim.kind != "continuous":
        return int(value)
    # a float32 value may lie beyond a float64 bound by less than its own precision
    return float(np.clip(value, *dim.bounds))


def _category(value: Any) -> Any:
    return value if value is None else as_scalar(value)


STUDY = Argument(
    "a study of Optuna", lambda value: hasattr(value, "get_trials"), "Use create_study."
)


@guarded(study=STUDY, space=A_SPACE)
def from_optuna(study: package.Study, space: Space) -> tuple[np.ndarray, np.ndarray]:
    """Return the finished trials of a study as points and scores for a sampler.

    Args:
      study: a study with one objective and the parameter names of ``space``.
      space: the space of the new search.

    Returns:
      Points ``[n, d]``, and scores ``[n]`` for which higher is better: NaN for failed
      trials. A parameter that a trial lacks has its default if the dimension is
      conditional. Values outside of the space have coordinates outside ``[0, 1)``.

    Raises:
      ValueError: several objectives, a trial without a parameter of the space that is
        not conditional, or a value that is not one of a dimension's choices.

    >>> import jax, optuna
    >>> import jaxtune as jt
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> study = optuna.create_study()
    >>> study.optimize(lambda trial: trial.suggest_float("x", 0.0, 1.0), n_trials=10)
    >>> space = jt.Space(x=jt.uniform(0.0, 1.0))
    >>> points, scores = jt.integrations.from_optuna(study, space)
    >>> points.shape, scores.shape
    ((10, 1), (10,))
    >>> sampler = jt.samplers.tpe()
    >>> state = sampler.init(jax.random.key(0), space)
    >>> state = sampler.tell(state, points, scores)
    """
    if len(study.directions) != 1:
        raise ValueError(
            f"from_optuna: the study has {len(study.directions)} objectives. Use a "
            "study with one."
        )
    done = [trial for trial in study.get_trials(deepcopy=False) if _comparable(trial)]
    columns = {
        name: np.asarray([_decoded(space[name], name, trial) for trial in done])
        for name in space.searched
    }
    if not done:
        return np.empty((0, space.dim), np.float32), np.empty(0, np.float32)
    mode = {"MINIMIZE": "min", "MAXIMIZE": "max"}[study.direction.name]
    values = [np.nan if trial.value is None else trial.value for trial in done]
    scores = ranking.orient(np.asarray(values, np.float32), mode)
    return np.asarray(space.encode(columns)), scores


def _comparable(trial: package.trial.FrozenTrial) -> bool:
    # a pruned trial has trained for less, so its score does not compare
    return trial.state.name in ("COMPLETE", "FAIL")


def _decoded(dim: Dimension, name: str, trial: package.trial.FrozenTrial) -> Any:
    if name not in trial.params:
        if not dim.condition:
            raise ValueError(
                f"from_optuna: trial {trial.number} of the study has no {name!r}. "
                "Rename the dimension, or keep only the dimensions of the study."
            )
        return dim.decoded(dim.default)
    value = trial.params[name]
    if not dim.choices:
        return value
    known = [_category(choice) for choice in dim.choices]
    if value not in known:
        raise ValueError(
            f"from_optuna: trial {trial.number} of the study has {name}={value!r}, "
            f"which is not one of {list(dim.choices)}. Add it to the choices."
        )
    return dim.decoded(dim.choices[known.index(value)])
