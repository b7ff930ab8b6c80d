"""Isolation plots: the values of one hyperparameter, each with the others tuned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtune import ranking
from jaxtune.report.axes import mark_beyond, set_score
from jaxtune.report.cells import beginning_of
from jaxtune.report.describe import described
from jaxtune.report.palette import colour, picture, series
from jaxtune.report.panels import legend, single
from jaxtune.report.points import empty_figure
from jaxtune.report.study_words import label_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from jaxtune.report._study import Study

SIDE = 0.16  # from the middle of a value to its trials, and to its mean


def _better_half(scores: np.ndarray, mode: str) -> np.ndarray:
    """Return the better half of the scores of a value that has not failed."""
    order = ranking.order(ranking.orient(scores, mode))
    return scores[order[: -(-int(np.isfinite(scores).sum()) // 2)]]


@picture
def isolation(study: Study, name: str) -> Figure:
    """Draw the scores of each value: of the tuning, and over fresh seeds."""
    found, result = study.comparisons[name], study.result
    searched = result.trials.columns.get("repeat_of", np.full(len(result.trials), -1))
    scores = np.where(searched < 0, result.trials["score"], np.nan).astype(np.float64)
    if not np.isfinite(scores).any():
        return empty_figure("No trial has a score.")
    figure, axes = single()
    column = result.trials[name]
    seen = [v for value in found.values for v in (value.low, value.high, value.tuned)]
    xs, ys = [], []
    for place, value in enumerate(found.values):
        own = scores[column == value.values[name]]
        xs.append(np.full(len(own), place - SIDE))
        ys.append(own)
    x, y = np.concatenate(xs), np.concatenate(ys)
    # the axis shows the good settings of each value, down to the median of each
    good = np.concatenate([_better_half(own, result.setup.mode) for own in ys])
    shown = np.concatenate([good, np.asarray(seen, np.float64)])
    span = set_score(axes, "y", shown, result.setup.metric, result.setup.mode)
    assert span is not None, "there are scores"
    inside = span.holds(y)
    soft: dict[str, Any] = {"color": colour("soft"), "s": 10, "alpha": 0.6}
    axes.scatter(x[inside], y[inside], label="a trial of the tuning", **soft)
    mark_beyond(axes, x, y, span)
    tuned = [value.tuned for value in found.values]
    places = np.arange(len(tuned))
    bar: dict[str, Any] = {"marker": "_", "s": 240, "color": colour("text")}
    axes.scatter(places - SIDE, tuned, label="best of the tuning", **bar)
    means = np.asarray([value.mean for value in found.values])
    known = np.isfinite(means)
    if known.any():
        reach = np.asarray([v.high - v.mean for v in found.values])
        axes.errorbar(
            places[known] + SIDE,
            means[known],
            yerr=np.nan_to_num(reach[known]),
            fmt="D",
            color=series(0),
            capsize=4,
            label="best setting, fresh seeds, 95 % interval",
        )
    named = [beginning_of(label_of(value), 14) for value in found.values]
    axes.set_xticks(places, labels=named)
    axes.set_xlim(-0.6, len(places) - 0.4)
    axes.set_xlabel(beginning_of(name))
    axes.set_title("Each value, the others tuned", loc="left")
    axes.grid(axis="y")
    legend(figure, columns=2)
    said = [
        f"{label_of(v)}: tuned {v.tuned:.4g}"
        f"{f', with fresh seeds {v.mean:.4g}' if np.isfinite(v.mean) else ''}."
        for v in found.values
    ]
    if result.finished:
        said.append(study.conclusions[name])
    return described(figure, f"The {name} in isolation.", *said)
