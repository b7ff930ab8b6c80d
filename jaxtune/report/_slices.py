"""The score over each hyperparameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxtune.door import guarded
from jaxtune.report.axes import mark_beyond, set_scale, set_score
from jaxtune.report.describe import as_list, best_of_all, described, tried
from jaxtune.report.palette import picture, round_colour
from jaxtune.report.panels import legend, panel_grid, panel_rows
from jaxtune.report.points import (
    MOST,
    best_by,
    drawn,
    empty_figure,
    mark_best,
    numbers,
    round_label,
    scores,
    set_heading,
    thinning_note,
)
from jaxtune.results.result import A_RESULT, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW = 500  # points in a panel, however many panels share the figure's 3 * MOST


@guarded(result=A_RESULT)
def slices(result: Result) -> Figure:
    """Draw the score over each searched hyperparameter, later rounds darker.

    The axis shows the good scores; triangles at its edge mark trials beyond it.

    Args:
      result: result of a search.

    Returns:
      A matplotlib figure, not shown.

    Raises:
      ValueError: a space in which all is fixed.
    """
    names = result.setup.space.searched
    if not names:
        raise ValueError("slices: nothing was searched, all is fixed.")
    return slices_of(result, names)


@picture
def slices_of(result: Result, names: Sequence[str]) -> Figure:
    """Draw the score over some hyperparameters; see `slices`."""
    searched = result.setup.space.searched
    if not np.isfinite(result.standing).any():
        return empty_figure("No trial has a score.")
    rows = drawn(result, min(MOST, max(FEW, 3 * MOST // len(searched))))
    figure, panels = panel_grid(len(names))
    for name, axes in zip(names, panels, strict=True):
        _draw(axes, result, name, rows)
    across = panel_rows(len(names))[0]
    for place, axes in enumerate(panels):
        # the axis of scores is the same everywhere: in a full grid, once in each row
        if len(names) % across == 0 and place % across:
            axes.set_ylabel("")
            axes.tick_params(labelleft=False)
    if len(names) > 1:
        set_heading(figure, "Each hyperparameter against the score", result, rows)
    else:
        panels[0].set_title(thinning_note(result, rows), loc="left")
    legend(figure, columns=3 if across < 3 else 6)
    return described(
        figure,
        f"The {result.setup.metric} of {tried(result)} against {as_list(names)}.",
        best_of_all(result, names),
    )


def _draw(axes: Axes, result: Result, name: str, rows: np.ndarray) -> None:
    """Draw the scores of some trials over one hyperparameter."""
    x, values, dim = numbers(result, name), scores(result), result.setup.space[name]
    if dim.by_index:
        x = x + _offsets(len(x))
    set_scale(axes, "x", dim, name)
    axes.grid()
    span = set_score(axes, "y", values, result.setup.metric, result.setup.mode)
    if span is None:
        return
    inside = rows[span.holds(values[rows])]
    for number in range(len(result.spaces)):
        of_round = inside[result.trials["round"][inside] == number]
        shade = round_colour(number, len(result.spaces))
        label = round_label(result, number)
        axes.scatter(x[of_round], values[of_round], s=12, color=shade, label=label)
    mark_beyond(axes, x[rows], values[rows], span)
    mark_best(axes, result, x, best_by(result))


def _offsets(count: int) -> np.ndarray:
    """Return offsets ``[count]`` that keep the points of one choice apart."""
    # multiples of the golden ratio spread evenly, and are the same on every call
    return 0.3 * ((np.arange(count) * 0.618034) % 1 - 0.5)
