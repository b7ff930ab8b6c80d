"""The budget whose scores a sampler learns from, where trials were stopped early.

A trial that was stopped at a rung is evidence at that budget, and so is one that went
on: it has a score there too. Scores after different budgets do not compare, so a
sampler is told those at one budget, the largest at which enough trials have a score, as
in BOHB (Falkner et al., 2018, ICML). As more trials train longer, it moves up to
trainings in full.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxtune.results.trials import Trials
from jaxtune.training.ledger import Rungs
from jaxtune.training.round import Training

LEAST = 10  # trials with a score at the budget, and two more than dimensions


class Budgets(NamedTuple):
    """The scores of trials at each budget, ascending; the last one is in full.

    Args:
      scores: ``[b, n, s]`` float32; NaN where a trial has none.
      failed: ``[n]`` bool, trials that failed, then or later.
    """

    scores: np.ndarray
    failed: np.ndarray

    def largest(self, least: int) -> np.ndarray:
        """Return the scores ``[n, s]`` at the largest budget with enough of them."""
        known = np.isfinite(self.scores).all(axis=2) & ~self.failed
        enough = np.flatnonzero(known.sum(axis=1) >= least)
        chosen = self.scores[enough[-1] if len(enough) else 0]
        return np.where(self.failed[:, None], np.float32(np.nan), chosen)


def at_one_budget(
    told: Sequence[Trials], rounds: Sequence[Training], dim: int
) -> list[Trials]:
    """Return trials with their scores at one budget.

    Args:
      told: the trials with a score, or that failed, of each batch.
      rounds: of the search until now, with their rungs.
      dim: dimensions that are searched.

    Returns:
      For each batch the trials that have a score at the budget, as if all had trained
      for it and no longer, and those that failed.
    """
    complete = [_complete(rows, rounds) for rows in told]
    if all((c | rows.failed).all() for c, rows in zip(complete, told, strict=True)):
        return list(told)
    budgets = _by_budget(told, np.concatenate(complete), rounds)
    scores = budgets.largest(max(LEAST, dim + 2))
    cuts = np.cumsum([len(rows) for rows in told])[:-1]
    parts = zip(told, np.split(scores, cuts), strict=True)
    found = [_with_scores(rows, own) for rows, own in parts]
    return [rows for rows in found if len(rows)]


def _complete(rows: Trials, rounds: Sequence[Training]) -> np.ndarray:
    """Return ``[n]`` bool: trials whose scores are those of a training in full."""
    # at its own pace a trial is complete wherever it stopped
    own_pace = np.array([training.own_pace for training in rounds])
    scored = np.isfinite(rows["score"])
    return (rows["status"].astype(str) == "ok") | (own_pace[rows["round"]] & scored)


def _by_budget(
    told: Sequence[Trials], complete: np.ndarray, rounds: Sequence[Training]
) -> Budgets:
    trials = np.concatenate([rows["trial"] for rows in told])
    last = np.concatenate([rows.scores for rows in told])
    rungs = Rungs(*map(np.concatenate, zip(*[r.rungs for r in rounds], strict=True)))
    epochs = np.unique(rungs.epochs)
    scores = np.full((len(epochs) + 1, *last.shape), np.nan, np.float32)
    # rows of the trials at the rungs; not all of them are told
    order = np.argsort(trials)
    place = np.searchsorted(trials, rungs.trial, sorter=order)
    row = order[np.minimum(place, len(trials) - 1)]
    mine = trials[row] == rungs.trial
    at = np.searchsorted(epochs, rungs.epochs)
    scores[at[mine], row[mine]] = rungs.scores[mine]
    scores[-1, complete] = last[complete]
    return Budgets(scores, np.concatenate([rows.failed for rows in told]))


def _with_scores(rows: Trials, scores: np.ndarray) -> Trials:
    """Return the rows that have scores ``[n, s]``, or failed, as complete trials."""
    kept = np.isfinite(scores).all(axis=1) | rows.failed
    rows, scores = rows.take(kept), scores[kept]
    status = np.where(rows.failed, rows["status"], "ok")
    means = scores.mean(axis=1, dtype=np.float64).astype(np.float32)
    columns = {**rows.columns, "score": means, "status": status}
    return dataclasses.replace(rows, columns=columns, scores=scores)
