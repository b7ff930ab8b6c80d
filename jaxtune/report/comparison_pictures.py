"""Pictures of a comparison: curves of the best score, its seconds, and differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtune.report.axes import set_score
from jaxtune.report.describe import described
from jaxtune.report.palette import colour, picture, series
from jaxtune.report.panels import legend, single
from jaxtune.report.points import empty_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from jaxtune.report._compare import Comparison

STYLES = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))  # of lines
XLABELS = {
    "trials": "trials",
    "epochs": "epochs trained by all trials",
    "seconds": "seconds of a whole search, with compilation",
}


@picture
def _curves(comparison: Comparison, along: str) -> Figure:
    """Draw the mean best score of each method, its interval, and each search."""
    if along not in comparison.curves:
        return empty_figure("All trials trained for equally many epochs.")
    figure, axes = single()
    shown = []
    for number, (name, curve) in enumerate(comparison.curves[along].items()):
        shade, count = series(number), len(curve.each)
        shown += [curve.mean, curve.low[-1:], curve.high[-1:]]
        if count > 1:
            style: Any = {"color": shade, "linewidth": 0.6, "alpha": 0.5}
            axes.step(curve.amount, curve.each.T, where="post", **style)
            band: Any = {"color": shade, "alpha": 0.15, "linewidth": 0}
            axes.fill_between(curve.amount, curve.low, curve.high, step="post", **band)
        keys = "1 key" if count == 1 else f"mean of {count} keys"
        axes.step(
            curve.amount,
            curve.mean,
            where="post",
            color=shade,
            linewidth=2.2,
            label=f"{_plain(name)} ({keys})",
            # where curves coincide, those below are seen through the gaps
            linestyle=STYLES[number % len(STYLES)],
        )
    ends = [curve.amount[-1] for curve in comparison.curves[along].values()]
    if min(ends) < max(ends):
        axes.axvline(min(ends), color=colour("soft"), linewidth=1, linestyle=":")
    # the axis shows the means, and all of the bands at their ends
    scores = np.concatenate(shown)
    set_score(axes, "y", scores, comparison.metric, comparison.mode)
    title = "Best score so far"
    if any(len(c.each) > 1 for c in comparison.curves[along].values()):
        title += ", mean and 95 % interval"
    told = [
        f"{name}: {curve.mean[-1]:.4g} after {curve.amount[-1]:,}."
        for name, curve in comparison.curves[along].items()
    ]
    return _finished(figure, axes, title, XLABELS[along], told)


@picture
def _seconds(comparison: Comparison, along: str) -> Figure:
    """Draw the best score of each search against the time that it took."""
    if not comparison.timed:
        return empty_figure("Seconds of these searches are not comparable.")
    figure, axes = single()
    every = []
    for number, name in enumerate(comparison.names):
        rows = [row for row in comparison.table if row["search"] == name]
        seconds = [row["seconds"] for row in rows]
        scores = np.asarray([row["best"] for row in rows], np.float64)
        every.append(scores)
        axes.scatter(seconds, scores, color=series(number), s=36, label=_plain(name))
    set_score(axes, "y", np.concatenate(every), comparison.metric, comparison.mode)
    axes.set_xlim(left=0)
    title = "Best score and time of each search"
    told = [
        f"{row['search']}, key {row['key']}: {row['best']:.4g}, {row['seconds']:.3g} s."
        for row in comparison.table
    ]
    return _finished(figure, axes, title, XLABELS[along], told)


@picture
def _differences(comparison: Comparison, along: str) -> Figure:
    """Draw the differences of each pair of methods: keys, their mean, its interval."""
    del along
    lines = [
        (contrast, axis)
        for axis, found in comparison.contrasts.items()
        for contrast in found
        if contrast.test is not None
    ]
    if not lines:
        return empty_figure("No two methods have a key in common.")
    figure, axes = single(1.2 + 0.7 * len(lines))
    for place, (contrast, axis) in enumerate(lines):
        test = contrast.test
        assert test is not None, "left out above"
        at = np.full(test.pairs, place)
        axes.plot(test.gaps, at, "o", color=colour("soft"), markersize=4)
        if np.isfinite(test.low):
            axes.plot([test.low, test.high], [place, place], color=series(0))
        axes.plot(test.difference, place, "D", color=series(0), markersize=7)
        after = f" ({contrast.amount:,} {axis})"
        one, other = _plain(contrast.better), _plain(contrast.other)
        # above its line, where a long name has room
        axes.annotate(
            f"{one} against {other}{after}",
            (0, place),
            (2, 9),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=9,
        )
    axes.axvline(0, color=colour("grey"), linewidth=1.5, zorder=0)
    axes.set_yticks([])
    axes.set_ylim(len(lines) - 0.6, -0.6)
    axes.set_title("Difference of each key, mean, 95 % interval", loc="left")
    axes.set_xlabel(f"{comparison.metric}: above 0 the first is better")
    axes.grid(axis="x")
    return described(figure, "Differences of methods.", *comparison.conclusion)


def _plain(name: str) -> str:
    """Return a name for a legend, which leaves out what begins with an underscore."""
    return f" {name}" if name.startswith("_") else name


def _finished(
    figure: Figure, axes: Axes, title: str, xlabel: str, told: Sequence[str]
) -> Figure:
    axes.set_xlabel(xlabel)
    axes.set_title(title, loc="left")
    axes.grid()
    legend(figure, columns=2)
    return described(figure, f"{title}, by {xlabel}.", *told)


DRAWN: dict[str, Callable[[Comparison, str], Figure]] = {
    "trials": _curves,
    "epochs": _curves,
    "seconds": _seconds,
    "differences": _differences,
}
