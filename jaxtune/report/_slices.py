"""The score over each hyperparameter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtune.door import guarded
from jaxtune.report.axes import set_scale, set_score
from jaxtune.report.points import (
    MOST,
    drawn,
    numbers,
    round_colour,
    round_label,
    scores,
    thinning_note,
)
from jaxtune.results.result import A_RESULT, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACROSS = 3  # panels in a row
FEW = 500  # points in a panel, however many panels share the figure's 3 * MOST


@guarded(result=A_RESULT)
def slices(result: Result) -> Figure:
    """Draw the score over each searched hyperparameter, coloured by round.

    Args:
      result: result of a search.

    Returns:
      A matplotlib figure, not shown.

    Raises:
      ValueError: a space in which all is fixed.
    """
    from matplotlib.figure import Figure

    names = result.setup.space.searched
    if not names:
        raise ValueError("slices: nothing was searched, all is fixed.")
    rows = drawn(result, min(MOST, max(FEW, 3 * MOST // len(names))))
    across = min(ACROSS, len(names))
    down = -(-len(names) // across)
    figure = Figure(
        figsize=(1.2 + 3.6 * across, 0.9 + 2.9 * down), layout="constrained"
    )
    panels = figure.subplots(down, across, squeeze=False, sharey=True)
    for name, axes in zip(names, panels.flat, strict=False):
        _panel(axes, result, name, rows)
    for axes in panels.flat[len(names) :]:
        axes.set_axis_off()
    for axes in panels[:, 1:].flat:
        axes.set_ylabel("")
    figure.suptitle(
        f"Each hyperparameter against the score {thinning_note(result, rows)}"
    )
    # every panel has the same rounds, so the legend of one is that of all
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    return figure


def _panel(axes: Any, result: Result, name: str, rows: np.ndarray) -> None:
    x, values, dim = numbers(result, name), scores(result), result.setup.space[name]
    for number in range(len(result.spaces)):
        of_round = rows[result.trials["round"][rows] == number]
        offsets = _offsets(len(of_round)) if dim.by_index else 0.0
        colour, label = round_colour(number), round_label(result, number)
        axes.scatter(
            x[of_round] + offsets, values[of_round], s=10, color=colour, label=label
        )
    set_scale(axes, "x", dim, name)
    set_score(axes, "y", values, result.setup.metric, result.setup.mode)
    axes.grid(alpha=0.25)


def _offsets(count: int) -> np.ndarray:
    """Return offsets ``[count]`` that keep the points of one choice apart."""
    # multiples of the golden ratio spread evenly, and are the same on every call
    return 0.3 * ((np.arange(count) * 0.618034) % 1 - 0.5)
