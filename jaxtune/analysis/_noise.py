"""Luck: how much scores differ between seeds, and what picking the best makes of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxtune import ranking
from jaxtune.checks import check_share, check_whole
from jaxtune.results.result import Result
from jaxtune.training.retraining import retrain

FEWEST = 4  # trials


class Noise(NamedTuple):
    """How far scores can be trusted, from the seeds of a search.

    Args:
      seeds: trainings of each trial.
      spread: standard deviation between seeds of one trial, among the best trials.
      score: of the best trial.
      expected: what a trial that is picked like it scores with a seed that had no part
        in picking it.
      optimism: how much better ``score`` is than that.
    """

    seeds: int
    spread: float
    score: float
    expected: float
    optimism: float


class Reevaluation(NamedTuple):
    """One trial, trained again with fresh seeds.

    Args:
      trial: its id.
      score: in the search.
      again: mean over the fresh seeds.
      error: standard error of that mean.
      optimism: how much better the score in the search was.
    """

    trial: int
    score: float
    again: float
    error: float
    optimism: float


def noise(result: Result, best: float = 0.25) -> Noise:
    """How much is luck: between seeds, and in the score of the trial that was picked.

    The best of many scores is best by luck as well. Each seed in turn is left out of
    the picking and then judges the trial that was picked without it, which takes no
    model of the noise; `reevaluate` measures the same with fresh seeds.

    Args:
      result: of a search with ``seeds`` of at least 2.
      best: share of the trials whose spread is told, the best ones: among those that
        hardly train, seeds make no difference.

    Returns:
      The spread, and the best score with and without its luck.

    Raises:
      ValueError: one seed, or fewer than four trials with a score.
    """
    check_share("noise", "best", best, 0, 1)
    scores, standing = result.trials.scores.astype(np.float64), result.standing
    seeds = scores.shape[1]
    if seeds < 2:
        raise ValueError(
            "noise: the search has one seed, which cannot be told from luck. Use "
            "search(..., seeds=2), or analysis.reevaluate(result)."
        )
    order = ranking.order(standing)
    order = order[np.isfinite(standing[order])]
    if len(order) < FEWEST:
        raise ValueError(f"noise: {len(order)} trials have a score, not {FEWEST}.")
    longest = result.trials.epochs[order].max()
    values = scores[order[result.trials.epochs[order] == longest]]
    judged = [_left_out(values, j, result.setup.mode) for j in range(seeds)]
    top = values[: max(FEWEST, round(best * len(scores)))]
    spread = float(np.sqrt(top.var(axis=1, ddof=1).mean()))
    score, expected = float(values[0].mean()), float(np.mean(judged))
    sign = ranking.direction(result.setup.mode)
    return Noise(seeds, spread, score, expected, sign * (score - expected))


def _left_out(values: np.ndarray, seed: int, mode: str) -> float:
    """What a seed says of the trial that is best by the others."""
    others = np.delete(values, seed, axis=1).mean(axis=1)
    return float(values[np.argmax(ranking.orient(others, mode)), seed])


def reevaluate(
    result: Result, top: int = 5, seeds: int = 8
) -> tuple[Reevaluation, ...]:
    """Train the best trials again with seeds that the search has not used.

    Their scores have no part in picking them, so their mean is what to expect.

    Args:
      result: what a search found; a loaded one needs its task.
      top: how many trials.
      seeds: fresh ones for each.

    Returns:
      One row for each trial, in the order of the search.

    Raises:
      ValueError: a number below 1 or, for ``seeds``, 2; or no trial with a score.
    """
    check_whole("reevaluate", "top", top)
    check_whole("reevaluate", "seeds", seeds, 2)
    order = ranking.order(result.standing)
    order = order[np.isfinite(result.standing[order])][:top]
    if not len(order):
        raise ValueError("reevaluate: no trial has a score.")
    first, sign = result.trials.scores.shape[1], ranking.direction(result.setup.mode)
    fresh, rows = np.arange(first, first + seeds), []
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
    return retrain(setup.workload, setup.space, trajectory, seeds)[setup.metric]
