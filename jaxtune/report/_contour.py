"""A map of the score over two hyperparameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtune.analysis._surface import surface
from jaxtune.checks import extra
from jaxtune.door import NAME, guarded, optional
from jaxtune.report.axes import Span, positions, set_scale, span_of
from jaxtune.report.cells import beginning_of
from jaxtune.report.describe import best_of_all, described, tried
from jaxtune.report.palette import colour, picture, score_colours
from jaxtune.report.panels import HEIGHT, legend, single
from jaxtune.report.points import (
    drawn,
    empty_figure,
    failed,
    mark_best,
    mark_failed,
    numbers,
    pair,
    set_title,
)
from jaxtune.results.result import A_RESULT, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE = 5  # factor between the ends of a map with a log scale
LEVELS = 9  # about so many colours, between round numbers


@guarded(result=A_RESULT, x=optional(NAME), y=optional(NAME))
@picture
def contour(result: Result, x: str | None = None, y: str | None = None) -> Figure:
    """Draw a smooth map of the score over two hyperparameters, and the trials on it.

    Places far from any trial are hatched: nothing is known there.

    Args:
      result: result of a search.
      x: hyperparameter on the horizontal axis; one of the lowest tier if not given.
      y: hyperparameter on the vertical axis; the next one if not given.

    Returns:
      A matplotlib figure, not shown; a message if only one hyperparameter is searched.

    Raises:
      ValueError: a name that is not searched.
    """
    space = result.setup.space
    if space.dim < 2:
        return empty_figure("A map needs two searched hyperparameters; there is one.")
    x, y = pair(space, x, y)
    assert y is not None
    figure, axes = single(HEIGHT + 0.6)
    set_scale(axes, "x", space[x], x)
    set_scale(axes, "y", space[y], y)
    _draw_map(axes, result, x, y)
    rows, wrong = drawn(result), failed(result)
    across, up = numbers(result, x), numbers(result, y)
    good = rows[~wrong[rows]]
    axes.scatter(
        across[good],
        up[good],
        s=11,
        facecolor=colour("back"),
        edgecolor=colour("text"),
        linewidth=0.7,
        label="trials",
    )
    mark_failed(axes, across, up, wrong, rows)
    mark_best(axes, result, across, up)
    set_title(
        axes,
        result,
        f"{beginning_of(result.setup.metric)} over two hyperparameters",
        rows,
    )
    legend(figure)
    return described(
        figure,
        f"A smooth map of {result.setup.metric} over {x} and {y}, from "
        f"{tried(result)}.",
        best_of_all(result, [x, y]),
    )


def _draw_map(axes: Axes, result: Result, x: str, y: str) -> None:
    """Fill the axes with the score, and hatch what is too far from any trial."""
    setup, found = result.setup, surface(result, x, y)
    known = found.score[np.isfinite(found.score)]
    across, up = positions(setup.space[x], found.x), positions(setup.space[y], found.y)
    if not known.size or known.max() <= known.min():
        few = "all scores are equal" if known.size else "too few scores for a map"
        _hatch(axes, across, up, few)
        return
    levels, beyond = levels_of(known, setup.mode)
    extend = {"min": "max", "max": "min"}[setup.mode] if beyond else "neither"
    colours = score_colours(len(levels) - 1 + beyond)
    if setup.mode == "min":
        colours = colours[::-1]
    filled = axes.contourf(
        across, up, found.score, levels=levels, colors=colours, extend=extend
    )
    if not np.isfinite(found.score).all():
        _hatch(axes, across, up, "too far from any trial")
    bar = axes.figure.colorbar(filled, ax=axes, pad=0.015, ticks=levels, aspect=30)
    bar.set_label(f"{beginning_of(setup.metric)}, smoothed ({setup.mode})")
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_formatter("{x:.4g}")


def levels_of(known: np.ndarray, mode: str) -> tuple[np.ndarray, bool]:
    """Return round levels over good scores, and whether worse scores lie beyond them.

    Args:
      known: ``[n]`` scores of a map, not all equal.
      mode: ``"max"`` or ``"min"``.
    """
    ticker = extra("matplotlib.ticker", "report")

    span = span_of(known, mode)
    assert span is not None
    low, high = known.min(), known.max()
    # most of a map may be bad: on a log scale the good part has levels of its own
    if low > 0 and high >= WIDE * low:
        span = Span(float(low), float(high), log=True)
        finder: Any = ticker.LogLocator(subs=(1, 1.5, 2, 3, 5, 7))
    else:
        finder = ticker.MaxNLocator(LEVELS, steps=[1, 2, 5, 10])
    levels = finder.tick_values(span.low, span.high)
    # of round numbers, those around what is shown: the best score has a colour too
    first = max(0, np.searchsorted(levels, span.low, side="right") - 1)
    last = np.searchsorted(levels, span.high, side="left") + 1
    levels = levels[first:last]
    return levels, bool((known > levels[-1]).any() or (known < levels[0]).any())


def _hatch(axes: Axes, across: np.ndarray, up: np.ndarray, why: str) -> None:
    """Hatch the whole map below all else, and say in the legend why."""
    Rectangle = extra("matplotlib.patches", "report").Rectangle

    unknown = Rectangle(
        (across[0], up[0]),
        across[-1] - across[0],
        up[-1] - up[0],
        facecolor=colour("panel"),
        edgecolor=colour("grey"),
        linewidth=0,
        hatch="////",
        zorder=0,
        label=why,
    )
    axes.add_patch(unknown)
