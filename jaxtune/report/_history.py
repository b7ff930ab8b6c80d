"""Scores in trial order, and the best score so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jaxtune import ranking
from jaxtune.checks import extra
from jaxtune.door import guarded
from jaxtune.report.axes import mark_beyond, set_score
from jaxtune.report.describe import best_of_all, described, tried
from jaxtune.report.palette import colour, picture
from jaxtune.report.panels import legend, single
from jaxtune.report.points import (
    best_by,
    drawn,
    failed,
    mark_best,
    mark_rounds,
    scores,
    set_title,
)
from jaxtune.results.result import A_RESULT, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@guarded(result=A_RESULT)
@picture
def history(result: Result) -> Figure:
    """Draw every trial's score, the range over its seeds, and the best score so far.

    The axis shows the good scores; triangles at its edge mark trials beyond it.

    Args:
      result: result of a search.

    Returns:
      A matplotlib figure, not shown.
    """
    MaxNLocator = extra("matplotlib.ticker", "report").MaxNLocator

    figure, axes = single()
    values, rows = scores(result), drawn(result)
    places, setup = np.arange(len(values)), result.setup
    span = set_score(axes, "y", values, setup.metric, setup.mode)
    if span is not None:
        _draw_seeds(axes, result, rows)
        inside = rows[span.holds(values[rows])]
        axes.scatter(inside, values[inside], s=14, color=colour("blue"), label="trials")
        best = running_best(result)
        axes.step(
            places,
            best,
            where="post",
            color=colour("text"),
            linewidth=1.8,
            label="best so far",
        )
        mark_beyond(axes, rows, values[rows], span)
        mark_best(axes, result, places, best_by(result))
    wrong = rows[failed(result)[rows]]
    if wrong.size:
        # failed trials have no score: they are marked along the worse end of the axis
        axes.plot(
            wrong,
            np.full(len(wrong), 0.015 if setup.mode == "max" else 0.985),
            "x",
            color=colour("soft"),
            markersize=4,
            transform=axes.get_xaxis_transform(),
            label=f"failed: {failed(result).sum():,}",
        )
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    axes.set(xlabel="trial", xlim=(-0.02 * len(values) - 0.5, 1.02 * len(values) - 0.5))
    set_title(axes, result, "Score of every trial", rows, pad=14)
    axes.grid(axis="y")
    mark_rounds(axes, result)
    legend(figure)
    return described(
        figure,
        f"Scores of {tried(result)}, in their order, and the best so far.",
        best_of_all(result),
    )


def _draw_seeds(axes: Axes, result: Result, rows: np.ndarray) -> None:
    """Draw the range over the seeds of each trial."""
    seeds = result.trials.scores[rows]
    if seeds.shape[1] > 1:
        with np.errstate(invalid="ignore"):  # a failed seed is NaN
            low, high = np.min(seeds, axis=1), np.max(seeds, axis=1)
        axes.vlines(rows, low, high, color=colour("blue"), linewidth=0.8, alpha=0.5)


def running_best(result: Result) -> np.ndarray:
    """Return ``[n]``, the best score up to each trial that trained to the end."""
    stage = result.trials.stage
    # as for `result.best`: a trial that was stopped ranks behind those that were not
    full = np.isfinite(result.standing) & (stage == stage.max())
    standing = result.standing
    if result.setup.goals or result.confirming_rounds:
        # it is the best score of the front, or before any is measured again, and not
        # the order of all
        full &= result.feasible
        standing = ranking.orient(result.trials["score"], result.setup.mode)
    standing = np.where(full, standing, -np.inf)
    reached = np.maximum.accumulate(standing)
    first = np.maximum.accumulate(
        np.where(standing == reached, np.arange(len(standing)), 0)
    )
    return np.where(np.isfinite(reached), scores(result)[first], np.nan)
