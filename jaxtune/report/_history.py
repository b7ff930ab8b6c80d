"""Scores in the order of trials, and the best so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jaxtune.report.axes import set_score
from jaxtune.report.points import drawn, failed, round_colour, scores, title
from jaxtune.results.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def history(result: Result) -> Figure:
    """Draw every trial's score, seeds as a bar, and the best score so far.

    Args:
      result: what a search found.

    Returns:
      A matplotlib figure, not shown.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    values, rows = scores(result), drawn(result)
    for number in range(len(result.spaces)):
        own = rows[result.trials["round"][rows] == number]
        colour, label = round_colour(number), f"round {number + 1}"
        if result.trials.scores.shape[1] > 1:
            with np.errstate(invalid="ignore"):
                low, high = (f(result.trials.scores[own], 1) for f in (np.min, np.max))
            axes.vlines(own, low, high, color=colour, linewidth=0.8, alpha=0.5)
        axes.scatter(own, values[own], s=14, color=colour, label=label)
    best = _best_so_far(result)
    if np.isfinite(best).any():
        axes.step(
            np.arange(len(best)), best, where="post", color="black", label="best so far"
        )
    wrong = rows[failed(result)[rows]]
    if wrong.size:
        axes.plot(
            wrong,
            np.full(len(wrong), 0.02),
            "x",
            color="0.5",
            markersize=5,
            transform=axes.get_xaxis_transform(),
            label=f"failed: {failed(result).sum()}",
        )
    set_score(axes, "y", values, result.setup.metric, result.setup.mode)
    axes.set_xlabel("trial")
    title(axes, result, "Score of every trial", rows)
    axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def _best_so_far(result: Result) -> np.ndarray:
    """``[n]`` best score up to each trial, among those that trained to the end."""
    epochs = result.trials.epochs
    full = np.isfinite(result.standing) & (epochs == epochs.max())
    standing = np.where(full, result.standing, -np.inf)
    reached = np.maximum.accumulate(standing)
    first = np.maximum.accumulate(
        np.where(standing == reached, np.arange(len(standing)), 0)
    )
    return np.where(np.isfinite(reached), scores(result)[first], np.nan)
