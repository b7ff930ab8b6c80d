"""The growth of an ensemble: its score after each addition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtune.checks import extra
from jaxtune.door import guarded
from jaxtune.report.cells import beginning_of
from jaxtune.report.describe import described
from jaxtune.report.palette import colour, picture
from jaxtune.report.panels import legend, single
from jaxtune.report.points import empty_figure
from jaxtune.results.result import A_RESULT, Result
from jaxtune.trained.ensembling import EnsembleChoice, choose

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOP, SIZE = 20, 50  # as `Result.ensemble` has them


@guarded(result=A_RESULT)
@picture
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


@picture
def growth_of(result: Result, choice: EnsembleChoice) -> Figure:
    """Draw the scores of a choice that was made; see `ensemble`."""
    MaxNLocator = extra("matplotlib.ticker", "report").MaxNLocator

    path, setup = choice.selection.path, result.setup
    alone = choice.single(setup.mode)
    figure, axes = single(3.6)
    places = np.arange(1, len(path) + 1)
    axes.axhline(
        alone, color=colour("soft"), linestyle="--", label="the best model alone"
    )
    style: dict[str, Any] = {"color": colour("blue"), "marker": "o", "markersize": 3}
    axes.plot(places, path, label="the ensemble", **style)
    axes.scatter(places[-1:], path[-1:], s=60, color=colour("blue"), zorder=3)
    # the first additions, which are far from the last, are what is to be seen
    better = "higher" if setup.mode == "max" else "lower"
    axes.set_ylabel(f"{beginning_of(setup.metric)} ({better} is better)")
    axes.set_xlabel("models added, with repetition")
    axes.set_title("Growth of an ensemble, on the validation split", loc="left")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    axes.grid(axis="y")
    legend(figure)
    return described(
        figure,
        f"The {setup.metric} of an ensemble after each of {len(path)} additions: "
        f"{path[-1]:.4g} at the end; the best model alone has {alone:.4g}.",
    )


def choice_of(result: Result) -> EnsembleChoice | None:
    """Return an ensemble of kept predictions; ``None`` if there are none at hand."""
    workload = result.setup.workload
    if workload.keep is None or workload.task is None:
        return None
    try:
        return choose(result, TOP, SIZE)
    except ValueError:  # no trial has trained in full, or a task of other functions
        return None
