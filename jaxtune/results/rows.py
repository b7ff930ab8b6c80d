"""Rows of the table of trials, made from the outcome of a round."""

from __future__ import annotations

import jax
import numpy as np

from jaxtune.environment import on_host
from jaxtune.planning.subsets import rows_in_subset
from jaxtune.programs.lane import (
    CRASHED,
    DIVERGED,
    FAILED,
    RUNNING,
    STATUS,
    STOPPED,
    WAITING,
)
from jaxtune.results.folded import by_fold, spread_of
from jaxtune.results.names import FOLD_SPREAD, REPEAT_OF
from jaxtune.results.trials import Trials
from jaxtune.space import Space
from jaxtune.space.points import in_buffer
from jaxtune.training.round import Training
from jaxtune.types import HparamArrays


@on_host()
def rows_of(
    space: Space,
    number: int,
    ids: np.ndarray,
    training: Training,
    metric: str,
    folds: int | None = None,
    repeat_of: np.ndarray | None = None,
    budget_rows: int = 0,
) -> Trials:
    """Return the rows of one round.

    Args:
      space: the space that the user gave.
      number: the round, from 0.
      ids: ``[n]`` trial ids.
      training: the outcome of the round.
      metric: the metric that is the score.
      folds: number of folds; ``None`` without them.
      repeat_of: ``[n]`` ids of the trials that these measure again, -1 for new
        configurations; ``None`` in a search that measures nothing again.
      budget_rows: of the workload.

    Returns:
      ``n`` rows.
    """
    outcome, final = training.outcome, training.final
    unknown = np.full(outcome.status.shape, np.nan, np.float32)
    scores = outcome.metrics.get(metric, unknown)
    # first, since a round whose trials all failed may know no metric by its name
    means = {metric: _mean(scores)}
    means |= {name: _mean(values) for name, values in outcome.metrics.items()}
    columns = {
        "trial": ids,
        "round": np.full(len(ids), number),
        "status": _words(_status(training, scores), outcome.epochs, scores),
        "score": means[metric],
    }
    if repeat_of is not None:
        columns[REPEAT_OF] = repeat_of
    if folds is not None:
        columns[FOLD_SPREAD] = spread_of(by_fold(scores, folds))
    if training.budget:
        columns["epochs"] = outcome.epochs
    if budget_rows:
        columns["examples"] = rows_in_subset(
            budget_rows, outcome.epochs, training.budget
        )
    holds = _holds(space, final.hparams)
    for name in space.names:
        columns[name] = _column(space, name, final.hparams[name], holds[name])
    if not training.budget and metric == "value" and len(means) == 1:
        # the one metric of a plain function, which is its score already; beside others
        # it is a column, which goals may name
        means.pop("value", None)
    # no metric takes the place of another column, as some did up to version 0.2.0
    columns |= {name: mean for name, mean in means.items() if name not in columns}
    columns |= final.sizes
    points = _coordinates(space, final.space, final.points)
    return Trials(columns, scores, points, final.hparams)


def _holds(space: Space, hparams: HparamArrays) -> HparamArrays:
    """Return name to ``[n]`` bool: whether a dimension matters to a trial."""
    count = len(next(iter(hparams.values())))
    if not any(space[name].condition for name in space.names):
        return {name: np.ones(count, bool) for name in space.names}
    holds = jax.device_get(space.active(in_buffer(hparams)))
    return {name: values[:count] for name, values in holds.items()}


def _mean(values: np.ndarray) -> np.ndarray:
    """Return means over seeds ``[n]``; NaN if any seed failed."""
    failed = ~np.isfinite(values).all(axis=1)
    with np.errstate(invalid="ignore"):
        mean = values.mean(axis=1, dtype=np.float64).astype(np.float32)
    return np.where(failed, np.float32(np.nan), mean)


def _status(training: Training, scores: np.ndarray) -> np.ndarray:
    """Return ``[n]`` statuses: failed if any seed did, or has a score not finite."""
    outcome = training.outcome
    waits = outcome.status == WAITING
    # a trial that waits at a rung was measured there
    measured = ~waits | (outcome.epochs > 0)[:, None]
    failed = np.isin(outcome.status, FAILED) | (~np.isfinite(scores) & measured)
    crashed = (outcome.status == CRASHED).any(axis=1)
    short = (outcome.epochs < training.budget) & (not training.own_pace)
    # the first that holds: a trial that failed was stopped early as well
    return np.select(
        [crashed, failed.any(axis=1), waits.any(axis=1), short],
        [CRASHED, DIVERGED, WAITING, STOPPED],
        RUNNING,
    )


def _words(status: np.ndarray, epochs: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return ``[n]`` statuses as the table has them; ``running`` are only words."""
    begun = (epochs > 0) | np.isfinite(scores).any(axis=1)
    words = np.asarray(STATUS, object)[status]
    words[(status == WAITING) & begun] = "running"
    return words


def _column(
    space: Space, name: str, values: np.ndarray, holds: np.ndarray
) -> np.ndarray:
    """Return plain values; ``None`` or NaN where a dimension is inactive."""
    dimension = space[name]
    if dimension.by_index:
        # filled, not converted: a choice may be a tuple, which would become an axis
        column = np.empty(len(values), object)
        column[:] = [
            dimension.value(v) if h else None
            for v, h in zip(values, holds, strict=True)
        ]
        return column
    if not dimension.condition:
        return values
    return np.where(holds, values, np.float32(np.nan))


def _coordinates(space: Space, box: Space, points: np.ndarray) -> np.ndarray:
    """Return points ``[n, d]`` of the space; NaN where this round's box is closed."""
    columns = dict(zip(box.searched, points.T, strict=True))
    closed = np.full(len(points), np.nan, np.float32)
    named = [columns.get(name, closed) for name in space.searched]
    return np.stack(named, axis=1) if named else points
