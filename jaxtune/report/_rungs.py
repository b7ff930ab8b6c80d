"""The epochs of every trial: what a scheduler stopped, and what that saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jaxtune import ranking
from jaxtune.checks import extra
from jaxtune.door import guarded
from jaxtune.report.describe import as_list, described, tried
from jaxtune.report.palette import colour, picture
from jaxtune.report.panels import legend, single
from jaxtune.report.points import empty_figure
from jaxtune.results.result import A_RESULT, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# status of a trial, to the name of its colour and its words in the legend
STATES = {
    "ok": ("green", "trained to the end"),
    "stopped": ("orange", "stopped"),
    "diverged": ("purple", "diverged"),
    "crashed": ("text", "crashed"),
    "running": ("blue", "running"),
    "waiting": ("soft", "waiting"),
}


@guarded(result=A_RESULT)
@picture
def rungs(result: Result) -> Figure:
    """Draw the epochs of every trial, the longest first; the area is the total trained.

    What is hatched was saved: epochs that trials would have trained without stopping.
    With ``budget="examples"`` a column is the last training of a trial, and those of
    the rungs below it come to the total.

    Args:
      result: result of a search.

    Returns:
      A matplotlib figure, not shown; a message for a plain function, which has no
      epochs.
    """
    MaxNLocator = extra("matplotlib.ticker", "report").MaxNLocator

    epochs, cost = result.trials.epochs, result.cost
    if not epochs.any():
        return empty_figure("Nothing was trained for epochs, so there are no rungs.")
    figure, axes = single()
    whole = cost.epochs + cost.saved
    saved = f", {cost.saved / whole:.0%} saved" if cost.saved > 0 else ""
    # with trials that wait, what is not trained yet is more than what was saved
    if cost.saved > 0 and whole == len(epochs) * epochs.max():
        _draw_saved(axes, result)
    _draw_trained(axes, result)
    # a trial that failed on the way to a rung has a row too, at an epoch between rungs
    reached = np.isfinite(result.rungs.scores).all(axis=1)
    for epoch in np.unique(result.rungs.epochs[reached]):
        axes.axhline(epoch, color=colour("text"), linewidth=0.7, linestyle=":")
    axes.set(xlim=(0, len(epochs)), ylim=(0, 1.04 * epochs.max()))
    axes.set(xlabel="trials, longest training first", ylabel="epochs trained")
    if result.setup.workload.budget_rows:
        axes.set(ylabel="last training, in epochs of all")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    axes.set_title(f"{cost.epochs:,} epochs trained{saved}", loc="left")
    legend(figure)
    lengths, counts = np.unique(epochs, return_counts=True)
    few = zip(lengths[::-1], counts[::-1], strict=True)
    each = as_list([f"{count:,} for {length:,}" for length, count in few])
    return described(
        figure,
        f"{cost.epochs:,} epochs of {tried(result)}{saved}.",
        f"Trials by epochs: {each}." if len(lengths) <= 8 else "",
    )


def _draw_trained(axes: Axes, result: Result) -> None:
    """Draw a column for each trial, by what became of it."""
    epochs, status = result.trials.epochs, result.trials["status"]
    better = np.empty(len(epochs), int)
    better[ranking.order(result.standing)] = np.arange(len(epochs))
    # by epochs, and by rank among equal epochs: lexsort takes the last key first
    order = np.lexsort((better, -epochs))
    heights, states = epochs[order], status[order]
    edges = np.arange(len(order) + 1)
    for word, (name, words) in STATES.items():
        of_word = states == word
        if of_word.any():
            label, shade = f"{words}: {of_word.sum():,}", colour(name)
            part = np.where(of_word, heights, 0)
            axes.stairs(part, edges, fill=True, color=shade, label=label)


def _draw_saved(axes: Axes, result: Result) -> None:
    """Hatch what the trials that were stopped would have trained."""
    Rectangle = extra("matplotlib.patches", "report").Rectangle

    count, longest = len(result.trials), result.trials.epochs.max()
    saved = Rectangle(
        (0, 0),
        count,
        longest,
        facecolor=colour("panel"),
        edgecolor=colour("grey"),
        linewidth=0,
        hatch="///",
        zorder=0,
        label=f"saved: {result.cost.saved:,} epochs",
    )
    axes.add_artist(saved)
