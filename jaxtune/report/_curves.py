"""Learning curves: the scores of trials during training, and where they stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtune.checks import extra
from jaxtune.door import guarded
from jaxtune.report.axes import mark_beyond, set_score
from jaxtune.report.describe import best_of_all, described, tried
from jaxtune.report.palette import colour, picture, score_map
from jaxtune.report.panels import legend, rank_bar, single
from jaxtune.report.points import by_rank, drawn, empty_figure, scores, set_title
from jaxtune.results.result import A_RESULT, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES = 500
FEW = 4  # up to so many rungs, each has a place of its own, whatever its epoch


@guarded(result=A_RESULT)
@picture
def curves(result: Result) -> Figure:
    """Draw the scores of trials at the rungs of a scheduler, as learning curves.

    Trials that were stopped end with a cross. Rungs that are few are drawn evenly
    spaced. Without a scheduler, scores are known at the end of training only, and only
    these are drawn, if trials differ in their epochs.

    Args:
      result: result of a search.

    Returns:
      A matplotlib figure, not shown; a message for a plain function, which has no
      epochs.
    """
    if not result.trials.epochs.any():
        return empty_figure("Nothing was trained for epochs, so there are no curves.")
    if not len(result.rungs.trial) and np.ptp(result.trials.epochs) == 0:
        return empty_figure(
            "Scores are known at the end of training only, so there are no curves. "
            "Use a scheduler, or history=True and jaxtune.report.epochs."
        )
    figure, axes = single()
    rows = drawn(result, LINES)
    known = {
        trial: np.asarray(sorted(points.items()), np.float64)
        for trial, points in result.rungs.by_trial().items()
    }
    ends, setup = scores(result), result.setup
    plotted = np.concatenate([ends, *(points[:, 1] for points in known.values())])
    span = set_score(axes, "y", plotted, setup.metric, setup.mode)
    if span is None:
        return empty_figure("No trial has a score.")
    place = _set_epochs(axes, result)
    lines = _draw_lines(axes, result, rows[np.isin(rows, [*known])], known, place)
    marks = (("stopped", "x", "soft"), ("ok", "o", "text"))
    for word, marker, name in marks:
        ended = rows[(result.trials["status"][rows] == word) & np.isfinite(ends[rows])]
        at = place(result.trials.epochs[ended])
        inside = span.holds(ends[ended])
        if not ended.size:
            continue
        style: dict[str, Any] = {"s": 16, "marker": marker, "linewidth": 0.9}
        label = {"stopped": "stopped", "ok": "trained to the end"}[word]
        style |= {"color": colour(name), "label": label, "zorder": 3}
        axes.scatter(at[inside], ends[ended][inside], **style)
    ended = rows[np.isfinite(ends[rows])]
    mark_beyond(axes, place(result.trials.epochs[ended]), ends[ended], span)
    if lines.get_segments():
        rank_bar(lines, axes)
    text = "Learning curves" if known else "Scores at the end of training"
    set_title(axes, result, text, rows)
    axes.grid()
    legend(figure)
    stopped = int((result.trials["status"] == "stopped").sum())
    return described(
        figure,
        f"{text} of {tried(result)}; {stopped:,} were stopped early.",
        best_of_all(result),
    )


def _set_epochs(axes: Axes, result: Result) -> Any:
    """Put epochs on the horizontal axis; return a function from epochs to places."""
    MaxNLocator = extra("matplotlib.ticker", "report").MaxNLocator

    epochs = result.trials.epochs
    reached = np.isfinite(result.rungs.scores).all(axis=1)
    rungs = np.unique([*result.rungs.epochs[reached], epochs.max()])
    by_examples = result.setup.workload.budget_rows > 0
    axes.set_xlabel("examples, in epochs of all" if by_examples else "epochs")
    if len(rungs) > FEW or not reached.any():
        axes.set_xlim(0, 1.03 * epochs.max())
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        return lambda at: at
    # lines between few rungs are slopes: at equal distances all can be told apart
    places = np.arange(len(rungs))
    axes.set_xticks(places, labels=[f"{rung:g}" for rung in rungs])
    axes.set_xlim(-0.3, len(rungs) - 0.7)
    # a trial that failed before the first rung is left of it
    known, at = np.append(0, rungs), np.append(-1, places)
    return lambda epochs: np.interp(epochs, known, at)


def _draw_lines(
    axes: Axes, result: Result, rows: np.ndarray, known: dict[int, Any], place: Any
) -> Any:
    """Draw the curves of some trials, the best ones last and boldest."""
    LineCollection = extra("matplotlib.collections", "report").LineCollection

    rank = np.nan_to_num(by_rank(result), nan=0.0)
    rows = rows[[len(known[trial]) > 1 for trial in rows]]  # one point is no line
    order = rows[np.argsort(rank[rows], kind="stable")]
    place_of = np.linspace(0, 1, len(order))  # among the lines, not among all trials
    lines = LineCollection(
        [np.c_[place(known[trial][:, 0]), known[trial][:, 1]] for trial in order],
        array=place_of,
        cmap=score_map(),
        linewidths=line_widths(place_of),
    )
    lines.set_clim(0, 1)
    axes.add_collection(lines)
    return lines


def line_widths(rank: np.ndarray) -> np.ndarray:
    """Return widths of lines, so that the best are the most visible ones."""
    return 0.6 + 1.2 * rank**4
