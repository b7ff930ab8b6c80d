"""Results as Optuna studies, and Optuna studies as trials to tell a sampler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtune import ranking
from jaxtune.integrations.tool import Tool, measured
from jaxtune.results.result import Result, Setup
from jaxtune.space import Dimension, Space

if TYPE_CHECKING:
    import optuna as package

NAME = "jaxtune"
STATES = {"ok": "COMPLETE", "stopped": "PRUNED", "diverged": "FAIL", "crashed": "FAIL"}


class Optuna(Tool):
    """A study in a journal file, or in a database if ``where`` is a URL.

    A journal of a thousand trials takes a second, Optuna's SQLite half a minute.
    Trials that are not done are left out; the study says how many.
    """

    def on_start(self, setup: Setup) -> None:
        """Make the study; ``ValueError`` if there is one."""
        import optuna as package

        try:
            self._study = package.create_study(
                storage=_storage(self.where),
                study_name=NAME,
                direction="maximize" if setup.mode == "max" else "minimize",
            )
        except package.exceptions.DuplicatedStudyError as error:
            raise ValueError(
                f"export: {self.where} holds a study {NAME!r} already. Use another "
                "place."
            ) from error
        self._study.set_metric_names([setup.metric])
        self._rows = 0

    def on_round(self, result: Result) -> None:
        """Add the trials of the rounds that are new."""
        trials = frozen(result, self._rows)
        left = len(result.trials) - self._rows - len(trials)
        self._study.set_user_attr("trials not done", left)
        self._study.add_trials(trials)
        self._rows = len(result.trials)


def _storage(where: str) -> Any:
    import optuna as package

    if "://" in where:
        return where
    from optuna.storages.journal import JournalFileBackend

    return package.storages.JournalStorage(JournalFileBackend(where))


def frozen(result: Result, first: int = 0) -> list[package.trial.FrozenTrial]:
    """A result's trials as Optuna's, those that are not done left out.

    Args:
      result: from a search, or from a run directory.
      first: trials before this one are left out.

    Returns:
      Trials with parameters, the root space's distributions, states, scores at rungs as
      intermediate values, and as user attributes id, round, epochs, metrics and the
      score of every seed.
    """
    import optuna as package

    space, trials = result.setup.space, result.trials
    spread = {name: distribution(space[name]) for name in space.searched}
    metrics, found = measured(space, trials.names), []
    on_the_way = result.rungs.by_trial()
    for trial in range(first, len(trials)):
        row = trials.row(trial)
        if row["status"] not in STATES:
            continue
        params = {
            name: parameter(space[name], value)
            for name, value in space.values(trials.decoded, trial).items()
            if name in spread
        }
        seeds = [float(s) if np.isfinite(s) else None for s in trials.scores[trial]]
        own = {"trial": trial, "round": row["round"], "scores": seeds}
        own |= {n: row[n] for n in ("epochs", *metrics) if n in row and _fine(row[n])}
        state = package.trial.TrialState[STATES[row["status"]]]
        failed = state == package.trial.TrialState.FAIL
        found.append(
            package.trial.create_trial(
                state=state,
                value=None if failed else row["score"],
                params=params,
                distributions={name: spread[name] for name in params},
                user_attrs=own,
                intermediate_values=on_the_way.get(trial, {}),
            )
        )
    return found


def _fine(value: Any) -> bool:
    return not isinstance(value, float) or bool(np.isfinite(value))


def distribution(dim: Dimension) -> Any:
    """A dimension as Optuna's distribution.

    The log of 1 - x is not among its scales and becomes linear; powers of two become
    whole numbers on a log scale; values that JSON cannot hold become strings.
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
    """A value as a parameter that its distribution contains."""
    if dim.choices:
        return _category(value)
    if dim.kind != "continuous":
        return int(value)
    # float32 misses a bound by less than its own precision
    return float(np.clip(value, *dim.bounds))


def _category(value: Any) -> Any:
    known = value is None or isinstance(value, bool | int | float | str)
    return value if known else str(value)


def from_optuna(study: package.Study, space: Space) -> tuple[np.ndarray, np.ndarray]:
    """The finished trials of a study, to be told to a sampler.

    Args:
      study: any single-objective study whose parameters have the names of ``space``.
      space: the space of the new search.

    Returns:
      Points ``[n, d]``, and scores ``[n]`` for which higher is better: NaN for failed
      trials. Parameters that a trial lacks have their default, if a condition explains
      it. Values outside of the space have coordinates outside ``[0, 1)``.

    Raises:
      ValueError: several objectives, a trial without a parameter that the space always
        has, or a value that is not one of its choices.
    """
    if len(study.directions) != 1:
        raise ValueError(
            f"from_optuna: the study has {len(study.directions)} objectives, not one."
        )
    done = [trial for trial in study.get_trials(deepcopy=False) if _told(trial)]
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


def _told(trial: package.trial.FrozenTrial) -> bool:
    """Finished in full, or failed; a pruned score does not compare."""
    return trial.state.name in ("COMPLETE", "FAIL")


def _decoded(dim: Dimension, name: str, trial: package.trial.FrozenTrial) -> Any:
    if name not in trial.params:
        if not dim.condition:
            raise ValueError(
                f"from_optuna: trial {trial.number} of the study has no {name!r}. "
                "Rename the dimension, or keep only those that the study has."
            )
        return dim.decoded(dim.default)
    value = trial.params[name]
    if not dim.choices:
        return value
    known = [_category(choice) for choice in dim.choices]
    if value not in known:
        raise ValueError(
            f"from_optuna: trial {trial.number} of the study has {name}={value!r}, "
            f"which is not one of {list(dim.choices)}."
        )
    return dim.decoded(dim.choices[known.index(value)])
