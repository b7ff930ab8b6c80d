"""Luck: the noise between seeds, and its share in the score of the best trial."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxtune import ranking
from jaxtune.brevity import brief
from jaxtune.door import guarded, real, whole
from jaxtune.printing import counted
from jaxtune.results.folded import per_seed
from jaxtune.results.result import A_RESULT, Result
from jaxtune.training.retraining import retrain

FEWEST = 4  # trials with a score


@brief
class Noise(NamedTuple):
    """The noise of the scores of a search, measured by its seeds.

    Args:
      seeds: trainings of each trial.
      spread: standard deviation between seeds of one trial, among the best trials.
      score: score of the best trial.
      expected: score of a trial that is picked in the same way, with a seed that had no
        part in picking it.
      optimism: how much better ``score`` is than ``expected``.
    """

    seeds: int
    spread: float
    score: float
    expected: float
    optimism: float


@brief
class Reevaluation(NamedTuple):
    """One trial, trained again with fresh seeds.

    Args:
      trial: id of the trial.
      score: its score in the search.
      again: its mean score over the fresh seeds.
      error: standard error of that mean.
      optimism: how much better ``score`` is than ``again``.
    """

    trial: int
    score: float
    again: float
    error: float
    optimism: float


@guarded(result=A_RESULT, best=real(0, 1))
def noise(result: Result, best: float = 0.25) -> Noise:
    """Measure how much of the best score is luck, and how much seeds differ.

    The best of many scores is best by luck as well. Each seed in turn is left out of
    the picking, and then judges the trial that was picked without it. This needs no
    model of the noise; `reevaluate` measures the same with fresh seeds.

    >>> import jax
    >>> import jaxtune as jt
    >>> result = jt.search(
    ...     lambda key, h: h["x"] + 0.1 * jax.random.normal(key),
    ...     jt.Space(x=jt.uniform(0.0, 1.0)),
    ...     key=jax.random.key(0),
    ...     trials=32,
    ...     seeds=4,
    ...     mode="max",
    ...     verbose=0,
    ... )
    >>> found = jt.analysis.noise(result)
    >>> 0.05 < found.spread < 0.2
    True

    Args:
      result: the result of a search with ``seeds`` of at least 2.
      best: share of the trials that ``spread`` is computed from, the best ones: among
        trials that hardly train, seeds make no difference.

    Returns:
      The spread, and the best score with and without its luck.

    Raises:
      ValueError: one seed, or fewer than four trials with a score.
    """
    scores = per_seed(result.trials.scores, result.setup.folds).astype(np.float64)
    standing = result.standing
    seeds = scores.shape[1]
    if seeds < 2:
        raise ValueError(
            "noise: the search has one seed, which does not show luck. Use "
            "search(..., seeds=2), or analysis.reevaluate(result)."
        )
    order = ranking.order(standing)
    order = order[np.isfinite(standing[order])]
    if len(order) < FEWEST:
        few = f"{counted(len(order), 'trial')} {'has' if len(order) == 1 else 'have'}"
        raise ValueError(f"noise: {few} a score, and {FEWEST} are needed.")
    # scores of trials that were stopped early cannot be compared with the others
    longest = result.trials.epochs[order].max()
    values = scores[order[result.trials.epochs[order] == longest]]
    judged = [_left_out(values, j, result.setup.mode) for j in range(seeds)]
    top = values[: max(FEWEST, round(best * len(scores)))]
    spread = float(np.sqrt(top.var(axis=1, ddof=1).mean()))
    score, expected = float(values[0].mean()), float(np.mean(judged))
    sign = ranking.direction(result.setup.mode)
    return Noise(seeds, spread, score, expected, sign * (score - expected))


def _left_out(values: np.ndarray, seed: int, mode: str) -> float:
    """Return the score of one seed for the trial that is best by the other seeds."""
    others = np.delete(values, seed, axis=1).mean(axis=1)
    return float(values[np.argmax(ranking.orient(others, mode)), seed])


@guarded(result=A_RESULT, top=whole(1), seeds=whole(2))
def reevaluate(
    result: Result, top: int = 5, seeds: int = 8
) -> tuple[Reevaluation, ...]:
    """Train the best trials again with seeds that the search has not used.

    The new scores have no part in picking the trials, so their mean is what to expect.

    >>> import jax
    >>> import jaxtune as jt
    >>> result = jt.search(
    ...     lambda key, h: h["x"] + 0.1 * jax.random.normal(key),
    ...     jt.Space(x=jt.uniform(0.0, 1.0)),
    ...     key=jax.random.key(0),
    ...     trials=16,
    ...     mode="max",
    ...     verbose=0,
    ... )
    >>> (row,) = jt.analysis.reevaluate(result, top=1)
    >>> row.trial == result.best.trial
    True

    Args:
      result: the result of a search; a loaded one needs its task.
      top: number of trials.
      seeds: fresh seeds for each trial.

    Returns:
      One row for each trial, in the order of the search.

    Raises:
      ValueError: a number below 1 or, for ``seeds``, 2; or no trial with a score.
    """
    result.setup.check_task("reevaluate")
    order = ranking.order(result.standing)
    order = order[np.isfinite(result.standing[order])][:top]
    if not len(order):
        raise ValueError("reevaluate: no trial has a score.")
    first, sign = result.setup.repeats, ranking.direction(result.setup.mode)
    fresh = np.arange(first, first + seeds * (result.setup.folds or 1))
    rows = []
    for trial in order.tolist():
        values = _measured(result, trial, fresh).astype(np.float64)
        score = float(result.trials["score"][trial])
        again = float(values.mean())
        error = float(values.std(ddof=1) / np.sqrt(seeds))
        rows.append(Reevaluation(trial, score, again, error, sign * (score - again)))
    return tuple(rows)


def _measured(result: Result, trial: int, seeds: np.ndarray) -> np.ndarray:
    """Return the score ``[s]`` of a trial under other seeds."""
    setup, trajectory = result.setup, result.trajectory(trial)
    values = retrain(setup.workload, setup.space, trajectory, seeds)[setup.metric]
    return per_seed(values[None], setup.folds)[0]
