"""The points and the box of every round of a search, coarse to fine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jaxtune.door import NAME, guarded, optional
from jaxtune.report.axes import by_place, set_scale, set_score
from jaxtune.report.points import (
    drawn,
    failed,
    numbers,
    pair,
    round_colour,
    round_label,
    scores,
    set_title,
)
from jaxtune.results.result import A_RESULT, Result
from jaxtune.space import Space

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@guarded(result=A_RESULT, x=optional(NAME), y=optional(NAME))
def zoom(result: Result, x: str | None = None, y: str | None = None) -> Figure:
    """Draw each round's points and box over two hyperparameters.

    Args:
      result: result of a search.
      x: hyperparameter on the horizontal axis; one of the lowest tier if not given.
      y: hyperparameter on the vertical axis; the next one if not given. If only one is
        searched, the score is drawn instead.

    Returns:
      A matplotlib figure, not shown.

    Raises:
      ValueError: a name that is not searched.
    """
    from matplotlib.figure import Figure

    x, y = pair(result.setup.space, x, y)
    figure = Figure(figsize=(7.5, 5.5), layout="constrained")
    axes = figure.add_subplot()
    # a trial of an unfinished run may have neither a score nor failed: it waits
    rounds, scored = result.trials["round"], np.isfinite(scores(result))
    lost, rows = failed(result), drawn(result)
    shown = np.isin(np.arange(len(lost)), rows)
    for number, space in enumerate(result.spaces):
        colour = round_colour(number)
        of_round = (rounds == number) & scored
        label = f"{round_label(result, number)}: {of_round.sum()} trials"
        across, up = _columns(result, of_round & shown, x, y)
        axes.scatter(across, up, s=22, color=colour, label=label)
        if number not in result.confirming_rounds:
            _draw_box(axes, space, x, y, colour)
    if lost.any():
        label = f"failed: {lost.sum()} trials"
        across, up = _columns(result, lost & shown, x, y)
        if y is not None:  # else the vertical axis is the score, which they lack
            axes.scatter(across, up, s=22, marker="x", color="0.5", label=label)
    _mark_best(axes, result, x, y)
    set_scale(axes, "x", result.setup.space[x], x)
    if y is None:
        set_score(axes, "y", scores(result), result.setup.metric, result.setup.mode)
    else:
        set_scale(axes, "y", result.setup.space[y], y)
    set_title(axes, result, f"{len(result.trials)} trials, coarse to fine", rows)
    axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def _columns(
    result: Result, rows: np.ndarray, x: str, y: str | None
) -> tuple[np.ndarray, np.ndarray]:
    vertical = numbers(result, y) if y else scores(result)
    return numbers(result, x)[rows], vertical[rows]


def _draw_box(axes: Axes, space: Space, x: str, y: str | None, colour: str) -> None:
    from matplotlib.patches import Rectangle

    left, right = _edges(space, x)
    if y is None:
        axes.axvspan(left, right, color=colour, alpha=0.08)
        return
    low, high = _edges(space, y)
    box = Rectangle(
        (left, low),
        width=right - left,
        height=high - low,
        fill=False,
        edgecolor=colour,
        linewidth=2.0,
        # clipped at the frame, half of a line on it would be missing
        clip_on=False,
    )
    axes.add_patch(box)


def _edges(space: Space, name: str) -> tuple[float, float]:
    """Return the ends of a box in plotted numbers; a choice is drawn as a cell."""
    dim = space[name]
    if not by_place(dim):
        return dim.bounds
    # a list is plotted by position, and a box of one value still needs a width
    kept = [dim.choices.index(value) for value in dim.remaining]
    return min(kept) - 0.4, max(kept) + 0.4


def _mark_best(axes: Axes, result: Result, x: str, y: str | None) -> None:
    if not np.isfinite(result.standing).any():
        return
    best = result.best
    row = np.arange(len(result.trials)) == best.trial
    across, up = _columns(result, row, x, y)
    axes.scatter(
        across,
        up,
        s=260,
        marker="*",
        color="#D55E00",
        edgecolor="black",
        zorder=3,
        label=f"best: {result.setup.metric} {best.score:.4g}",
    )
