"""Trials over pairs of hyperparameters, coloured by rank."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from jaxtune.door import NAMES, guarded, optional
from jaxtune.report.axes import set_scale, set_score
from jaxtune.report.points import (
    by_rank,
    check_searched,
    drawn,
    failed,
    important,
    numbers,
    scores,
    thinning_note,
)
from jaxtune.results.result import A_RESULT, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACROSS = 3


@guarded(result=A_RESULT, names=optional(NAMES))
def ranks(result: Result, names: tuple[str, ...] | None = None) -> Figure:
    """Draw trials over pairs of hyperparameters, coloured from the worst to the best.

    Ranks show where good trials are, even if a few scores are extreme. Failed trials
    are grey crosses.

    Args:
      result: result of a search.
      names: hyperparameters to draw; four of the lowest tiers if not given.

    Returns:
      A matplotlib figure, not shown.

    Raises:
      ValueError: a name that is not searched.
    """
    from matplotlib.figure import Figure

    space = result.setup.space
    for name in names or ():
        check_searched(space, name)
    names = names or tuple(important(space, 4))
    pairs: list[tuple[str, str | None]] = list(combinations(names, 2))
    pairs = pairs or [(names[0], None)]  # a single one is drawn against the score
    across = min(ACROSS, len(pairs))
    down = -(-len(pairs) // across)
    figure = Figure(
        figsize=(1.6 + 3.7 * across, 0.8 + 3.1 * down), layout="constrained"
    )
    panels = figure.subplots(down, across, squeeze=False)
    rank, rows = by_rank(result), drawn(result)
    rows = rows[np.argsort(np.nan_to_num(rank[rows], nan=-1))]  # the best on top
    fine = rows[np.isfinite(rank[rows])]
    wrong = rows[failed(result)[rows]]
    for (x, y), axes in zip(pairs, panels.flat, strict=False):
        left, up = numbers(result, x), numbers(result, y) if y else scores(result)
        axes.scatter(left[wrong], up[wrong], s=14, marker="x", color="0.6")
        points = axes.scatter(
            left[fine], up[fine], s=14, c=rank[fine], cmap="viridis_r", vmin=0, vmax=1
        )
        set_scale(axes, "x", space[x], x)
        if y is None:
            set_score(axes, "y", up, result.setup.metric, result.setup.mode)
        else:
            set_scale(axes, "y", space[y], y)
        axes.grid(alpha=0.25)
    for axes in panels.flat[len(pairs) :]:
        axes.set_axis_off()
    bar = figure.colorbar(points, ax=panels, ticks=[0, 1], pad=0.01)
    bar.ax.set_yticklabels(["worst", "best"])
    figure.suptitle(f"Trials by rank {thinning_note(result, rows)}")
    return figure
