"""Every metric after every epoch, of the best trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtune import ranking
from jaxtune.checks import extra
from jaxtune.door import guarded, whole
from jaxtune.planning.scoring import BEST, BEST_EPOCH
from jaxtune.report.axes import FACTOR, label_decades
from jaxtune.report.describe import as_list, best_of_all, described
from jaxtune.report.palette import colour, picture, series
from jaxtune.report.panels import legend, new_figure
from jaxtune.report.points import empty_figure
from jaxtune.results.result import A_RESULT, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOP = 5  # trials with a colour of their own
OTHERS = 200  # trials that are drawn in grey


@guarded(result=A_RESULT, top=whole(1))
@picture
def epochs(result: Result, top: int = TOP) -> Figure:
    """Draw every metric after every epoch: the best trials, and the others in grey.

    Each line is the mean over seeds. With ``score="best"`` a point marks the epoch, or
    the mean of the epochs of the seeds, that a trial is judged by. An axis is that of
    the best trials; lines of bad ones may leave it.

    Args:
      result: result of a search with ``history=True``.
      top: number of best trials that have a colour.

    Returns:
      A matplotlib figure, not shown; a message if the search kept no history.
    """
    MaxNLocator = extra("matplotlib.ticker", "report").MaxNLocator

    if not result.setup.workload.scoring.history or not result.history:
        return empty_figure("This search kept no history. Use history=True.")
    with np.errstate(invalid="ignore"):
        means = {name: v.mean(axis=1) for name, v in result.history.items()}
    order = ranking.order(result.standing)
    order = order[np.isfinite(result.standing[order])].tolist()
    figure = new_figure(height=0.7 + 2.3 * len(means))
    panels = figure.subplots(len(means), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, values) in zip(panels, means.items(), strict=True):
        _draw(axes, result, values, order, top)
        axes.set_ylabel(name)
        axes.grid()
    panels[-1].set_xlabel("epochs")
    panels[-1].xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    legend(figure)
    shown = min(top, len(order))
    return described(
        figure,
        f"The {as_list([*means])} after every epoch: the best {shown} of "
        f"{len(result.trials):,} trials, and the others in grey.",
        best_of_all(result),
    )


def _draw(
    axes: Axes, result: Result, values: np.ndarray, order: list[int], top: int
) -> None:
    """Draw one metric ``[n, epochs]``."""
    steps = np.arange(1, values.shape[1] + 1)
    for trial in reversed(order[top : top + OTHERS]):
        axes.plot(steps, values[trial], color=colour("grey"), linewidth=0.7)
    judged = None
    if result.setup.workload.scoring.score == BEST:
        judged = result.trials[BEST_EPOCH]
    for place, trial in enumerate(order[:top]):
        above = 3 + top - place  # the best one over the others, and the boldest
        style: dict[str, Any] = {"color": series(place), "zorder": above}
        style["linewidth"] = 1.2 if place else 2.2
        axes.plot(steps, values[trial], label=f"trial {trial}", **style)
        if judged is not None and np.isfinite(judged[trial]):
            known = np.isfinite(values[trial])
            height = np.interp(judged[trial], steps[known], values[trial][known])
            axes.plot(judged[trial], height, "o", markersize=5, **style)
    _set_range(axes, values[order[:top]])


def _set_range(axes: Axes, best: np.ndarray) -> None:
    """Show what the best trials reach, and for a metric that falls far, its end."""
    fine = best[np.isfinite(best)]
    if not fine.size:
        return
    low, high = float(fine.min()), float(fine.max())
    line = best[0][np.isfinite(best[0])]
    if line.size and line[0] > line[-1] and low > 0 and high >= FACTOR * low:
        axes.set_yscale("log")
        label_decades(axes.yaxis, low, high)
        room = (high / low) ** 0.06
        axes.set_ylim(low / room, high * room)
    else:
        room = 0.06 * (high - low) or 0.5
        axes.set_ylim(low - room, high + room)
