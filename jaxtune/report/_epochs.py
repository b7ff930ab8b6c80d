"""Every metric after every epoch, of the best trials."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jaxtune import ranking
from jaxtune.door import guarded, whole
from jaxtune.planning.scoring import BEST, BEST_EPOCH
from jaxtune.report.axes import COLOURS, decades
from jaxtune.report.points import empty_figure
from jaxtune.results.result import A_RESULT, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOP = 5  # trials with a colour of their own
OTHERS = 200  # trials that are drawn in grey


@guarded(result=A_RESULT, top=whole(1))
def epochs(result: Result, top: int = TOP) -> Figure:
    """Draw every metric after every epoch: the best trials, and the others in grey.

    Each line is the mean over seeds. With ``score="best"`` a point marks the epoch, or
    the mean of the epochs of the seeds, that a trial is judged by.

    Args:
      result: result of a search with ``history=True``.
      top: number of best trials that have a colour.

    Returns:
      A matplotlib figure, not shown; a message if the search kept no history.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    if not result.setup.workload.scoring.history or not result.history:
        return empty_figure("This search kept no history. Use history=True.")
    with np.errstate(invalid="ignore"):
        means = {name: v.mean(axis=1) for name, v in result.history.items()}
    order = ranking.order(result.standing)
    order = order[np.isfinite(result.standing[order])].tolist()
    figure = Figure(figsize=(7.5, 2.8 * len(means)), layout="constrained")
    panels = figure.subplots(len(means), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, values) in zip(panels, means.items(), strict=True):
        _draw(axes, result, values, order, top)
        axes.set_ylabel(name)
        axes.grid(alpha=0.25)
    panels[-1].set_xlabel("epochs")
    panels[-1].xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    if order:
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(
            handles[::-1],  # the best one was drawn last
            labels[::-1],
            loc="outside lower center",
            ncols=3,
            frameon=False,
        )
    return figure


def _draw(
    axes: Axes, result: Result, values: np.ndarray, order: list[int], top: int
) -> None:
    """Draw one metric ``[n, epochs]``."""
    steps = np.arange(1, values.shape[1] + 1)
    for trial in reversed(order[top : top + OTHERS]):
        axes.plot(steps, values[trial], color="0.8", linewidth=0.7)
    judged = None
    if result.setup.workload.scoring.score == BEST:
        judged = result.trials[BEST_EPOCH]
    # the best one is drawn last, over the others
    for place in reversed(range(min(top, len(order)))):
        trial, colour = order[place], COLOURS[place % len(COLOURS)]
        label = f"trial {trial}"
        axes.plot(steps, values[trial], color=colour, linewidth=1.4, label=label)
        if judged is not None and np.isfinite(judged[trial]):
            known = np.isfinite(values[trial])
            height = np.interp(judged[trial], steps[known], values[trial][known])
            axes.plot(judged[trial], height, "o", color=colour, markersize=5)
    if decades(values):
        axes.set_yscale("log")
