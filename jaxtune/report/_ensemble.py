"""The growth of an ensemble: its score after each addition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jaxtune.door import guarded
from jaxtune.report.axes import COLOURS
from jaxtune.report.points import empty_figure
from jaxtune.results.result import A_RESULT, Result
from jaxtune.trained.ensembling import EnsembleChoice, choose

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOP, SIZE = 20, 50  # as `Result.ensemble` has them


@guarded(result=A_RESULT)
def ensemble(result: Result) -> Figure:
    """Draw the score of an ensemble after each addition, beside the best model alone.

    Args:
      result: result of a search with ``keep="predictions"``; nothing is trained.

    Returns:
      A matplotlib figure, not shown; a message where no predictions were kept.
    """
    choice = choice_of(result)
    if choice is None:
        return empty_figure('The search kept no predictions: keep="predictions".')
    return growth_of(result, choice)


def growth_of(result: Result, choice: EnsembleChoice) -> Figure:
    """Draw the scores of a choice that was made; see `ensemble`."""
    from matplotlib.figure import Figure

    path, setup = choice.selection.path, result.setup
    single = choice.single(setup.mode)
    figure = Figure(figsize=(7.5, 4.0), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(1, len(path) + 1)
    axes.axhline(single, color="0.5", linestyle="--", label="the best model alone")
    colour = COLOURS[0]
    axes.plot(
        places, path, color=colour, marker="o", markersize=3, label="the ensemble"
    )
    axes.scatter(places[-1:], path[-1:], s=60, color=colour, zorder=3)
    # the first additions, which are far from the last, are what is to be seen
    better = "higher" if setup.mode == "max" else "lower"
    axes.set_ylabel(f"{setup.metric} ({better} is better)")
    axes.set_xlabel("models added, with repetition")
    axes.set_title("Growth of an ensemble, on the validation split", loc="left")
    axes.grid(axis="y", alpha=0.25)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def choice_of(result: Result) -> EnsembleChoice | None:
    """Return an ensemble of kept predictions; ``None`` if there are none at hand."""
    workload = result.setup.workload
    if workload.keep is None or workload.task is None:
        return None
    try:
        return choose(result, TOP, SIZE)
    except ValueError:  # no trial has trained in full, or a task of other functions
        return None
