"""Scores of the best trials on each fold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jaxtune import ranking
from jaxtune.door import guarded
from jaxtune.report.axes import COLOURS, set_score
from jaxtune.report.points import empty_figure
from jaxtune.results.result import A_RESULT, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRIALS = 12  # more would have no room for their names


@guarded(result=A_RESULT)
def fold_scores(result: Result) -> Figure:
    """Draw the scores of the best trials on each fold, and their means.

    A fold that is below the others in every column is a harder one; where the columns
    differ by less than a column is long, the order of the trials is not sure.

    Args:
      result: result of a search with folds.

    Returns:
      A matplotlib figure, not shown; a message for a search without folds.
    """
    from matplotlib.figure import Figure

    if result.setup.folds is None:
        return empty_figure("The search had no folds.")
    order, means = ranking.order(result.standing), result.folds.means
    best = order[np.isfinite(result.standing[order])][:TRIALS]
    if not best.size:
        return empty_figure("No trial has a score.")
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(best))
    axes.vlines(
        places, means[best].min(axis=1), means[best].max(axis=1), color="0.8", zorder=1
    )
    for fold, values in enumerate(means[best].T):
        colour = COLOURS[fold % len(COLOURS)]
        axes.scatter(places, values, s=24, color=colour, zorder=2, label=str(fold))
    middle = means[best].mean(axis=1)
    axes.scatter(places, middle, s=300, marker="_", color="black", zorder=3)
    set_score(axes, "y", means[best].ravel(), result.setup.metric, result.setup.mode)
    axes.set_xticks(places, labels=best.tolist())
    axes.set_xlabel("trial, the best first; a line is its mean")
    axes.set_title("Scores on each fold", loc="left")
    axes.grid(axis="y", alpha=0.25)
    if means.shape[1] <= TRIALS:
        figure.legend(
            loc="outside lower center", ncols=TRIALS, frameon=False, title="fold"
        )
    return figure
