"""The expected best score of fewer trials."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jaxtune import analysis
from jaxtune.door import guarded
from jaxtune.report.cells import beginning_of
from jaxtune.report.describe import described
from jaxtune.report.palette import picture, round_colour
from jaxtune.report.panels import legend, single
from jaxtune.report.points import empty_figure
from jaxtune.results.result import A_RESULT, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@guarded(result=A_RESULT)
@picture
def best_of(result: Result) -> Figure:
    """Draw the expected best score of n trials, for each round.

    Args:
      result: result of a search; see `jaxtune.analysis.best_of`.

    Returns:
      A matplotlib figure, not shown.
    """
    figure, axes = single()
    sentences: list[str] = []
    for number in range(len(result.spaces)):
        if number in result.confirming_rounds:
            continue
        try:
            rows = analysis.best_of(result, round=number)
        except ValueError:  # a round without a score
            continue
        counts, middle, low, high = np.asarray(rows).T
        colour = round_colour(number, len(result.spaces))
        sentences.append(
            f"Of {counts[-1]:.0f} trials of round {number + 1}, the expected best is "
            f"{middle[-1]:.4g}, [{low[-1]:.4g}, {high[-1]:.4g}]."
        )
        axes.fill_between(counts, low, high, color=colour, alpha=0.15, linewidth=0)
        label = f"trials of round {number + 1}"
        axes.plot(counts, middle, "o-", color=colour, markersize=3, label=label)
    if not sentences:
        return empty_figure("No trial has a score.")
    # each doubling of the number of trials takes the same room
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    better = "higher" if result.setup.mode == "max" else "lower"
    axes.set_xlabel("trials")
    axes.set_ylabel(f"best {beginning_of(result.setup.metric)} ({better} is better)")
    axes.set_title("Expected best of n trials, 95 % interval", loc="left")
    axes.grid()
    legend(figure)
    return described(
        figure, f"Expected best {result.setup.metric} of n trials.", *sentences
    )
