"""The epochs of every trial: what a scheduler stopped, and what that saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jaxtune import ranking
from jaxtune.door import guarded
from jaxtune.report.axes import COLOURS
from jaxtune.report.points import empty_figure
from jaxtune.results.result import A_RESULT, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STATES = {
    "ok": COLOURS[2],
    "stopped": COLOURS[1],
    "diverged": "0.6",
    "crashed": "black",
    "waiting": "0.85",
}


@guarded(result=A_RESULT)
def rungs(result: Result) -> Figure:
    """Draw the epochs of every trial, the longest first; the area is the total trained.

    Args:
      result: result of a search.

    Returns:
      A matplotlib figure, not shown; a message for a plain function, which has no
      epochs.
    """
    from matplotlib.figure import Figure

    epochs, status = result.trials.epochs, result.trials["status"]
    if not epochs.any():
        return empty_figure("Nothing was trained for epochs, so there are no rungs.")
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    better = np.empty(len(epochs), int)
    better[ranking.order(result.standing)] = np.arange(len(epochs))
    # by epochs, and by rank among equal epochs: lexsort takes the last key first
    order = np.lexsort((better, -epochs))
    heights, states = epochs[order], status[order]
    for word, colour in STATES.items():
        part = np.where(states == word, heights, 0)
        if (states == word).any():
            label = f"{word}: {(states == word).sum()}"
            axes.stairs(
                part, np.arange(len(part) + 1), fill=True, color=colour, label=label
            )
    # a trial that failed on the way to a rung has a row too, at an epoch between rungs
    reached = np.isfinite(result.rungs.scores).all(axis=1)
    for epoch in np.unique(result.rungs.epochs[reached]):
        axes.axhline(epoch, color="black", linewidth=0.6, linestyle=":")
    cost = result.cost
    whole = cost.epochs + cost.saved
    axes.set(xlim=(0, len(epochs)), ylim=(0, None))
    axes.set(xlabel="trials, longest training first", ylabel="epochs trained")
    saved = f"{cost.saved / whole:.0%} of the epochs saved" if whole else ""
    axes.set_title(f"{cost.epochs:,} epochs trained, {saved}", loc="left")
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure
