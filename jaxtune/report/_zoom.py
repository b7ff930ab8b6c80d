"""The points and the box of every round of a search, coarse to fine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtune.checks import extra
from jaxtune.door import NAME, guarded, optional
from jaxtune.printing import counted
from jaxtune.report.axes import by_place, mark_beyond, set_scale, set_score
from jaxtune.report.cells import bounds_cell
from jaxtune.report.describe import best_of_all, described, tried
from jaxtune.report.palette import colour, picture, round_colour, score_map
from jaxtune.report.panels import HEIGHT, legend, new_figure, rank_bar, single
from jaxtune.report.points import (
    best_by,
    by_rank,
    drawn,
    failed,
    mark_best,
    mark_failed,
    numbers,
    pair,
    scores,
    set_title,
)
from jaxtune.results.result import A_RESULT, Result
from jaxtune.space import Space

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMED = 9  # with more rounds, the legend has the first and the last


@guarded(result=A_RESULT, x=optional(NAME), y=optional(NAME))
@picture
def zoom(result: Result, x: str | None = None, y: str | None = None) -> Figure:
    """Draw the box of each round over two hyperparameters, and all trials by rank.

    Args:
      result: result of a search.
      x: hyperparameter on the horizontal axis; one of the lowest tier if not given.
      y: hyperparameter on the vertical axis; the next one if not given. If only one is
        searched, the score is drawn instead, and the boxes above it.

    Returns:
      A matplotlib figure, not shown.

    Raises:
      ValueError: a name that is not searched.
    """
    x, y = pair(result.setup.space, x, y)
    if y is None:
        figure, axes, boxes = _above_each_other()
        set_scale(boxes, "x", result.setup.space[x], x)
        boxes.set_axis_off()
    else:
        figure, axes = single(HEIGHT + 0.6)
        boxes = axes
    set_scale(axes, "x", result.setup.space[x], x)
    _draw_boxes(boxes, result, x, y)
    _draw_trials(axes, result, x, y)
    if y is not None:
        set_scale(axes, "y", result.setup.space[y], y)
    set_title(
        boxes, result, "Coarse to fine: every trial, and the boxes", drawn(result)
    )
    axes.grid()
    legend(figure)
    names = [x] if y is None else [x, y]
    return described(
        figure,
        f"{tried(result)} over {' and '.join(names)}, coloured by rank.",
        _shrinking(result, names),
        best_of_all(result, names),
    )


def _above_each_other() -> tuple[Figure, Axes, Axes]:
    """Return a figure with a panel for scores, and a low one above it for boxes."""
    figure = new_figure(height=HEIGHT + 0.6)
    places = figure.add_gridspec(2, 1, height_ratios=[1, 5])
    return figure, figure.add_subplot(places[1]), figure.add_subplot(places[0])


def _shrinking(result: Result, names: list[str]) -> str:
    """Return a sentence on the first box and the last one."""
    spaces = _boxes(result)
    if len(spaces) < 2:
        return ""
    first, last = (spaces[k][1] for k in (0, -1))
    parts = [
        f"{name} was {bounds_cell(first[name])} and is {bounds_cell(last[name])}"
        for name in names
    ]
    return f"The box shrinks in {len(spaces)} rounds: {'; '.join(parts)}."


def _boxes(result: Result) -> list[tuple[int, Space]]:
    """Return the number and the space of each round that searched."""
    spaces = enumerate(result.spaces)
    return [(k, space) for k, space in spaces if k not in result.confirming_rounds]


def _draw_boxes(axes: Axes, result: Result, x: str, y: str | None) -> None:
    rounds, scored = result.trials["round"], np.isfinite(scores(result))
    spaces = _boxes(result)
    for place, (number, space) in enumerate(spaces):
        named = len(spaces) <= NAMED or place in (0, len(spaces) - 1)
        count = int(((rounds == number) & scored).sum())
        label = f"round {number + 1}: {counted(count, 'trial')}" if named else None
        # each box is darker and thicker than the one around it
        share = place / max(1, len(spaces) - 1)
        style: dict[str, Any] = {"linewidth": 1.2 + 1.4 * share, "label": label}
        style["color"] = round_colour(place, len(spaces))
        if y is None:
            axes.plot(_edges(space, x), [-place, -place], clip_on=False, **style)
        else:
            axes.add_patch(_box(space, x, y, style))
    if y is None:
        axes.set_ylim(0.5 - len(spaces), 0.5)


def _box(space: Space, x: str, y: str, style: dict[str, Any]) -> Any:
    Rectangle = extra("matplotlib.patches", "report").Rectangle

    (left, right), (low, high) = _edges(space, x), _edges(space, y)
    # clipped at the frame, half of a line on it would be missing
    return Rectangle(
        (left, low), right - left, high - low, fill=False, clip_on=False, **style
    )


def _edges(space: Space, name: str) -> tuple[float, float]:
    """Return the ends of a box in plotted numbers; a choice is drawn as a cell."""
    dim = space[name]
    if not by_place(dim):
        return dim.bounds
    # a list is plotted by position, and a box of one value still needs a width
    kept = [dim.choices.index(value) for value in dim.remaining]
    return min(kept) - 0.4, max(kept) + 0.4


def _draw_trials(axes: Axes, result: Result, x: str, y: str | None) -> None:
    rank, rows, values = by_rank(result), drawn(result), scores(result)
    across, up = numbers(result, x), numbers(result, y) if y else values
    rows = rows[np.argsort(np.nan_to_num(rank[rows], nan=-1))]  # the best on top
    fine = rows[np.isfinite(rank[rows])]
    if y is None:
        span = set_score(axes, "y", up, result.setup.metric, result.setup.mode)
        if span is not None:
            mark_beyond(axes, across[fine], up[fine], span)
            fine = fine[span.holds(up[fine])]
    points = axes.scatter(
        across[fine], up[fine], c=rank[fine], s=22, cmap=score_map(), vmin=0, vmax=1
    )
    if y is not None:  # else the vertical axis is the score, which failed trials lack
        mark_failed(axes, across, up, failed(result), rows)
    again = np.isin(result.trials["round"], result.confirming_rounds)
    again &= np.isfinite(values)
    if again.any():
        axes.scatter(
            across[again],
            up[again],
            s=70,
            facecolor="none",
            edgecolor=colour("text"),
            label=f"measured again: {counted(int(again.sum()), 'trial')}",
        )
    mark_best(axes, result, across, up if y else best_by(result))
    if fine.size:
        rank_bar(points, axes)
