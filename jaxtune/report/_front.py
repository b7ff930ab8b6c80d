"""The front of several goals: each pair of them, and the trials that none dominates."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtune.checks import extra
from jaxtune.door import guarded
from jaxtune.goals.limits import SIZES
from jaxtune.goals.order import Goal
from jaxtune.report.cells import beginning_of
from jaxtune.report.describe import as_list, described, tried
from jaxtune.report.palette import colour, picture
from jaxtune.report.panels import legend, panel_grid
from jaxtune.report.points import drawn, empty_figure, set_title
from jaxtune.results.result import A_RESULT, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    return front_of(result, list(itertools.combinations(result.setup.goals, 2)))


@picture
def front_of(result: Result, pairs: Sequence[tuple[Goal, Goal]]) -> Figure:
    """Draw the front by some pairs of goals; see `front`."""
    if not result.setup.goals:
        return empty_figure("The search has one goal, so there is no front.")
    if not result.front:
        return empty_figure("No trial is feasible, so there is no front.")
    figure, panels = panel_grid(len(pairs))
    for axes, (one, other) in zip(panels, pairs, strict=True):
        # the usual picture has the cost to the right and the gain upwards
        across, upwards = (other, one) if one.mode == "max" else (one, other)
        _draw(axes, result, across, upwards)
    set_title(panels[0], result, "Front", _shown(result))
    legend(figure)
    goals = {goal.name: goal for pair in pairs for goal in pair}
    return described(
        figure,
        f"{tried(result)} by {as_list([*goals])}; {len(result.front)} are in the "
        "front, which no other trial beats in every goal.",
        *(_reached(result, goal) for goal in goals.values()),
    )


def _reached(result: Result, goal: Goal) -> str:
    """Return a sentence on the range of a goal along the front."""
    values = result.trials[goal.name][np.asarray(result.front, int)]
    return f"Its {goal.name} is {values.min():.4g} to {values.max():.4g}."


def _shown(result: Result) -> np.ndarray:
    return np.union1d(drawn(result), np.asarray(result.front, int))


def _draw(axes: Any, result: Result, across: Goal, upwards: Goal) -> None:
    """Draw the trials of a result by two goals."""
    LogLocator = extra("matplotlib.ticker", "report").LogLocator

    x, y = (result.trials[g.name].astype(np.float64) for g in (across, upwards))
    rows, front = _shown(result), np.asarray(result.front, int)
    others = np.setdiff1d(rows, front)
    fine = np.isfinite(x) & np.isfinite(y)
    for within, (name, marker), label in (
        (result.feasible, ("blue", "o"), "other trials"),
        (~result.feasible, ("soft", "x"), "beyond a constraint"),
    ):
        some = others[(within & fine)[others]]
        if some.size:
            style = {"color": colour(name), "marker": marker, "linewidth": 0.9}
            axes.scatter(x[some], y[some], s=14, label=label, **style)
    axes.scatter(
        x[front], y[front], s=24, color=colour("best"), label="front", zorder=3
    )
    border_x, border_y = _border(x[front], y[front], across.mode, upwards.mode)
    axes.step(border_x, border_y, where="post", color=colour("best"), linewidth=1.5)
    for which, goal, values in (("x", across, x), ("y", upwards, y)):
        axes.set(**{f"{which}label": f"{beginning_of(goal.name)} ({goal.mode})"})
        shown = values[rows][np.isfinite(values[rows])]
        # a size is a matter of factors; a metric may be good by a difference
        if goal.name in SIZES and shown.max() > DECADE * shown.min():
            getattr(axes, f"set_{which}scale")("log")
            axis = axes.xaxis if which == "x" else axes.yaxis
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter("")
    axes.grid()


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
