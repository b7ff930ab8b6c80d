"""Scores of the best trials on each fold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtune import ranking
from jaxtune.door import guarded
from jaxtune.report.axes import mark_beyond, set_score
from jaxtune.report.describe import best_of_all, described
from jaxtune.report.palette import colour, picture, series
from jaxtune.report.panels import legend, single
from jaxtune.report.points import empty_figure
from jaxtune.results.result import A_RESULT, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRIALS = 12  # more would have no room for their names


@guarded(result=A_RESULT)
@picture
def fold_scores(result: Result) -> Figure:
    """Draw the scores of the best trials on each fold, and their means.

    A fold that is below the others in every column is a harder one; where the columns
    differ by less than a column is long, the order of the trials is not sure.

    Args:
      result: result of a search with folds.

    Returns:
      A matplotlib figure, not shown; a message for a search without folds.
    """
    if result.setup.folds is None:
        return empty_figure("The search had no folds.")
    order, means = ranking.order(result.standing), result.folds.means
    best = order[np.isfinite(result.standing[order])][:TRIALS]
    if not best.size:
        return empty_figure("No trial has a score.")
    figure, axes = single()
    places, setup = np.arange(len(best)), result.setup
    span = set_score(axes, "y", means[best].ravel(), setup.metric, setup.mode)
    assert span is not None
    axes.vlines(
        places,
        means[best].min(axis=1),
        means[best].max(axis=1),
        color=colour("soft"),
        linewidth=0.8,
        zorder=1,
    )
    every = means[best].T
    for fold, values in enumerate(every):
        shade, inside = series(fold), span.holds(values)
        style: dict[str, Any] = {"s": 24, "zorder": 2, "label": str(fold)}
        style["color"] = shade
        axes.scatter(places[inside], values[inside], **style)
    mark_beyond(axes, np.tile(places, len(every)), every.ravel(), span)
    middle = means[best].mean(axis=1)
    axes.scatter(places, middle, s=300, marker="_", color=colour("text"), zorder=3)
    axes.set_xticks(places, labels=best.tolist())
    axes.set_xlabel("trial, the best first; a line is its mean")
    axes.set_title("Scores on each fold", loc="left")
    axes.grid(axis="y")
    if means.shape[1] <= TRIALS:
        legend(figure, columns=6, title="fold")
    return described(
        figure,
        f"The {setup.metric} of the best {len(best)} trials on each of "
        f"{means.shape[1]} folds.",
        best_of_all(result),
    )
