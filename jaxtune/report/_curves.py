"""Learning curves: the scores of trials during training, and where they stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jaxtune.door import guarded
from jaxtune.report.axes import COLOURS, set_score
from jaxtune.report.points import by_rank, drawn, empty_figure, scores, set_title
from jaxtune.results.result import A_RESULT, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES = 500


@guarded(result=A_RESULT)
def curves(result: Result) -> Figure:
    """Draw the scores of trials at the rungs of a scheduler, as learning curves.

    Trials that were stopped end with a cross. Without a scheduler, scores are known at
    the end of training only, and only these are drawn.

    Args:
      result: result of a search.

    Returns:
      A matplotlib figure, not shown; a message for a plain function, which has no
      epochs.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    if not result.trials.epochs.any():
        return empty_figure("Nothing was trained for epochs, so there are no curves.")
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    rows, rank, ends = drawn(result, LINES), by_rank(result), scores(result)
    known = {
        trial: np.asarray(sorted(points.items()), np.float64)
        for trial, points in result.rungs.by_trial().items()
    }
    # from the worst to the best, so that good curves are drawn over bad ones
    order = [
        t for t in rows[np.argsort(np.nan_to_num(rank[rows], nan=-1))] if t in known
    ]
    lines = LineCollection(
        [known[trial] for trial in order],
        array=np.nan_to_num(rank[order], nan=0.0),
        cmap="viridis_r",
        linewidths=1.0,
    )
    lines.set_clim(0, 1)
    axes.add_collection(lines)
    epochs, status = result.trials.epochs, result.trials["status"]
    marks = (("stopped", "x", COLOURS[3]), ("ok", "o", COLOURS[2]))
    for word, marker, colour in marks:
        ended = rows[(status[rows] == word) & np.isfinite(ends[rows])]
        axes.scatter(
            epochs[ended],
            ends[ended],
            s=16,
            marker=marker,
            color=colour,
            zorder=3,
            label=word,
        )
    plotted = np.concatenate([ends, *[known[trial][:, 1] for trial in order]])
    set_score(axes, "y", plotted, result.setup.metric, result.setup.mode)
    axes.set(xlabel="epochs", xlim=(0, 1.03 * epochs.max()))
    bar = figure.colorbar(lines, ax=axes, ticks=[0, 1], pad=0.01)
    bar.ax.set_yticklabels(["worst", "best"])
    text = "Learning curves" if known else "Scores at the end of training"
    set_title(axes, result, text, rows)
    axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure
