"""The front of several goals: each pair of them, and the trials that none dominates."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtune.door import guarded
from jaxtune.goals.limits import SIZES
from jaxtune.goals.order import Goal
from jaxtune.report.axes import COLOURS
from jaxtune.report.points import drawn, empty_figure, set_title
from jaxtune.results.result import A_RESULT, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 3  # panels beside each other
DECADE = 10  # a goal that spans more is drawn on a log scale


@guarded(result=A_RESULT)
def front(result: Result) -> Figure:
    """Draw all trials by two goals, and the front; with more goals, each pair of them.

    The line is the border of what the front reaches. With more than two goals a trial
    of the front may lie behind it, since it is better in another goal.

    Args:
      result: result of a search with ``goals=``.

    Returns:
      A matplotlib figure, not shown; a message if the search has one goal, or no trial
      that is feasible.
    """
    from matplotlib.figure import Figure

    goals = result.setup.goals
    if not goals:
        return empty_figure("The search has one goal, so there is no front.")
    if not result.front:
        return empty_figure("No trial is feasible, so there is no front.")
    pairs = list(itertools.combinations(goals, 2))
    columns = min(MOST, len(pairs))
    lines = -(-len(pairs) // columns)
    size = (7.5, 4.5) if len(pairs) == 1 else (4.0 * columns, 3.8 * lines)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, (one, other) in zip(panels, pairs, strict=False):
        # the usual picture has the cost to the right and the gain upwards
        across, upwards = (other, one) if one.mode == "max" else (one, other)
        _draw(axes, result, across, upwards)
    for axes in panels[len(pairs) :]:
        axes.set_axis_off()
    set_title(panels[0], result, "Front", _shown(result))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _shown(result: Result) -> np.ndarray:
    return np.union1d(drawn(result), np.asarray(result.front, int))


def _draw(axes: Any, result: Result, across: Goal, upwards: Goal) -> None:
    """Draw the trials of a result by two goals."""
    from matplotlib.ticker import LogLocator

    x, y = (result.trials[g.name].astype(np.float64) for g in (across, upwards))
    rows, front = _shown(result), np.asarray(result.front, int)
    others = np.setdiff1d(rows, front)
    fine = np.isfinite(x) & np.isfinite(y)
    for within, colour, label in (
        (result.feasible, COLOURS[5], "other trials"),
        (~result.feasible, "0.75", "beyond a constraint"),
    ):
        some = others[(within & fine)[others]]
        if some.size:
            axes.scatter(x[some], y[some], s=14, color=colour, label=label)
    axes.scatter(x[front], y[front], s=24, color=COLOURS[3], label="front", zorder=3)
    border_x, border_y = _border(x[front], y[front], across.mode, upwards.mode)
    axes.step(border_x, border_y, where="post", color=COLOURS[3], linewidth=1)
    for which, goal, values in (("x", across, x), ("y", upwards, y)):
        axes.set(**{f"{which}label": f"{goal.name} ({goal.mode})"})
        shown = values[rows][np.isfinite(values[rows])]
        # a size is a matter of factors; a metric may be good by a difference
        if goal.name in SIZES and shown.max() > DECADE * shown.min():
            getattr(axes, f"set_{which}scale")("log")
            axis = axes.xaxis if which == "x" else axes.yaxis
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter("")
    axes.grid(alpha=0.25)


def _border(
    x: np.ndarray, y: np.ndarray, across: str, upwards: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of what points reach, for a line of steps, left to right."""
    sign = 1.0 if across == "min" else -1.0
    order = np.argsort(sign * x, kind="stable")
    x, y = x[order], y[order]
    best = np.maximum if upwards == "max" else np.minimum
    # from the best of one goal on, the best so far of the other
    reached = best.accumulate(y)
    if across == "min":
        return x, reached
    # from right to left: a step is drawn "post", so its height is that of its right end
    return x[::-1], np.append(reached[::-1][1:], reached[0])
