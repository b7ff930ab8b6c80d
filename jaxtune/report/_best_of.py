"""The expected best score of fewer trials."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jaxtune import analysis
from jaxtune.door import guarded
from jaxtune.report.points import empty_figure, round_colour
from jaxtune.results.result import A_RESULT, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@guarded(result=A_RESULT)
def best_of(result: Result) -> Figure:
    """Draw the expected best score of n trials, for each round.

    Args:
      result: result of a search; see `jaxtune.analysis.best_of`.

    Returns:
      A matplotlib figure, not shown.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes, drawn = figure.add_subplot(), 0
    for number in range(len(result.spaces)):
        if number in result.confirming_rounds:
            continue
        try:
            rows = analysis.best_of(result, round=number)
        except ValueError:  # a round without a score
            continue
        counts, middle, low, high = np.asarray(rows).T
        colour, drawn = round_colour(number), drawn + 1
        axes.fill_between(counts, low, high, color=colour, alpha=0.15, linewidth=0)
        label = f"trials of round {number + 1}"
        axes.plot(counts, middle, "o-", color=colour, markersize=3, label=label)
    if not drawn:
        return empty_figure("No trial has a score.")
    # each doubling of the number of trials takes the same room
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    better = "higher" if result.setup.mode == "max" else "lower"
    axes.set_xlabel("trials")
    axes.set_ylabel(f"best {result.setup.metric} ({better} is better)")
    axes.set_title("Expected best of n trials, 95 % interval", loc="left")
    axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure
