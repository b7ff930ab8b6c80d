"""Ensembles from a result: candidates, their votes, and the members trained."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune import ranking
from jaxtune.checks import is_whole
from jaxtune.programs import block as block_program
from jaxtune.programs.block import Static
from jaxtune.results.result import Result
from jaxtune.tasks import Task
from jaxtune.tasks.measuring import Measures, metrics_of_outputs
from jaxtune.tasks.networks import Predict
from jaxtune.trained.again import task_functions
from jaxtune.trained.ensemble import Ensemble, EnsembleMember, Stack, by_weight
from jaxtune.trained.selection import Selection, select, votes_of
from jaxtune.trained.setting import Setting
from jaxtune.training.retraining import retrain_lane, retrain_together
from jaxtune.training.round_state import TrainedLanes
from jaxtune.types import Array


def make_ensemble(result: Result, *, top: int, size: int) -> Ensemble:
    """Choose and train an ensemble; see `Result.ensemble`."""
    measures = _check(result, top, size)
    task, setup = result.setup.workload.task, result.setup
    candidates = _trained(result, _best_trials(result, top))
    votes = jnp.concatenate([_votes(task, measures, lanes) for lanes in candidates])
    chosen = select(measures, votes, task.valid, setup.metric, setup.mode, size)
    members = _members(result, candidates, chosen)
    kept = [at for at in by_weight(members) if members[at].weight]
    scores = np.asarray([member.score for member in members])
    return Ensemble(
        members=tuple(members[at] for at in kept),
        metric=setup.metric,
        score=chosen.score,
        single=float(scores[ranking.order(ranking.orient(scores, setup.mode))[0]]),
        candidates=len(members),
        tested={},
        stacks=_stacks(task, candidates, kept),
        functions=task_functions(task),
        judge=partial(_judged, result),
    )


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
    workload, space = result.setup.workload, result.setup.space
    seeds, overrides = np.arange(result.trials.scores.shape[1]), result.width_overrides
    paths = {trial: result.trajectory(trial) for trial in trials}
    # one with states of others, or of blocks that did not fit, has a way of its own
    plain = [
        trial
        for trial, path in paths.items()
        if len(path) == 1 and trial not in overrides.trial
    ]
    lanes: dict[int, TrainedLanes] = {}
    if plain:
        last = [paths[trial][0] for trial in plain]
        state = retrain_together(workload, space, last, seeds)
        lanes = {trial: state.trained(row) for row, trial in enumerate(plain)}
    for trial in paths.keys() - lanes.keys():
        found = [
            retrain_lane(workload, space, paths[trial], seed, overrides)[1]
            for seed in seeds.tolist()
        ]
        lanes[trial] = _joined([one for one in found if one is not None])
    return [lanes[trial] for trial in trials]


def _joined(parts: Sequence[TrainedLanes]) -> TrainedLanes:
    """Return lanes of one program as one."""
    blocks, states = [part.block for part in parts], [part.state for part in parts]
    return TrainedLanes(
        jax.tree.map(lambda *a: np.concatenate(a), *blocks),
        parts[0].static,
        jax.tree.map(lambda *a: jnp.concatenate(a), *states),
    )


def _votes(task: Task, measures: Measures, lanes: TrainedLanes) -> Array:
    """Return the votes ``[s, N, ...]`` of lanes on the validation split."""
    outputs = block_program.predict(
        task, lanes.block, lanes.state, "valid", lanes.static
    )
    return jax.vmap(partial(votes_of, measures))(outputs)


def _members(
    result: Result, candidates: Sequence[TrainedLanes], chosen: Selection
) -> list[EnsembleMember]:
    """Return all candidates as members, of which most weigh nothing."""
    named = [
        (int(trial), int(seed))
        for lanes in candidates
        for trial, seed in zip(lanes.block.trial, lanes.block.seed, strict=True)
    ]
    return [
        EnsembleMember(
            trial=trial,
            seed=seed,
            weight=float(count / chosen.counts.sum()),
            score=float(result.trials.scores[trial, seed]),
            hparams=result.setup.space.values(result.trials.decoded, trial),
        )
        for (trial, seed), count in zip(named, chosen.counts, strict=True)
    ]


def _stacks(
    task: Task, candidates: Sequence[TrainedLanes], kept: Sequence[int]
) -> tuple[Stack, ...]:
    """Return the arrays of the members, side by side for each program.

    Args:
      task: of the lanes.
      candidates: lanes of each trial.
      kept: numbers of the lanes that are members, counted over all candidates.
    """
    rows = [
        (lanes, row) for lanes in candidates for row in range(len(lanes.block.seed))
    ]
    found: dict[Static, list[tuple[int, Any]]] = {}
    for place, at in enumerate(kept):
        lanes, row = rows[at]
        arrays = block_program.evaluated(task, lanes.block, lanes.state, lanes.static)
        traced = {n: np.asarray(v) for n, v in lanes.block.hparams.items()}
        one = jax.tree.map(lambda a, row=row: a[row], (traced, *arrays))
        found.setdefault(lanes.static, []).append((place, one))
    stacks = []
    for static, members in found.items():
        alike = [one for _, one in members]
        traced = {n: np.stack([one[0][n] for one in alike]) for n in alike[0][0]}
        params, state = jax.tree.map(lambda *a: jnp.stack(a), *[a[1:] for a in alike])
        places = np.asarray([place for place, _ in members])
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
