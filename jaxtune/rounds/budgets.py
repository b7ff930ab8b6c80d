"""Scores at one budget, which a sampler is told where trials were stopped early.

A trial that was stopped at a rung is evidence at that budget, and so is one that went
on: it has a score there too. Scores after different budgets do not compare, so a
sampler is told those at one budget, the largest at which enough trials have a score, as
in BOHB (Falkner et al., 2018, ICML). It moves up as more trials train longer.

Trials that were stopped shortly before that budget are told as well, with a score that
a straight line predicts from theirs, through the trials that have both. That these went
on because of the earlier score does not bend the line. Trials that were stopped long
before are left out: which settings learn fast says little about which end well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxtune.results.trials import Trials
from jaxtune.training.ledger import Rungs
from jaxtune.training.round import Training

LEAST = 10  # trials before the Parzen estimator has a model; a process needs fewer
SHORTLY = 4  # the budget is at most so many times that of a trial that is predicted
ONE = 3  # pairs of scores that count as much as that a line has a slope of 1
FLATTEST = 0.1  # slope of a line, so that trials keep their order
MOST = 256  # trials that a line is fitted to, since all pairs of them are compared


class Budgets(NamedTuple):
    """The scores of trials at each budget, ascending; the last one is in full.

    Args:
      epochs: ``[b]`` int.
      scores: ``[b, n, s]`` float32; NaN where a trial has none, or failed later.
    """

    epochs: np.ndarray
    scores: np.ndarray

    def at_largest(self, least: int) -> np.ndarray:
        """Return scores ``[n, s]`` at the largest budget with so many of them.

        Args:
          least: trials with a score; where no budget has so many, it is the smallest.
        """
        means = self.scores.mean(axis=2, dtype=np.float64)
        known = np.isfinite(means)
        large = np.flatnonzero(known.sum(axis=1) >= least)
        at = large[-1] if len(large) else 0
        found = self.scores[at].copy()
        for below in reversed(range(at)):
            if SHORTLY * self.epochs[below] < self.epochs[at]:
                break
            both = known[below] & known[at]
            left = known[below] & ~np.isfinite(found).all(axis=1)
            if both.any():
                shift, slope = line(means[below, both], means[at, both])
                found[left] = shift + slope * self.scores[below, left]
        return found


def line(early: np.ndarray, late: np.ndarray) -> tuple[float, float]:
    """Return shift and slope of the line through pairs, by medians (Theil & Sen).

    >>> import numpy as np
    >>> from jaxtune.rounds.budgets import line
    >>> shift, slope = line(np.arange(50.0), 2 * np.arange(50.0) + 1)
    >>> round(slope, 2)  # a little nearer to 1 than the 2 of the pairs
    1.94

    Args:
      early: ``[m]`` scores, of one trial at least.
      late: ``[m]`` scores of the same trials at a larger budget.
    """
    some = np.unique(np.linspace(0, len(early) - 1, MOST).round().astype(int))
    early, late = early[some], late[some]
    one, other = np.triu_indices(len(early), 1)
    apart = early[other] - early[one]
    slopes = (late[other] - late[one])[apart != 0] / apart[apart != 0]
    pairs = len(early) if len(slopes) else 0
    seen = float(np.median(slopes)) if len(slopes) else 1.0
    slope = max(FLATTEST, (pairs * seen + ONE) / (pairs + ONE))
    return float(np.median(late - slope * early)), slope


def enough(dim: int) -> int:
    """Return how many trials with a score make a budget one to learn from."""
    return max(LEAST, dim + 2)


def at_one_budget(
    told: Sequence[Trials], rounds: Sequence[Training], least: int
) -> list[Trials]:
    """Return trials with their scores at one budget.

    Args:
      told: the trials with a score, or that failed, of each batch.
      rounds: of the search until now, with their rungs.
      least: trials with a score at the budget; of all where none has so many, it is the
        smallest one.

    Returns:
      For each batch the trials that have a score at the budget, or nearly, as if all
      had trained for it and no longer, and those that failed.
    """
    told = [_at_own_pace(rows, rounds) for rows in told]
    complete = [rows["status"].astype(str) == "ok" for rows in told]
    if all((c | rows.failed).all() for c, rows in zip(complete, told, strict=True)):
        return told
    budgets = _by_budget(told, np.concatenate(complete), rounds)
    scores = budgets.at_largest(least)
    cuts = np.cumsum([len(rows) for rows in told])[:-1]
    parts = zip(told, np.split(scores, cuts), strict=True)
    found = [_with_scores(rows, own) for rows, own in parts]
    return [rows for rows in found if len(rows)]


def _at_own_pace(rows: Trials, rounds: Sequence[Training]) -> Trials:
    """Return the rows; trials at their own pace are complete wherever they stopped."""
    (number,) = set(rows["round"])  # a batch belongs to one round
    return _with_scores(rows, rows.scores) if rounds[number].own_pace else rows


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
    scores[:, np.concatenate([rows.failed for rows in told])] = np.nan
    return Budgets(np.append(epochs, epochs.max(initial=0)), scores)


def _with_scores(rows: Trials, scores: np.ndarray) -> Trials:
    """Return the rows that have scores ``[n, s]``, or failed, as complete trials."""
    kept = np.isfinite(scores).all(axis=1) | rows.failed
    rows, scores = rows.take(kept), scores[kept]
    status = np.where(rows.failed, rows["status"], "ok")
    means = scores.mean(axis=1, dtype=np.float64).astype(np.float32)
    columns = {**rows.columns, "score": means, "status": status}
    return dataclasses.replace(rows, columns=columns, scores=scores)
