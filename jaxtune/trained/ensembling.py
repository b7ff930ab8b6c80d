"""Ensembles from a result: candidates, their votes, and the members trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune import ranking
from jaxtune.checks import is_whole
from jaxtune.planning.scoring import BEST, Scoring
from jaxtune.planning.workload import Workload
from jaxtune.programs import block as block_program
from jaxtune.programs.block import Static
from jaxtune.results.result import Result
from jaxtune.tasks import Task
from jaxtune.tasks.measuring import Measures, metrics_of_outputs
from jaxtune.tasks.networks import Predict
from jaxtune.trained.again import scored_epoch, task_functions
from jaxtune.trained.ensemble import Ensemble, EnsembleMember, Stack, by_weight
from jaxtune.trained.out_of_fold import outputs_by_row
from jaxtune.trained.selection import Selection, select, votes_of
from jaxtune.trained.setting import Setting
from jaxtune.training.retraining import retrain_lanes, retrain_together
from jaxtune.training.round_state import TrainedLanes
from jaxtune.training.trajectory import TrajectorySegment, trajectory_until
from jaxtune.types import Array


class EnsembleChoice(NamedTuple):
    """The choice of an ensemble, before its members are trained.

    Args:
      candidates: all of them, of which most weigh nothing; better trials first.
      selection: what was added, and the scores.
      lanes: of the candidates, trial by trial, if they were trained for the choice.
    """

    candidates: list[EnsembleMember]
    selection: Selection
    lanes: list[TrainedLanes] | None

    @property
    def members(self) -> tuple[EnsembleMember, ...]:
        """The candidates that have a weight, the largest first."""
        ordered = [self.candidates[at] for at in by_weight(self.candidates)]
        return tuple(one for one in ordered if one.weight)

    def single(self, mode: str) -> float:
        """Return the best score of a candidate alone."""
        scores = np.asarray([one.score for one in self.candidates])
        return float(scores[ranking.order(ranking.orient(scores, mode))[0]])


def make_ensemble(result: Result, *, top: int, size: int) -> Ensemble:
    """Choose and train an ensemble; see `Result.ensemble`."""
    choice, setup = choose(result, top, size), result.setup
    lanes = choice.lanes
    if lanes is None:
        lanes = _trained(result, list(dict.fromkeys(m.trial for m in choice.members)))
    return Ensemble(
        members=choice.members,
        metric=setup.metric,
        split="valid" if setup.folds is None else "folds",
        score=choice.selection.score,
        single=choice.single(setup.mode),
        candidates=len(choice.candidates),
        tested={},
        stacks=_stacks(setup.workload.task, lanes, choice.members),
        functions=task_functions(setup.workload.task),
        judge=partial(_judged, result),
    )


def choose(result: Result, top: int, size: int) -> EnsembleChoice:
    """Choose an ensemble; candidates are trained if no predictions were kept.

    Args:
      result: of a search.
      top: trials that are candidates, the best ones.
      size: additions at most.

    Raises:
      ValueError: a search that has no ensembles.
    """
    measures = _check(result, top, size)
    task, setup = result.setup.workload.task, result.setup
    split = task.valid if setup.folds is None else task.train
    lanes: list[TrainedLanes] | None = None
    if setup.workload.keep is not None:
        trials = _with_predictions(result, top)
        votes = _kept_votes(result, measures, trials)
    elif setup.folds is not None:
        trials = _best_trials(result, top)
        parts = [_votes_out_of_fold(result, measures, trial) for trial in trials]
        votes = jnp.concatenate(parts)
    else:
        trials = _best_trials(result, top)
        lanes = _trained(result, trials)
        votes = _votes(task, measures, lanes)
    chosen = select(measures, votes, split, setup.metric, setup.mode, size)
    return EnsembleChoice(_members(result, trials, chosen), chosen, lanes)


def _check(result: Result, top: Any, size: Any) -> Measures:
    """Return the metrics of the task; ``ValueError`` for one that has no ensembles."""
    setup = result.setup
    if not setup.workload.trains:
        raise ValueError("ensemble: a plain function has no model.")
    setup.check_task("ensemble")
    for name, value in (("top", top), ("size", size)):
        if not is_whole(value, 1):
            raise ValueError(f"ensemble: {name}={value!r}. Use a whole number from 1.")
    predict = setup.workload.task.predict
    if not isinstance(predict, Predict):
        raise ValueError(
            "ensemble: the task has functions of your own, so that it is not known how "
            "to average and score its outputs. Use a task from jaxtune.classification "
            "or jaxtune.regression."
        )
    return predict.measures


def _best_trials(result: Result, top: int) -> list[int]:
    """Return the best trials, best first, none that failed or was not trained."""
    standing = np.where(result.trials.epochs > 0, result.standing, np.nan)
    best = ranking.order(standing)[: min(top, int(np.isfinite(standing).sum()))]
    if not best.size:
        raise ValueError("ensemble: no trial has a score. See result.trials.")
    return [int(trial) for trial in best]


def _trained(result: Result, trials: list[int]) -> list[TrainedLanes]:
    """Return the lanes of all seeds of each trial, as the search trained them."""
    seeds = np.arange(result.setup.seeds)
    paths = {trial: result.trajectory(trial) for trial in trials}
    overrides = result.width_overrides
    # one with states of others, or of blocks that did not fit, has a way of its own
    whole = result.setup.folds is not None  # trained on all rows, not as recorded
    plain = [
        t for t in trials if len(paths[t]) == 1 and (whole or t not in overrides.trial)
    ]
    parts: dict[int, list[TrainedLanes]] = {trial: [] for trial in trials}
    # seeds whose models are of one epoch train together
    by_seed = result.setup.workload.scoring.score == BEST
    for some in seeds[:, None] if by_seed else [seeds]:
        if plain:
            for trial, lanes in _together(result, plain, paths, some).items():
                parts[trial].append(lanes)
        for trial in set(trials) - set(plain):
            parts[trial] += [_alone(result, paths[trial], int(seed)) for seed in some]
    return [_joined(parts[trial]) for trial in trials]


def _together(
    result: Result,
    trials: list[int],
    paths: Mapping[int, Sequence[TrajectorySegment]],
    seeds: np.ndarray,
) -> dict[int, TrainedLanes]:
    """Return the lanes of trials with one setting each."""
    workload = _workload(result)
    last = [
        paths[trial][0]._replace(
            epochs=scored_epoch(result, paths[trial], int(seeds[0]))
        )
        for trial in trials
    ]
    state = retrain_together(workload, result.setup.space, last, seeds)
    return {trial: state.trained(row) for row, trial in enumerate(trials)}


def _alone(
    result: Result, path: Sequence[TrajectorySegment], seed: int
) -> TrainedLanes:
    """Return the lane of a trial that is trained again by itself."""
    workload, space = _workload(result), result.setup.space
    until = trajectory_until(path, scored_epoch(result, path, seed))
    overrides = result.width_overrides if result.setup.folds is None else None
    _, lanes = retrain_lanes(workload, space, until, np.asarray([seed]), overrides)
    assert lanes is not None, "a trial with a score has not diverged"
    return lanes[0]


def _workload(result: Result) -> Workload:
    """Return the workload of the members: with folds, on all rows."""
    workload = result.setup.workload._replace(scoring=Scoring())
    return workload if result.setup.folds is None else workload.on_all_rows


def _joined(parts: Sequence[TrainedLanes]) -> TrainedLanes:
    """Return lanes of one program as one."""
    blocks, states = [part.block for part in parts], [part.state for part in parts]
    return TrainedLanes(
        jax.tree.map(lambda *a: np.concatenate(a), *blocks),
        parts[0].static,
        jax.tree.map(lambda *a: jnp.concatenate(a), *states),
    )


def _votes(task: Task, measures: Measures, candidates: Sequence[TrainedLanes]) -> Array:
    """Return the votes ``[m, N, ...]`` of lanes on the validation split."""
    parts = [
        jax.vmap(partial(votes_of, measures))(
            block_program.predict(task, one.block, one.state, "valid", one.static)
        )
        for one in candidates
    ]
    return jnp.concatenate(parts)


def _with_predictions(result: Result, top: int) -> list[int]:
    """Return the best trials of which the search kept predictions, best first."""
    whole = result.predictions.reshape(len(result.trials), -1)
    best = [
        trial
        for trial in _best_trials(result, len(result.trials))
        if np.isfinite(whole[trial]).all()
    ]
    if not best:
        raise ValueError("ensemble: no trial has trained in full. See result.trials.")
    return best[:top]


def _kept_votes(result: Result, measures: Measures, trials: Sequence[int]) -> Array:
    """Return the votes ``[m, N, ...]`` of all seeds of trials, as they were kept."""
    outputs = result.predictions[np.asarray(trials)]
    lanes = jnp.asarray(outputs.reshape(-1, *outputs.shape[2:]))
    return jax.vmap(partial(votes_of, measures))(lanes)


def _votes_out_of_fold(result: Result, measures: Measures, trial: int) -> Array:
    """Return the votes ``[s, N, ...]`` of a trial for the rows that each fold left."""
    votes = [
        votes_of(measures, outputs_by_row(result, trial, seed))
        for seed in range(result.setup.seeds)
    ]
    if not all(jnp.isfinite(each).all() for each in votes):
        raise ValueError(
            "ensemble: some rows are held out by no fold, so that nothing is known of "
            "them. Use folds that hold out every row."
        )
    return jnp.stack(votes)


def _members(
    result: Result, trials: Sequence[int], chosen: Selection
) -> list[EnsembleMember]:
    """Return all candidates as members, of which most weigh nothing."""
    named = [(trial, seed) for trial in trials for seed in range(result.setup.seeds)]
    # with folds, a mean over folds is not the score of all their rows together
    scores = chosen.alone.reshape(-1, result.setup.seeds)
    if result.setup.folds is None:
        scores = result.trials.scores[np.asarray(trials)]
    return [
        EnsembleMember(
            trial=trial,
            seed=seed,
            weight=float(count / chosen.counts.sum()),
            score=float(scores[trials.index(trial), seed]),
            hparams=result.setup.space.values(result.trials.decoded, trial),
        )
        for (trial, seed), count in zip(named, chosen.counts, strict=True)
    ]


def _stacks(
    task: Task, candidates: Sequence[TrainedLanes], members: Sequence[EnsembleMember]
) -> tuple[Stack, ...]:
    """Return the arrays of the members, side by side for each program.

    Args:
      task: of the lanes.
      candidates: lanes of trials, those of all members among them.
      members: that are wanted.
    """
    wanted = {(member.trial, member.seed): at for at, member in enumerate(members)}
    found: dict[Static, list[tuple[int, Any]]] = {}
    for lanes in candidates:
        names = zip(
            map(int, lanes.block.trial), map(int, lanes.block.seed), strict=True
        )
        rows = {row: wanted[n] for row, n in enumerate(names) if n in wanted}
        if not rows:
            continue
        arrays = block_program.evaluated(task, lanes.block, lanes.state, lanes.static)
        traced = {n: np.asarray(v) for n, v in lanes.block.hparams.items()}
        for row, place in rows.items():
            one = jax.tree.map(lambda a, row=row: a[row], (traced, *arrays))
            found.setdefault(lanes.static, []).append((place, one))
    stacks = []
    for static, placed in found.items():
        alike = [one for _, one in placed]
        traced = {n: np.stack([one[0][n] for one in alike]) for n in alike[0][0]}
        params, state = jax.tree.map(lambda *a: jnp.stack(a), *[a[1:] for a in alike])
        places = np.asarray([place for place, _ in placed])
        stacks.append(Stack(Setting(static, traced), params, state, places))
    return tuple(stacks)


def _judged(result: Result, ensemble: Ensemble) -> dict[str, dict[str, float]]:
    """Return metrics on the test split: of the ensemble, and of the best trial."""
    alone = result.test()
    task = result.setup.workload.task
    predict = task.predict
    assert isinstance(predict, Predict), "checked before the ensemble was made"
    outputs = ensemble.apply(task.test["x"])
    found = metrics_of_outputs(predict.measures, outputs, task.test)
    return {
        "ensemble": {name: float(value) for name, value in found.items()},
        "best": alone,
    }
