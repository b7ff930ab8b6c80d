"""The result of a search."""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
import pickle
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune import ranking
from jaxtune.brevity import brief
from jaxtune.door import (
    MAPPING,
    PATH,
    an,
    either,
    guarded,
    list_of,
    optional,
    real,
    whole,
)
from jaxtune.goals.arguments import Constraints
from jaxtune.goals.front import dominance_ranks, volume
from jaxtune.goals.limits import violation
from jaxtune.goals.order import Goal, aimed_standing, oriented
from jaxtune.markup import html_table
from jaxtune.planning.scoring import BEST, BEST_EPOCH
from jaxtune.planning.workload import Workload
from jaxtune.printing import counted
from jaxtune.random import INIT, lane_key
from jaxtune.results.confirmed import Confirmed, confirmed_of, ranked_by
from jaxtune.results.counts import Counts, counts_of
from jaxtune.results.divergence import Divergence, locate_failures
from jaxtune.results.folded import FoldScores, by_fold, rows_of_folds
from jaxtune.results.given import Given
from jaxtune.results.names import REPEAT_OF
from jaxtune.results.racing import seeds_at_looks
from jaxtune.results.trials import A_TRIAL, Trials
from jaxtune.space import Space
from jaxtune.training.ledger import Rungs
from jaxtune.training.retraining import judge
from jaxtune.training.round import Training
from jaxtune.training.trajectory import (
    Lineage,
    TrajectorySegment,
    concatenate_lineages,
    trajectory_of,
)
from jaxtune.training.widths import WidthOverrides
from jaxtune.types import Key, PyTree

if TYPE_CHECKING:
    from jaxtune.report._study import Study
    from jaxtune.trained.ensemble import Ensemble
    from jaxtune.trained.model import TrainedModel


@brief
class Best(NamedTuple):
    """The trial with the best score.

    Args:
      trial: its id.
      hparams: its hyperparameters as a plain dict.
      score: mean over its seeds; over those of its repeats if it was measured again.
      scores: one score per seed; with ``k`` folds that of each is at
        ``seed * k + fold``. Those of its repeats, one after another, if it was measured
        again.
    """

    trial: int
    hparams: dict[str, Any]
    score: float
    scores: tuple[float, ...]

    def _repr_html_(self) -> str:
        """Return HTML for a notebook: a row for each hyperparameter."""
        rows = [("score", f"{self.score:.6g}"), *self.hparams.items()]
        return html_table((f"trial {self.trial}", ""), rows)


@brief
class Setup(NamedTuple):
    """The task, space and settings of a search: enough to train any trial again.

    Args:
      workload: task, key, block width and budget.
      space: the space that the user gave.
      metric: the metric that is the score.
      mode: ``"max"`` or ``"min"``.
      trials: configurations in the whole search.
      seeds: trainings of every configuration.
      folds: number of folds, on each of which every seed trains; ``None`` without.
      constraints: limits of metrics and sizes, and requirements of hyperparameters.
      goals: several goals in place of the score alone.
      given: the other arguments, see `Given`.
    """

    workload: Workload
    space: Space
    metric: str
    mode: str
    trials: int
    seeds: int
    folds: int | None = None
    constraints: Constraints = Constraints()
    goals: tuple[Goal, ...] = ()
    given: Given = Given()

    @property
    def picklable(self) -> Setup:
        """The setup without functions that a pickle cannot hold, as of a loaded run."""
        task, workload = self.workload.task, self.workload
        if not (task is None or _pickles(task.without_data)):
            workload = workload._replace(task=None)  # type: ignore[arg-type]
        rules = tuple(
            rule if _pickles(rule) else rule.named for rule in self.constraints.rules
        )
        constraints = self.constraints._replace(rules=rules)
        given = self.given.with_names(_pickles)
        return self._replace(workload=workload, constraints=constraints, given=given)

    @property
    def repeats(self) -> int:
        """Trainings of every trial: one for each seed and fold."""
        return self.seeds * (self.folds or 1)

    def check_task(self, what: str) -> None:
        """Raise ``ValueError`` if the task is not at hand.

        Args:
          what: the name of what needs it, for the error.
        """
        if self.workload.task is None:
            raise ValueError(
                f"{what}: the task is not at hand: no run directory holds functions of "
                "your own, and no pickle those that jaxtune makes or that have no "
                "name to import. Search with directory=, and use "
                "jaxtune.load(directory, task), or on the command line "
                "--task FILE.py:NAME."
            )


def _pickles(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except Exception:  # each type has its own, and a user's class any
        return False
    return True


@brief
class Cost(NamedTuple):
    """The work of a search; the unit is an epoch of one lane.

    Args:
      epochs: trained by all trials and seeds. An epoch is one of all training data,
        also where ``budget="examples"`` trains on a part of them.
      saved: not trained, because their trials were stopped or failed. Below 0 if
        trainings that begin anew at every rung cost more than to train all in full.
      occupancy: share of the computed lane-epochs, or values of a plain function, that
        was not padding of blocks.
      seconds: that the search took, compiling included; of a run, in all its sessions.
        One that was killed counts up to the last block that is recorded.
    """

    epochs: int
    saved: int
    occupancy: float
    seconds: float

    @property
    def in_words(self) -> str:
        """The epochs, as ``"81 epochs trained, 162 saved"``."""
        more = f"{-self.saved} more than without stopping"
        saved = f"{self.saved} saved" if self.saved >= 0 else more
        return f"{self.epochs} epochs trained, {saved}"


REFERENCE = list_of(real())


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """All trials of a search.

    Results are compared by identity: ``==`` says whether two names are of one object.

    Args:
      trials: the table, one row per trial.
      spaces: the space of each round, the first one as given; that of a round that
        measures the best again is the whole space.
      setup: the task, space and settings.
      rounds: the outcome of each round.
      seconds: see `Cost`.
      stopped: why the search ended before its time; ``None`` if it did not, or was
        killed.
      settings: the arguments of the search as JSON, with the recipes of sampler,
        refiner and scheduler; of a run, all that is in its ``run.json``. Empty while
        the search runs.
      began: when a run directory was begun, in ISO 8601; ``None`` without one, so that
        equal searches have equal results.
    """

    trials: Trials
    spaces: tuple[Space, ...]
    setup: Setup
    rounds: tuple[Training, ...] = dataclasses.field(repr=False)
    seconds: float = dataclasses.field(default=math.nan, repr=False)
    stopped: str | None = dataclasses.field(default=None, repr=False)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    began: str | None = dataclasses.field(default=None, repr=False)
    # a dict, so that a frozen result can remember what `test` has measured
    _tested: dict[str, float] = dataclasses.field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle holds: all but functions that it cannot hold.

        Nor can it hold those that `jaxtune.classification` makes. Then `train` and
        `test` need the run directory, see `jaxtune.load`.
        """
        names = [field.name for field in dataclasses.fields(self)]
        known = {name: getattr(self, name) for name in names}
        return known | {"setup": self.setup.picklable}

    def __copy__(self) -> Result:
        return dataclasses.replace(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Result:
        # what is not copied cannot be changed; a copy keeps its functions
        return dataclasses.replace(
            self,
            trials=copy.deepcopy(self.trials, memo),
            rounds=copy.deepcopy(self.rounds, memo),
            _tested=dict(self._tested),
        )

    @property
    def finished(self) -> bool:
        """True if all trials are done, false if it was stopped or interrupted."""
        over = all(training.over for training in self.rounds)
        stages = self.setup.given.stages
        # a race may be over before it has had all of its trials
        raced = bool(stages) and stages[-1].races and len(self.rounds) == len(stages)
        return over and (raced or len(self.trials) == self.setup.trials)

    @property
    def counts(self) -> Counts:
        """The trials by what became of them; whatever tells of them prints this."""
        asked = len(self.trials) if self.finished else self.setup.trials
        return counts_of(self.trials, asked)

    @functools.cached_property
    def standing(self) -> np.ndarray:
        """``[n]`` a number per trial to rank by: higher is better, NaN has failed.

        These are oriented scores, or ranks if trials trained for different numbers of
        epochs, violate a limit, or have several goals. A repeat of another trial has
        NaN; trials that were measured again, see `confirmed`, rank before the others,
        by what was measured then.
        """
        own, columns = self._own_standing, self.trials.columns
        if REPEAT_OF not in columns:
            return own
        own = np.where(columns[REPEAT_OF] < 0, own, np.nan)
        return ranked_by(self.confirmed, own) if self._confirmed_now else own

    @functools.cached_property
    def _own_standing(self) -> np.ndarray:
        """The standing of each row by itself, whether or not it repeats another."""
        scores = ranking.orient(self.trials["score"], self.setup.mode)
        limits, goals = self.setup.constraints.limits, self.setup.goals
        columns = self.trials.columns
        return aimed_standing(scores, self.trials.stage, columns, limits, goals)

    @property
    def confirming_rounds(self) -> tuple[int, ...]:
        """Numbers of the rounds that measured the best again, and searched nothing."""
        repeats = self.trials.columns.get(REPEAT_OF)
        if repeats is None:
            return ()
        return tuple(np.unique(self.trials["round"][repeats >= 0]).tolist())

    @property
    def _confirmed_now(self) -> bool:
        """True if the search ends with a round of repeats, and that is over."""
        repeats = self.trials.columns.get(REPEAT_OF, np.full(1, -1))
        return bool(repeats[-1] >= 0) and self.rounds[-1].over

    @functools.cached_property
    def confirmed(self) -> Confirmed:
        """The configurations that were measured again, and which is likely the best.

        >>> import jax, jaxtune as jt
        >>> def objective(key, hparams):
        ...     return (hparams["x"] - 0.3) ** 2 + 0.01 * jax.random.normal(key)
        >>> space = jt.Space(x=jt.uniform(0.0, 1.0))
        >>> arguments = dict(key=jax.random.key(0), trials=40, mode="min", verbose=0)
        >>> result = jt.search(objective, space, confirm=3, **arguments)
        >>> result.confirmed.measurements.tolist()
        [3, 3, 3]
        >>> int(result.confirmed.trial[0]) == result.best.trial
        True

        Raises:
          ValueError: a search without ``confirm=`` and without a race, or one whose
            last round, which measures again, is not over.
        """
        if REPEAT_OF not in self.trials.columns:
            raise ValueError(
                "confirmed: this search measured nothing again. Use "
                "jaxtune.search(..., confirm=5), or scheduler=schedulers.race()."
            )
        if not self._confirmed_now:
            raise ValueError(
                "confirmed: the round that measures the best again is not over. Finish "
                "the search."
            )
        columns, limits = self.trials.columns, self.setup.constraints.limits
        mode, each = self.setup.mode, self.trials.scores
        last = self.setup.given.stages[-1]
        if last.races:  # what was measured before had a part in the choice
            here = columns["round"] == len(self.rounds) - 1
            repeats = np.where(here, columns[REPEAT_OF], -1)
            looks = seeds_at_looks(last.batches, last.confirms)
            return confirmed_of(repeats, columns, each, mode, limits, looks)
        # a run may have been extended by trials that train longer
        budgets = np.asarray([training.budget for training in self.rounds])
        alike = (budgets == budgets[-1])[columns["round"]]
        repeats = np.where(alike, columns[REPEAT_OF], -1)
        return confirmed_of(repeats, columns, each, mode, limits)

    @property
    def study(self) -> Study:
        """The findings of a study, also of one that is not finished.

        See `jaxtune.study`.

        Raises:
          ValueError: a search that compares no values.
        """
        # imported when called: report imports results
        from jaxtune.report._study import Study

        return Study(self)

    @property
    def compared(self) -> tuple[str, ...]:
        """Names of the hyperparameters that a study compares; empty in other searches.

        Trials one after another have the same other hyperparameters and random numbers.
        """
        stages = self.setup.given.stages
        return next((stage.compares for stage in stages if stage.compares), ())

    @property
    def best(self) -> Best:
        """The trial with the best mean score; ties go to the smaller id.

        With ``confirm=`` it is the one with the best mean of its repeats, and after a
        race the winner, see `confirmed`.
        Under a scheduler it is one of those that trained longest: scores of trials that
        were stopped early do not compare. With constraints it meets them, or it is the
        one that violates them least if none does, see `feasible`. With several goals
        it is the trial of the `front` with the best score.

        Raises:
          ValueError: every trial failed.
        """
        standing = self.standing
        if not np.isfinite(standing).any():
            every = counted(len(self.trials), "trial")
            raise ValueError(
                f"all {every} failed, so none is best. See result.trials; "
                f"{self._way_out}."
            )
        # a stable order, so that ties go to the smaller id on every machine
        trial = int(ranking.order(standing)[0])
        if self.front:
            column = ranking.orient(self.trials["score"], self.setup.mode)
            trial = max(self.front, key=lambda row: (column[row], -row))
        score, scores = self.trials["score"][trial], self.trials.scores[trial]
        if self._measured_again(trial):
            again = self.confirmed
            score, scores = again.mean[0], again.scores[0]
        hparams = self.setup.space.values(self.trials.decoded, trial)
        return Best(trial, hparams, float(score), tuple(map(float, scores)))

    @property
    def folds(self) -> FoldScores:
        """The scores of each trial by fold and seed, and the rows of the folds.

        Raises:
          ValueError: a search without folds.
        """
        if self.setup.folds is None:
            raise ValueError("folds: the search had none. Use search(..., folds=5).")
        scores = by_fold(self.trials.scores, self.setup.folds)
        return FoldScores(scores, rows_of_folds(self.setup.workload.task))

    @property
    def feasible(self) -> np.ndarray:
        """``[n]`` bool: trials that did not fail and are within all constraints."""
        limits, count = self.setup.constraints.limits, len(self.trials)
        within = violation(limits, self.trials.columns, count) == 0
        return within & np.isfinite(self._own_standing)

    @functools.cached_property
    def front(self) -> tuple[int, ...]:
        """Ids of the trials that no other one dominates, ascending.

        They are feasible, and as long trained as any that is. One trial dominates
        another if it is at least as good in every goal and better in one. Empty for a
        search without ``goals=``, and where no trial is feasible.
        """
        goals, rows = self.setup.goals, np.flatnonzero(self.feasible)
        if not goals or not rows.size:
            return ()
        stage = self.trials.stage[rows]
        rows = rows[stage == stage.max()]
        values = oriented(goals, self.trials.columns)[rows]
        return tuple(rows[dominance_ranks(values) == 0].tolist())

    @guarded(reference=optional(either(MAPPING, REFERENCE)))
    def hypervolume(
        self, reference: Mapping[str, float] | Sequence[float] | None = None
    ) -> float:
        """Return the volume that the front covers, between it and a reference.

        It is in the product of the goals' units, and larger is better. Two searches
        compare only with one and the same reference.

        Args:
          reference: a value for each goal, by name or in the order of the goals, no
            better than the worst that is of interest. If not given, the worst of each
            goal among all feasible trials.

        Raises:
          ValueError: a search without several goals, or a reference of other goals.
        """
        goals = self.setup.goals
        if not goals:
            raise ValueError(
                'hypervolume: the search has one goal. Use goals=["accuracy", '
                '"parameters"], or result.best.'
            )
        values = oriented(goals, self.trials.columns)
        if reference is None:
            here = values[self.feasible]
            return volume(values[list(self.front)], here.min(0)) if len(here) else 0.0
        signs = [ranking.direction(goal.mode) for goal in goals]
        return volume(values[list(self.front)], signs * _reference(goals, reference))

    @property
    def rungs(self) -> Rungs:
        """Scores at the rungs, each seed's, as the task measures them.

        A trial that failed on the way to a rung has a row too. There are no rows where
        all trials trained in full.
        """
        parts = zip(*[training.rungs for training in self.rounds], strict=True)
        return Rungs(*map(np.concatenate, parts))

    @property
    def lineage(self) -> Lineage:
        """The states that trials took over, under population based training."""
        parts = [training.lineage for training in self.rounds]
        return concatenate_lineages(parts)

    @property
    def history(self) -> dict[str, np.ndarray]:
        """Every metric after every epoch, name to ``[n, s, epochs]``.

        NaN where a trial has not been, or had failed. A trial that took over another's
        state has its past. Needs ``jaxtune.search(..., history=True)``.

        Raises:
          ValueError: a search that did not keep it.
        """
        if not self.setup.workload.scoring.history:
            raise ValueError(
                "history: this search kept none. Use jaxtune.search(..., history=True)."
            )
        parts = [training.outcome.history for training in self.rounds]
        names = dict.fromkeys(name for part in parts for name in part)
        # a run may have been extended by trials that trained longer
        epochs = max(training.budget for training in self.rounds)
        return {
            # a round that is not over has none, nor one of which every block crashed
            name: self._by_round([part.get(name) for part in parts], epochs)
            for name in names
        }

    @property
    def best_epochs(self) -> np.ndarray:
        """``[n, s]`` the epoch of which each training has its score; 0 if it has none.

        With ``score="best"`` the best epoch, otherwise the last one.
        """
        if self.setup.workload.scoring.score != BEST:
            scored = np.isfinite(self.trials.scores)
            return np.where(scored, self.trials.epochs[:, None], 0).astype(np.int32)
        parts = [one.outcome.metrics.get(BEST_EPOCH) for one in self.rounds]
        return np.nan_to_num(self._by_round(parts)).astype(np.int32)

    @property
    def predictions(self) -> np.ndarray:
        """Outputs ``[n, s, N, ...]`` of every training for the validation split.

        NaN for one that failed, or that a scheduler stopped before its end. Needs
        ``jaxtune.search(..., keep="predictions")``.

        Raises:
          ValueError: a search that did not keep them.
        """
        if self.setup.workload.keep is None:
            raise ValueError(
                "predictions: this search kept none. Use jaxtune.search(..., "
                "keep='predictions')."
            )
        parts = [one.outcome.predictions.get("outputs") for one in self.rounds]
        shapes = [part.shape[2:] for part in parts if part is not None]
        return self._by_round(parts, *(shapes[0] if shapes else ()))

    @guarded(trial=A_TRIAL)
    def model_epochs(self, trial: int) -> np.ndarray:
        """Return the epoch ``[s]`` of the model of each seed; 0 for one that failed.

        It is that of its score. With folds, whose best epochs differ, it is their mean:
        the model is trained on all rows, where none is left to choose an epoch by.

        Args:
          trial: its id.
        """
        self.trials.check_id(trial)
        epochs, folds = self.best_epochs[trial], self.setup.folds
        if folds is None:
            return epochs
        of_seed = epochs.reshape(-1, folds)
        whole = np.maximum(1, np.round(of_seed.mean(axis=1))).astype(np.int32)
        return np.where((of_seed > 0).all(axis=1), whole, 0)

    def _by_round(self, parts: list[np.ndarray | None], *more: int) -> np.ndarray:
        """Return ``[n, s, ...]`` from the parts of the rounds; NaN for ``None``."""
        seeds = self.trials.scores.shape[1]
        rows = []
        for one, part in zip(self.rounds, parts, strict=True):
            shape = (len(one.outcome.epochs), seeds, *more)
            whole = np.full(shape, np.nan, np.float32)
            if part is not None:
                whole[..., : part.shape[-1]] = part
            rows.append(whole)
        return np.concatenate(rows)

    @property
    def cost(self) -> Cost:
        """The work of the search, and the part that stopping saved; 0 for functions."""
        spent = [training.outcome.spent for training in self.rounds]
        live = sum(part.live for part in spent)
        computed = sum(part.computed for part in spent)
        # nothing is computed before the first block
        occupancy = live / computed if computed else 1.0
        if not self.setup.workload.trains:
            return Cost(0, 0, occupancy, self.seconds)
        # in a round that is open, what was not trained is still to come
        saved = sum(
            part.outcome.status.size * part.budget - part.outcome.spent.live
            for part in self.rounds
            if part.over
        )
        return Cost(live, saved, occupancy, self.seconds)

    @property
    def ended_early(self) -> np.ndarray:
        """``[n]`` bool: trials that a scheduler stopped before the end."""
        whole = [np.full(len(t.outcome.epochs), t.budget) for t in self.rounds]
        short = self.trials.epochs < np.concatenate(whole)
        return short & ~self.trials.failed & self.trials.done

    @property
    def divergence(self) -> Divergence:
        """Number of failed trials, and the part of the space where they are."""
        return locate_failures(self.setup.space, self.trials)

    @property
    def width_overrides(self) -> WidthOverrides:
        """Blocks of another width than planned, because the planned did not fit."""
        parts = [training.outcome.width_overrides for training in self.rounds]
        return WidthOverrides(*map(np.concatenate, zip(*parts, strict=True)))

    @property
    def devices(self) -> dict[str, np.ndarray]:
        """Kind of device to the trials that trained on it, ascending.

        Last bits depend on the kind: with more than one, `rerun` repeats a trial only
        on the kind that trained it.
        """
        # ids grow from round to round, so the parts are in order
        parts: dict[str, list[np.ndarray]] = {}
        for training in self.rounds:
            for kind, trials in training.outcome.devices.items():
                parts.setdefault(kind, []).append(trials)
        return {kind: np.concatenate(trials) for kind, trials in parts.items()}

    @guarded(trial=A_TRIAL)
    def trajectory(self, trial: int) -> list[TrajectorySegment]:
        """Return the segments of a trial: several if it took over states.

        Args:
          trial: its id.

        Returns:
          Segments in order, each with its trial, last epoch and hyperparameters.

        Raises:
          IndexError: no such trial.
        """
        row = self.trials.row(trial)
        # states are taken over within a round only, so one round's lineage is enough
        hparams = {name: v[trial] for name, v in self.trials.decoded.items()}
        lineage = self.rounds[row["round"]].lineage
        epochs = int(self.trials.epochs[trial])
        return trajectory_of(lineage, TrajectorySegment(trial, epochs, hparams))

    @guarded(trial=optional(A_TRIAL), seed=whole(0))
    def key(self, trial: int | None = None, *, seed: int = 0) -> Key:
        """Return the key that a training began with, for a loop of your own.

        >>> import jax, jaxtune as jt
        >>> def objective(key, hparams):
        ...     return hparams["x"] + jax.random.normal(key)
        >>> space = jt.Space(x=jt.uniform(0.0, 1.0))
        >>> arguments = dict(key=jax.random.key(0), trials=4, mode="min", verbose=0)
        >>> result = jt.search(objective, space, **arguments)
        >>> bool(objective(result.key(), result.best.hparams) == result.best.score)
        True

        Args:
          trial: its id; the best one if not given.
          seed: which of the trial's trainings, from 0.

        Returns:
          What a plain function gets as its key, and ``init`` of a task or of a model:
          the weights of a Linen module are those of ``module.init(key, x)``. Trials
          that measure the best ones again have keys of their own, and trials that a
          study compares share one. A trial of population based training that took over
          states has the key of the trial whose weights it got first.

        Raises:
          IndexError: no such trial.
        """
        trial = self.best.trial if trial is None else trial
        workload = self.setup.workload
        began = self.trajectory(trial)[0].trial  # refuses a trial that is not there
        draws = began // workload.shared
        lane = lane_key(workload.key, jnp.uint32(draws), jnp.uint32(seed))
        return jax.random.fold_in(lane, INIT) if workload.trains else lane

    def test(self) -> dict[str, float]:
        """Train the best trial again and judge it on the test split, once.

        The training is the recorded one, bit for bit: it depends on the key and the
        trial. The test split is looked at on the first call only. After a search with
        folds the trial trains on all rows of ``train``, once with each seed.

        Returns:
          Metric name to its mean over the trial's seeds.

        Raises:
          ValueError: a plain function, or a task without a test split.
        """
        if not self._tested:
            self._tested.update(self._evaluate_best("test"))
        return dict(self._tested)

    def _evaluate_best(self, split: str) -> dict[str, float]:
        if not self.setup.workload.trains:
            raise ValueError("test: a plain function has no test split.")
        self.setup.check_task("test")
        if getattr(self.setup.workload.task, split) is None:
            raise ValueError("test: the task has no test split. Give it test=(x, y).")
        seeds = np.arange(self.setup.seeds)
        workload, trial = self.setup.workload._replace(split=split), self.best.trial
        overrides: WidthOverrides | None = self.width_overrides
        if self.setup.folds is not None:
            # a training that the search did not make has no recorded widths
            workload, overrides = workload.on_all_rows, None
        metrics = judge(
            workload,
            self.setup.space,
            self.trajectory(trial),
            seeds,
            overrides,
            best=self.model_epochs(trial),
        )
        return {name: float(values.mean()) for name, values in metrics.items()}

    def train(
        self,
        trial: int | None = None,
        *,
        seed: int = 0,
        epochs: int | None = None,
        data: str = "train",
    ) -> TrainedModel:
        """Train a trial again, and return its model.

        With no more than a trial and a seed it is the model that the search trained, to
        the bit.

        >>> import jax, jaxtune as jt, numpy as np
        >>> x = np.random.default_rng(0).normal(size=(96, 4)).astype(np.float32)
        >>> y = np.where(x[:, 0] > 0, "yes", "no")
        >>> task = jt.classification(
        ...     jt.models.MLP(classes=2, max_units=8),
        ...     train=(x[:64], y[:64]),
        ...     valid=(x[64:], y[64:]),
        ...     batch_size=16,
        ... )
        >>> space = jt.Space(learning_rate=jt.log_uniform(1e-2, 1.0))
        >>> arguments = dict(trials=4, epochs=4, verbose=0)
        >>> result = jt.search(task, space, key=jax.random.key(0), **arguments)
        >>> model = result.train()
        >>> model.metrics["accuracy"] == result.best.score
        True
        >>> model.predict(x[:1]).tolist() == [y[0]]
        True

        Args:
          trial: its id; the best one if not given.
          seed: which of the trial's trainings, from 0; a number that the search did not
            use gives a training of the same setting with other random numbers.
          epochs: as many as in the search if not given.
          data: ``"train"``, or ``"train+valid"`` for both splits together. After a
            search with folds ``"train"`` is all its rows, and not those of one fold.

        Returns:
          Parameters without padding, with `TrainedModel.predict` and
          `TrainedModel.save`.

        Raises:
          IndexError: no such trial.
          ValueError: a plain function, a trial that was not trained, or one that
            diverges.
        """
        # imported when called, as the report is
        from jaxtune.trained import again

        return again.train_trial(self, trial, seed=seed, epochs=epochs, data=data)

    def ensemble(self, top: int = 20, *, size: int = 50) -> Ensemble:
        """Choose an ensemble of the best trials by their validation predictions.

        The candidates, all seeds of the best trials, are trained in the same blocks, as
        the search trained them. Then members are added one at a time, each the one that
        makes the score of the mean prediction best; one that is added again weighs more
        (Caruana et al., 2004).

        >>> import jax, jaxtune as jt, numpy as np
        >>> x = np.random.default_rng(0).normal(size=(96, 4)).astype(np.float32)
        >>> y = (x[:, 0] > 0).astype(int)
        >>> task = jt.classification(
        ...     jt.models.MLP(classes=2, max_units=8),
        ...     train=(x[:48], y[:48]),
        ...     valid=(x[48:], y[48:]),
        ...     batch_size=16,
        ... )
        >>> space = jt.Space(learning_rate=jt.log_uniform(1e-2, 1.0))
        >>> arguments = dict(trials=8, epochs=4, metric="loss", verbose=0)
        >>> result = jt.search(task, space, key=jax.random.key(0), **arguments)
        >>> ensemble = result.ensemble(top=4)
        >>> ensemble.score <= ensemble.single
        True
        >>> (ensemble.predict(x[:3]) == y[:3]).tolist()
        [True, True, True]

        Args:
          top: trials that are candidates, the best ones.
          size: additions at most; the shares of the members are multiples of one over
            their number.

        Returns:
          Members, weights and scores, with `Ensemble.predict`, `Ensemble.test` and
          `Ensemble.save`.

        Raises:
          ValueError: a task that is not from `classification` or `regression`, or no
            trial with a score.
        """
        # imported when called, as the report is
        from jaxtune.trained import ensembling

        return ensembling.make_ensemble(self, top=top, size=size)

    def out_of_fold(self, trial: int | None = None, *, seed: int = 0) -> PyTree:
        """Train the folds of a trial again, and return what each predicts for its rows.

        So every row has the outputs of a model that has not seen it. The trainings are
        the recorded ones, bit for bit.

        >>> import jax, jaxtune as jt, numpy as np
        >>> x = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
        >>> y = (x[:, 0] > 0).astype(int)
        >>> task = jt.classification(
        ...     jt.models.MLP(classes=2, max_units=8), train=(x, y), batch_size=16
        ... )
        >>> space = jt.Space(learning_rate=jt.log_uniform(1e-2, 1.0))
        >>> arguments = dict(trials=4, epochs=4, folds=3, verbose=0)
        >>> result = jt.search(task, space, key=jax.random.key(0), **arguments)
        >>> right = result.out_of_fold().argmax(1) == y
        >>> round(float(right.mean()), 6) == round(result.best.score, 6)
        True

        Args:
          trial: its id; the best one if not given.
          seed: which of its seeds.

        Returns:
          Outputs as the model returns them, first axis ``N``, in the order of
          ``train``: their mean for a row that several folds hold out, and NaN, with a
          warning, for one that none does.

        Raises:
          IndexError: no such trial.
          ValueError: a search without folds, a seed that it did not use, a task that
            cannot predict, or a trial that diverges.
        """
        # imported when called, as the report is
        from jaxtune.trained import out_of_fold

        return out_of_fold.outputs_by_row(self, trial, seed)

    @guarded(path=PATH)
    def report(self, path: str | Path) -> Path:
        """Write one self-contained page: answer, picture, boxes, trials.

        Args:
          path: where; its folder must exist.

        Returns:
          The path.
        """
        # imported when called: report imports results
        from jaxtune.report import html

        return html.write(self, Path(path))

    def _repr_html_(self) -> str:
        """Return HTML for a notebook: a summary and the best trial."""
        state = "" if self.finished else " Not finished"
        state += f" ({self.stopped})." if self.stopped else "." * bool(state)
        summary = f"{self.counts}, in {self._rounds_in_words}.{state}"
        if self.setup.constraints.limits:
            summary += f" {self._unmet()}."
        if self.setup.goals:
            summary += f" The front has {len(self.front)} trials."
        if not np.isfinite(self.standing).any():
            return f"<p>{escape(summary)}</p>"
        best, said = self.best, self.best_in_words
        summary += f" {said[0].upper()}{said[1:]}."
        if self._confirmed_now:
            summary += f" Measured again: {self.confirmed.words}."
        table = html_table(("hyperparameter", "best"), list(best.hparams.items()))
        # the name of a metric is the user's text
        return f"<p>{escape(summary)}</p>\n{table}"

    @property
    def best_in_words(self) -> str:
        """The best score as a phrase; empty as long as there is none."""
        if not np.isfinite(self.standing).any():
            return ""
        best = self.best
        again = " (measured again)" if self._measured_again(best.trial) else ""
        score = f"{best.score:.6g}{self._told_spread}{again}"
        return f"best {self.setup.metric} {score}, trial {best.trial}"

    def _measured_again(self, trial: int) -> bool:
        """Return whether the score of a trial is that of its repeats."""
        return self._confirmed_now and trial in self.confirmed.trial

    @property
    def _rounds_in_words(self) -> str:
        """The number of rounds that searched, and of those that measured again."""
        again = len(self.confirming_rounds)
        number = len(self.spaces) - again
        shown = f"{number} round" + "s" * (number != 1)
        return shown + f" and {again} that measured again" * bool(again)

    @property
    def _way_out(self) -> str:
        """The advice for a search in which all trials failed."""
        if self.setup.workload.trains and "learning_rate" in self.setup.space.searched:
            return "search lower learning rates"
        return "search other ranges"

    def _unmet(self) -> str:
        """Return a sentence if trials violate limits; empty if none does."""
        limits = self.setup.constraints.limits
        if not limits:
            return ""
        shown = " and ".join(map(str, limits))
        count = int(self.feasible.sum())
        least = "" if count else "; the best one violates least"
        return f"{count} of {counted(len(self.trials), 'trial')} have {shown}{least}"

    @property
    def _told_spread(self) -> str:
        """The spread of the best trial over folds, in words."""
        if (self.setup.folds or 1) == 1:
            return ""
        spread = float(self.folds.spread[self.best.trial])
        return f" ± {spread:.2g} over {self.setup.folds} folds"

    def __repr__(self) -> str:
        lines = [
            f"Result({counted(len(self.trials), 'trial')}, {self._rounds_in_words}"
        ]
        lines += [f"  {self.counts}"]
        if said := self.best_in_words:
            lines += [f"  {said}"]
            shown = ", ".join(f"{k}={v!r}" for k, v in self.best.hparams.items())
            lines += [f"  {shown}"]
        if self._confirmed_now:
            lines += [f"  {self.confirmed.words}"]
        if self.setup.constraints.limits:
            lines += [f"  {self._unmet()}"]
        if self.setup.goals:
            named = ", ".join(f"{goal.name} ({goal.mode})" for goal in self.setup.goals)
            lines += [f"  {len(self.front)} trials in the front of {named}"]
        stopped = int(self.ended_early.sum())
        if stopped or self.cost.saved:
            cost = self.cost
            lines += [
                f"  {stopped} ended early: {cost.in_words}, "
                f"{cost.occupancy:.0%} of the lanes' time used"
            ]
        if not self.finished:
            lines += [f"  not finished{f': {self.stopped}' if self.stopped else ''}"]
        return "\n".join(lines) + ")"


def _reference(
    goals: Sequence[Goal], given: Mapping[str, float] | Sequence[float]
) -> np.ndarray:
    """Return a reference ``[m]`` in the users' units, in the order of the goals."""
    names = [goal.name for goal in goals]
    if isinstance(given, Mapping):
        if set(given) != set(names):
            raise ValueError(
                f"hypervolume: the reference has {', '.join(map(str, given))}, and the "
                f"goals are {', '.join(names)}. Give a value for each."
            )
        given = [given[name] for name in names]
    values = np.asarray(given, np.float64)
    if values.shape != (len(names),) or not np.isfinite(values).all():
        raise ValueError(
            f"hypervolume: the reference is {given!r}. Give a finite number for each "
            f"of {', '.join(names)}."
        )
    return values


A_RESULT = an("a Result", Result, "Use what jaxtune.search or jaxtune.load returns.")
