"""Pictures of a comparison: curves of the best score, its seconds, and differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtune import ranking
from jaxtune.printing import printable
from jaxtune.report.axes import set_score
from jaxtune.report.describe import described
from jaxtune.report.panels import legend, single
from jaxtune.report.points import empty_figure
from jaxtune.report.theme import colour, picture, series

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from jaxtune.report._compare import Comparison

STYLES = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))  # of lines
XLABELS = {
    "trials": "trials",
    "epochs": "epochs trained, by all trials and their seeds",
    "seconds": "seconds of the whole search, with compilation",
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
        title += ", mean and 95 % interval over keys"
    return _finished(figure, axes, title, XLABELS[along])


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
    title = "Best score of each search, and the time it took"
    return _finished(figure, axes, title, XLABELS[along])


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
    labels = []
    for place, (contrast, axis) in enumerate(lines):
        test, gaps = contrast.test, _gaps(comparison, contrast, axis)
        assert test is not None, "left out above"
        axes.plot(
            gaps, np.full(len(gaps), place), "o", color=colour("soft"), markersize=4
        )
        if np.isfinite(test.low):
            axes.plot([test.low, test.high], [place, place], color=series(0))
        axes.plot(test.difference, place, "D", color=series(0), markersize=7)
        after = f" ({contrast.amount:,} {axis})"
        one, other = _plain(contrast.better), _plain(contrast.other)
        labels.append(f"{one}\nagainst {other}{after}")
    axes.axvline(0, color=colour("soft"), linewidth=1)
    axes.set_yticks(range(len(lines)), labels=labels)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    label = f"difference in {comparison.metric}, positive where the first is better"
    axes.set_title("Differences: each key, mean, 95 % interval", loc="left")
    axes.set_xlabel(label)
    axes.grid(axis="x")
    return described(figure, f"Differences of {len(lines)} pairs of methods.")


def _gaps(comparison: Comparison, contrast: Any, along: str) -> np.ndarray:
    """Return the differences of a pair, one for each key that both have."""
    ends = []
    for name in (contrast.better, contrast.other):
        group = comparison.groups[comparison.names.index(name)]
        each = comparison.curves[along][name]
        at = np.searchsorted(each.amount, contrast.amount, side="right") - 1
        keys = [one.key for one in group.searches]
        ends.append(dict(zip(keys, each.each[:, at], strict=True)))
    both = [key for key in ends[0] if key in ends[1]]
    gaps = np.asarray([ends[0][key] - ends[1][key] for key in both])
    gaps = ranking.direction(comparison.mode) * gaps
    return gaps[np.isfinite(gaps)]


def _plain(name: str) -> str:
    """Return a name, which may be that of a folder, as Matplotlib draws it as it is."""
    shown = printable(name).replace("$", r"\$")
    # a label that begins with an underscore is in no legend
    return f" {shown}" if shown.startswith("_") else shown


def _finished(figure: Any, axes: Any, title: str, xlabel: str) -> Figure:
    axes.set_xlabel(xlabel)
    axes.set_title(title, loc="left")
    axes.grid()
    legend(figure)
    names = axes.get_legend_handles_labels()[1]
    return described(figure, f"{title}, by {xlabel}: {', '.join(names)}.")


DRAWN: dict[str, Callable[[Comparison, str], Figure]] = {
    "trials": _curves,
    "epochs": _curves,
    "seconds": _seconds,
    "differences": _differences,
}
