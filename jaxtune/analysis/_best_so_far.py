"""The best score so far, after so many trials or epochs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from jaxtune import ranking
from jaxtune.brevity import brief
from jaxtune.door import MAPPING, either, guarded, list_of, one_of, optional, real
from jaxtune.goals.front import volume
from jaxtune.goals.order import oriented
from jaxtune.results.names import REPEAT_OF
from jaxtune.results.result import A_RESULT, Result
from jaxtune.training.ledger import Rungs
from jaxtune.training.round import Training

ALONG = ("trials", "epochs")


@brief
class BestSoFar(NamedTuple):
    """The best score so far: a step after every trial that was tried.

    Args:
      amount: ``[n]`` trials, or epochs, after which each trial had ended; ascending.
      score: ``[n]`` the best score by then, as the task measures it; the hypervolume
        of the front with several goals; NaN while no trial has one.
    """

    amount: np.ndarray
    score: np.ndarray

    def at(self, amounts: np.ndarray) -> np.ndarray:
        """Return the best scores ``[k]`` after other amounts ``[k]``.

        Args:
          amounts: trials or epochs; before the first trial has ended there is no score.
        """
        place = np.searchsorted(self.amount, amounts, side="right")
        return np.concatenate([[np.nan], self.score])[place]


@guarded(
    result=A_RESULT,
    along=one_of(*ALONG),
    reference=optional(either(MAPPING, list_of(real()))),
)
def best_so_far(
    result: Result,
    along: str = "trials",
    reference: Mapping[str, float] | Sequence[float] | None = None,
) -> BestSoFar:
    """Return the best score after each trial, over trials or over epochs trained.

    A trial counts if it trained as long as any, did not fail, and is within all
    constraints; the others count as tried, and so do the repeats of a search with
    ``confirm=``, whose measurements are not part of it. Trials that wait in a run that
    is not finished are left out.

    The epochs are those of all seeds and folds. Under a scheduler that compares trials
    they are counted rung by rung within a round, in trial order within a rung.

    >>> import jax
    >>> import jaxtune as jt
    >>> space = jt.Space(x=jt.uniform(0.0, 1.0))
    >>> arguments = dict(key=jax.random.key(0), trials=4, sampler="sobol", verbose=0)
    >>> result = jt.search(lambda key, h: h["x"], space, mode="max", **arguments)
    >>> curve = jt.analysis.best_so_far(result)
    >>> curve.amount.tolist(), bool(curve.score[-1] == result.best.score)
    ([1, 2, 3, 4], True)

    Args:
      result: of a search, finished or not.
      along: ``"trials"``, or ``"epochs"`` for those that all trials trained.
      reference: see `Result.hypervolume`; needed to compare searches with several
        goals.

    Returns:
      Amounts and scores.
    """
    tried = np.flatnonzero(result.trials.done)
    if along == "trials":
        amount = np.arange(1, len(tried) + 1)
    else:
        spent = epochs_spent(result)[tried]
        ended = np.argsort(spent, kind="stable")
        tried, amount = tried[ended], spent[ended]
    candidate = _candidates(result)[tried]
    if result.setup.goals:
        return BestSoFar(amount, _volumes(result, tried, candidate, reference))
    mode = result.setup.mode
    scores = ranking.orient(result.trials["score"][tried].astype(np.float64), mode)
    best = np.maximum.accumulate(np.where(candidate, scores, -np.inf))
    best = np.where(np.isfinite(best), ranking.direction(mode) * best, np.nan)
    return BestSoFar(amount, best)


def _candidates(result: Result) -> np.ndarray:
    """Return ``[n]`` bool: trials that may be the best, as `Result.best` has it."""
    stage, columns = result.trials.stage, result.trials.columns
    first = columns.get(REPEAT_OF, np.full(len(stage), -1)) < 0
    return result.feasible & first & (stage == stage.max())


def _volumes(
    result: Result,
    tried: np.ndarray,
    candidate: np.ndarray,
    reference: Mapping[str, float] | Sequence[float] | None,
) -> np.ndarray:
    """Return the hypervolume ``[n]`` of the front after each trial."""
    goals = result.setup.goals
    if not candidate.any():  # crashed trials have no metrics by their names
        return np.full(len(tried), np.nan)
    values = oriented(goals, result.trials.columns)[tried]
    corner = values[candidate].min(axis=0)
    if reference is not None:
        numbers = (
            [reference[goal.name] for goal in goals]
            if isinstance(reference, Mapping)
            else reference
        )
        signs = [ranking.direction(goal.mode) for goal in goals]
        corner = np.multiply(signs, np.asarray(numbers, np.float64))
    found, front = np.full(len(tried), np.nan), np.zeros((0, len(goals)))
    for row in np.flatnonzero(candidate):
        if not (front >= values[row]).all(axis=1).any():
            # those that the new one dominates add nothing any more
            front = front[(front > values[row]).any(axis=1)]
            front = np.vstack([front, values[row]])
            found[row] = volume(front, corner)
    # the volume stays until a trial makes it larger
    return np.fmax.accumulate(found)


def epochs_spent(result: Result) -> np.ndarray:
    """Return ``[n]`` the epochs that all trials had trained when each one ended."""
    epochs, rounds = result.trials.epochs, result.trials["round"]
    spent, before = np.zeros(len(epochs), np.int64), 0
    for number, training in enumerate(result.rounds):
        rows = np.flatnonzero(rounds == number)
        if result.setup.workload.budget_rows:
            trained = partial(_anew, epochs[rows], training.rungs, rows[0])
        else:
            trained = partial(_further, epochs[rows])
        ended, whole = _within_round(epochs[rows], training, trained)
        spent[rows], before = before + ended, before + whole
    return spent * result.setup.repeats


def _further(epochs: np.ndarray, last: int, mark: int) -> np.ndarray:
    """Return the epochs ``[m]`` that each trial trained from one mark to the next."""
    return np.clip(epochs, last, mark) - last


def _anew(
    epochs: np.ndarray, rungs: Rungs, first: int, last: int, mark: int
) -> np.ndarray:
    """Return the epochs ``[m]`` of trainings of their own that end at a mark."""
    del last
    reached = epochs == mark
    reached[rungs.trial[rungs.epochs == mark] - first] = True
    return mark * reached


def _within_round(
    epochs: np.ndarray,
    training: Training,
    trained: Callable[[int, int], np.ndarray],
) -> tuple[np.ndarray, int]:
    """Return the epochs of a round that were trained when each trial ended.

    Args:
      epochs: ``[m]`` of the trials.
      training: the round.
      trained: epochs ``[m]`` between two marks.

    Returns:
      ``[m]``, and those of the whole round.
    """
    marks = [*training.rungs.epochs.tolist(), *epochs.tolist()]
    if training.own_pace or not len(training.rungs.epochs):
        marks = [int(epochs.max(initial=0))]
    ended, before, last = np.zeros(len(epochs), np.int64), 0, 0
    for mark in sorted({mark for mark in marks if mark > 0}):
        part = trained(last, mark)
        here = (epochs > last) & (epochs <= mark)
        ended[here] = before + np.cumsum(part)[here]
        before, last = before + int(part.sum()), mark
    return ended, before
