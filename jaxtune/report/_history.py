"""Scores in trial order, and the best score so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jaxtune import ranking
from jaxtune.checks import extra
from jaxtune.door import guarded
from jaxtune.report.axes import set_score
from jaxtune.report.points import (
    drawn,
    failed,
    round_colour,
    round_label,
    scores,
    set_title,
)
from jaxtune.results.result import A_RESULT, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@guarded(result=A_RESULT)
def history(result: Result) -> Figure:
    """Draw every trial's score, the range over its seeds, and the best score so far.

    Args:
      result: result of a search.

    Returns:
      A matplotlib figure, not shown.
    """
    Figure = extra("matplotlib.figure", "report").Figure

    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    values, rows = scores(result), drawn(result)
    for number in range(len(result.spaces)):
        of_round = rows[result.trials["round"][rows] == number]
        colour, label = round_colour(number), round_label(result, number)
        if result.trials.scores.shape[1] > 1:
            seeds = result.trials.scores[of_round]
            with np.errstate(invalid="ignore"):  # a failed seed is NaN
                low, high = np.min(seeds, axis=1), np.max(seeds, axis=1)
            axes.vlines(of_round, low, high, color=colour, linewidth=0.8, alpha=0.5)
        axes.scatter(of_round, values[of_round], s=14, color=colour, label=label)
    best = running_best(result)
    if np.isfinite(best).any():
        axes.step(
            np.arange(len(best)), best, where="post", color="black", label="best so far"
        )
    wrong = rows[failed(result)[rows]]
    if wrong.size:
        # failed trials have no score: they are marked along the bottom of the axes
        axes.plot(
            wrong,
            np.full(len(wrong), 0.02),
            "x",
            color="0.5",
            markersize=5,
            transform=axes.get_xaxis_transform(),
            label=f"failed: {failed(result).sum()}",
        )
    set_score(axes, "y", values, result.setup.metric, result.setup.mode)
    axes.set_xlabel("trial")
    set_title(axes, result, "Score of every trial", rows)
    axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def running_best(result: Result) -> np.ndarray:
    """Return ``[n]``, the best score up to each trial that trained to the end."""
    stage = result.trials.stage
    # as for `result.best`: a trial that was stopped ranks behind those that were not
    full = np.isfinite(result.standing) & (stage == stage.max())
    standing = result.standing
    if result.setup.goals:
        # with several goals it is the best score of the front, and not the order of all
        full &= result.feasible
        standing = ranking.orient(result.trials["score"], result.setup.mode)
    standing = np.where(full, standing, -np.inf)
    reached = np.maximum.accumulate(standing)
    first = np.maximum.accumulate(
        np.where(standing == reached, np.arange(len(standing)), 0)
    )
    return np.where(np.isfinite(reached), scores(result)[first], np.nan)
