"""Parallel coordinates: every trial as a line over all hyperparameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from jaxtune.analysis._coordinates import coordinates
from jaxtune.door import guarded
from jaxtune.report.axes import decades
from jaxtune.report.cells import tick
from jaxtune.report.points import by_rank, drawn, scores, set_title
from jaxtune.results.result import A_RESULT, Result
from jaxtune.space import Dimension
from jaxtune.space.dimension import BELOW_ONE, KINDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES = 500
FEW = 8  # up to so many values, an axis labels each of them


@guarded(result=A_RESULT)
def parallel(result: Result) -> Figure:
    """Draw each trial as a line through its values, the best ones darkest and on top.

    Every axis is on its dimension's own scale. Where a hyperparameter is inactive in a
    trial, its line has a gap. Failed trials have no line.

    Args:
      result: result of a search.

    Returns:
      A matplotlib figure, not shown.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    space, rank = result.setup.space, by_rank(result)
    rows = drawn(result, LINES)
    order = rows[np.isfinite(rank[rows])]
    order = order[np.argsort(rank[order])]  # the best last, on top
    columns = [*coordinates(result).T, scaled(scores(result))]
    heights = np.stack(columns, axis=1)
    places = np.arange(heights.shape[1])
    figure = Figure(figsize=(1.8 + 1.35 * len(places), 4.8), layout="constrained")
    axes = figure.add_subplot()
    lines = [np.stack([places, heights[trial]], axis=1) for trial in order]
    drawing = LineCollection(
        lines, array=rank[order], cmap="viridis_r", linewidths=0.9, alpha=0.8
    )
    drawing.set_clim(0, 1)
    axes.add_collection(drawing)
    for place, name in enumerate(space.searched):
        _axis(axes, place, space[name])
    _score_axis(axes, len(places) - 1, scores(result))
    labels = [*space.searched, f"{result.setup.metric} ({result.setup.mode})"]
    axes.set_xticks(places, labels, rotation=20, ha="right")
    axes.set(xlim=(-0.3, len(places) - 0.4), ylim=(-0.04, 1.04), yticks=[])
    for side in ("left", "right", "top", "bottom"):
        axes.spines[side].set_visible(False)
    bar = figure.colorbar(drawing, ax=axes, ticks=[0, 1], pad=0.01)
    bar.ax.set_yticklabels(["worst", "best"])
    set_title(axes, result, "All hyperparameters of every trial", rows)
    return figure


def scaled(values: np.ndarray) -> np.ndarray:
    """Return scores scaled to 0 for the smallest and 1 for the largest.

    Scores over more than two decades are on a log scale. Equal scores become 0.5.
    """
    if decades(values):
        values = np.log(values)
    fine = values[np.isfinite(values)]
    if not fine.size or fine.max() == fine.min():
        return np.where(np.isfinite(values), 0.5, np.nan)
    return (values - fine.min()) / (fine.max() - fine.min())


def _axis(axes: Any, place: int, dim: Dimension) -> None:
    axes.axvline(place, color="0.3", linewidth=0.8, zorder=0)
    for height, text in ticks_of(dim):
        axes.annotate(text, (place, height), (3, 0), **LABEL)


def _score_axis(axes: Any, place: int, values: np.ndarray) -> None:
    axes.axvline(place, color="0.3", linewidth=0.8, zorder=0)
    for height, words in score_ticks(values):
        axes.annotate(words, (place, height), (3, 0), **LABEL)


def score_ticks(values: np.ndarray) -> list[tuple[float, str]]:
    """Return heights and labels of the smallest and the largest score, if any."""
    fine = values[np.isfinite(values)]
    return [(0, tick(fine.min())), (1, tick(fine.max()))] if fine.size else []


LABEL: dict[str, Any] = {
    "textcoords": "offset points",
    "fontsize": "x-small",
    "va": "center",
    "zorder": 5,
    "bbox": {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5},
}


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
