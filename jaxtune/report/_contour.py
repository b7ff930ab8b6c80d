"""A map of the score over two hyperparameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jaxtune.analysis._surface import surface
from jaxtune.door import NAME, guarded, optional
from jaxtune.report.axes import positions, set_scale
from jaxtune.report.points import (
    drawn,
    empty_figure,
    failed,
    numbers,
    pair,
    set_title,
)
from jaxtune.results.result import A_RESULT, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVELS = 12


@guarded(result=A_RESULT, x=optional(NAME), y=optional(NAME))
def contour(result: Result, x: str | None = None, y: str | None = None) -> Figure:
    """Draw a smooth map of the score over two hyperparameters, and the trials on it.

    Args:
      result: result of a search.
      x: hyperparameter on the horizontal axis; one of the lowest tier if not given.
      y: hyperparameter on the vertical axis; the next one if not given.

    Returns:
      A matplotlib figure, not shown; a message if only one hyperparameter is searched.

    Raises:
      ValueError: a name that is not searched.
    """
    from matplotlib.figure import Figure

    space = result.setup.space
    if space.dim < 2:
        return empty_figure("A map needs two searched hyperparameters; there is one.")
    x, y = pair(space, x, y)
    assert y is not None
    figure = Figure(figsize=(7.5, 5.5), layout="constrained")
    axes, found = figure.add_subplot(), surface(result, x, y)
    rows, wrong = drawn(result), failed(result)
    known = found.score[np.isfinite(found.score)]
    if known.size and known.max() > known.min():
        # quantiles: with even levels a few bad scores would leave the rest one colour
        levels = np.unique(np.quantile(known, np.linspace(0, 1, LEVELS)))
        across, up = positions(space[x], found.x), positions(space[y], found.y)
        # viridis is dark where numbers are low: good scores are dark in both directions
        colours = {"min": "viridis", "max": "viridis_r"}[result.setup.mode]
        filled = axes.contourf(across, up, found.score, levels=levels, cmap=colours)
        bar = figure.colorbar(filled, ax=axes, pad=0.01)
        bar.set_label(f"{result.setup.metric}, smoothed")
    across, up = numbers(result, x), numbers(result, y)
    good, bad = rows[~wrong[rows]], rows[wrong[rows]]
    axes.scatter(
        across[good],
        up[good],
        s=10,
        color="white",
        edgecolor="black",
        linewidth=0.6,
        label="trials",
    )
    if bad.size:
        axes.scatter(
            across[bad], up[bad], s=16, marker="x", color="#D55E00", label="failed"
        )
    set_scale(axes, "x", space[x], x)
    set_scale(axes, "y", space[y], y)
    set_title(axes, result, "Score over two hyperparameters", rows)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure
