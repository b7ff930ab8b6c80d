"""Parallel coordinates: every trial as a line over all hyperparameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from jaxtune.analysis._coordinates import coordinates
from jaxtune.checks import extra
from jaxtune.door import guarded
from jaxtune.report._curves import line_widths
from jaxtune.report.axes import span_of
from jaxtune.report.cells import beginning_of, tick
from jaxtune.report.describe import as_list, best_of_all, described, tried
from jaxtune.report.palette import colour, picture, score_map
from jaxtune.report.panels import HEIGHT, WIDTH, new_figure, rank_bar
from jaxtune.report.points import by_rank, drawn, scores, set_title
from jaxtune.results.result import A_RESULT, Result
from jaxtune.space import Dimension
from jaxtune.space.dimension import BELOW_ONE, KINDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES = 500
FEW = 8  # up to so many values, an axis labels each of them


@guarded(result=A_RESULT)
@picture
def parallel(result: Result) -> Figure:
    """Draw each trial as a line through its values, the best ones boldest and on top.

    Every axis is on its dimension's own scale. Where a hyperparameter is inactive in a
    trial, its line has a gap. Failed trials have no line.

    Args:
      result: result of a search.

    Returns:
      A matplotlib figure, not shown.
    """
    LineCollection = extra("matplotlib.collections", "report").LineCollection

    space, rank, setup = result.setup.space, by_rank(result), result.setup
    rows = drawn(result, LINES)
    order = rows[np.isfinite(rank[rows])]
    order = order[np.argsort(rank[order])]  # the best last, on top
    columns = [*coordinates(result).T, stretched(scores(result), setup.mode)]
    heights = np.stack(columns, axis=1)
    places = np.arange(heights.shape[1])
    figure = new_figure(max(WIDTH, 1.2 + 1.1 * len(places)), HEIGHT + 0.4)
    axes = figure.add_subplot()
    drawing = LineCollection(
        [np.stack([places, heights[trial]], axis=1) for trial in order],
        array=rank[order],
        cmap=score_map(),
        linewidths=line_widths(rank[order]),
    )
    drawing.set_clim(0, 1)
    axes.add_collection(drawing)
    for place, name in enumerate(space.searched):
        _draw_axis(axes, place, ticks_of(space[name]))
    _draw_axis(axes, len(places) - 1, score_ticks(scores(result), setup.mode))
    names = [*space.searched, f"{setup.metric} ({setup.mode})"]
    labels = [beginning_of(name) for name in names]
    turned: dict[str, Any] = {"rotation": 25, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(places, labels, **turned)
    axes.set(xlim=(-0.15, len(places) - 0.5), ylim=(-0.05, 1.05), yticks=[])
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    rank_bar(drawing, axes)
    set_title(axes, result, "All hyperparameters of every trial", rows)
    return described(
        figure,
        f"A line for each of {tried(result)} through its values of "
        f"{as_list(space.searched)}, and its score.",
        best_of_all(result, space.searched),
    )


def stretched(values: np.ndarray, mode: str) -> np.ndarray:
    """Return scores scaled to 0 for the smallest and 1 for the largest that is shown.

    What is shown is the axis of `span_of`; scores beyond it are at its end. Equal
    scores become 0.5.
    """
    span = span_of(values, mode)
    if span is None or span.low == span.high:
        return np.where(np.isfinite(values), 0.5, np.nan)
    ends = np.asarray([span.low, span.high])
    inside = np.clip(values, *ends)
    if span.log:
        inside, ends = np.log(inside), np.log(ends)
    return (inside - ends[0]) / (ends[1] - ends[0])


def score_ticks(values: np.ndarray, mode: str) -> list[tuple[float, str]]:
    """Return heights and labels of the ends of the axis of scores, if there are any."""
    span = span_of(values, mode)
    if span is None:
        return []
    low, high = np.nanmin(values) < span.low, np.nanmax(values) > span.high
    return [
        (0.0, f"{'≤ ' if low else ''}{tick(span.low)}"),
        (1.0, f"{'≥ ' if high else ''}{tick(span.high)}"),
    ]


def _draw_axis(axes: Any, place: int, ticks: list[tuple[float, str]]) -> None:
    axes.axvline(place, color=colour("soft"), linewidth=0.8, zorder=0)
    back = {"facecolor": colour("back"), "edgecolor": "none", "pad": 0.5, "alpha": 0.8}
    style = {"textcoords": "offset points", "fontsize": 8, "va": "center"}
    for height, words in ticks:
        words = words if len(words) < 13 else f"{words[:11]}…"
        axes.annotate(words, (place, height), (3, 0), zorder=5, bbox=back, **style)


def ticks_of(dim: Dimension) -> list[tuple[float, str]]:
    """Return coordinates and labels of all values, or of the ends and the middle."""
    if dim.kind == "continuous":
        # the cube is half open: 1 itself is no coordinate
        places = jnp.asarray([0.0, 0.5, BELOW_ONE], jnp.float32)
    else:
        places = dim.encode(jnp.asarray(_some(dim)))
    values = [dim.value(v) for v in np.asarray(dim.decode(places))]
    return list(zip(places.tolist(), map(tick, values), strict=True))


def _some(dim: Dimension) -> list[Any]:
    """Return all values of a short list or range, or three of a long one, decoded."""
    count = int(dim.cardinality)
    shown = range(count) if count <= FEW else (0, count // 2, count - 1)
    if dim.choices:
        return [dim.decoded(dim.remaining[k]) for k in shown]
    edge = KINDS[dim.kind].edge
    return [int(edge(dim, np.asarray(int(dim.low) + k))) for k in shown]
