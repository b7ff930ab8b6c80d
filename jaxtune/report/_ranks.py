"""Trials over pairs of hyperparameters, coloured by rank."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtune.door import NAMES, guarded, optional
from jaxtune.report.axes import mark_beyond, set_scale, set_score
from jaxtune.report.describe import as_list, best_of_all, described, tried
from jaxtune.report.palette import picture, score_map
from jaxtune.report.panels import legend, panel_grid, rank_bar
from jaxtune.report.points import (
    best_by,
    by_rank,
    check_searched,
    drawn,
    failed,
    important,
    mark_best,
    mark_failed,
    numbers,
    scores,
    set_heading,
)
from jaxtune.results.result import A_RESULT, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@guarded(result=A_RESULT, names=optional(NAMES))
@picture
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
    space = result.setup.space
    for name in names or ():
        check_searched(space, name)
    names = names or tuple(important(space, 4))
    pairs: list[tuple[str, str | None]] = list(combinations(names, 2))
    pairs = pairs or [(names[0], None)]  # a single one is drawn against the score
    figure, panels = panel_grid(len(pairs))
    rank, rows = by_rank(result), drawn(result)
    rows = rows[np.argsort(np.nan_to_num(rank[rows], nan=-1))]  # the best on top
    for (x, y), axes in zip(pairs, panels, strict=True):
        points = _draw(axes, result, (x, y), rows)
    rank_bar(points, panels)
    legend(figure)
    set_heading(figure, "Trials by rank", result, rows)
    return described(
        figure,
        f"{tried(result)} over pairs of {as_list(names)}, coloured by rank.",
        best_of_all(result, names),
    )


def _draw(
    axes: Axes, result: Result, pair: tuple[str, str | None], rows: np.ndarray
) -> Any:
    """Draw some trials over a pair, or over one hyperparameter and the score."""
    (x, y), rank, setup = pair, by_rank(result), result.setup
    left, up = numbers(result, x), numbers(result, y) if y else scores(result)
    set_scale(axes, "x", setup.space[x], x)
    axes.grid()
    fine = rows[np.isfinite(rank[rows])]
    if y is not None:
        set_scale(axes, "y", setup.space[y], y)
        mark_failed(axes, left, up, failed(result), rows)
    else:
        span = set_score(axes, "y", up, setup.metric, setup.mode)
        if span is not None:
            mark_beyond(axes, left[fine], up[fine], span)
            fine = fine[span.holds(up[fine])]
    style = {"s": 14, "cmap": score_map(), "vmin": 0, "vmax": 1}
    points = axes.scatter(left[fine], up[fine], c=rank[fine], **style)
    mark_best(axes, result, left, up if y else best_by(result))
    return points
