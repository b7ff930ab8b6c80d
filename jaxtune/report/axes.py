"""Axes on the scale of a dimension, or on the scale that scores need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxtune.checks import extra
from jaxtune.report.cells import beginning_of
from jaxtune.report.palette import colour
from jaxtune.space import Dimension
from jaxtune.space.scales import SCALES

# In spans of the better half of scores: an axis that is longer than TOLERATED is cut
# to SHOWN.
TOLERATED, SHOWN = 5, 4
# scores whose better half spans such a factor are drawn on a log scale
FACTOR = 10
LETTER = 0.085  # inches that a letter of a tick takes, with room


def set_scale(axes: Any, which: str, dim: Dimension, name: str) -> None:
    """Put one axis of a plot on a dimension's scale, with ticks that suit it.

    Args:
      axes: matplotlib axes.
      which: ``"x"`` or ``"y"``.
      dim: the dimension, with the whole range to show.
      name: the axis' label.
    """
    ticker = extra("matplotlib.ticker", "report")

    axis = axes.xaxis if which == "x" else axes.yaxis
    axes.set(**{f"{which}label": f"{beginning_of(name)}{NOTES.get(dim.scale, '')}"})
    setter = getattr(axes, f"set_{which}scale")

    if by_place(dim):
        _label_choices(axes, which, dim.choices)
    elif dim.kind == "power_of_two":
        setter("log", base=2)
        axis.set_major_locator(ticker.LogLocator(2, numticks=5 if which == "x" else 8))
        axis.set_minor_locator(ticker.NullLocator())
        axis.set_major_formatter("{x:g}")
    elif dim.scale == "log":
        setter("log")
        label_decades(axis, *dim.bounds)
    elif dim.kind == "integer" or all(isinstance(v, int) for v in dim.choices or [""]):
        axis.set_major_locator(ticker.MaxNLocator("auto", integer=True))
    elif dim.scale == "reverse_log":
        setter("function", functions=(_reverse_log, _reverse_log_inverse))
        label = 0.45 if which == "x" else 0.2  # inches
        ticks = _spaced_ticks(dim, label / _inches(axes, which))
        axis.set_ticks(ticks, labels=[f"{x:g}" for x in ticks])
    # after the scale, which chooses limits of its own
    axes.set(**{f"{which}lim": _limits(dim)})


def by_place(dim: Dimension) -> bool:
    """Return whether values are drawn at their places in the list."""
    # no axis reaches to infinity
    return dim.by_index or bool(dim.choices and np.isinf(dim.choices).any())


def _inches(axes: Any, which: str) -> float:
    """Return about how long an axis is, from the place of its panel in the figure."""
    spec, figure = axes.get_subplotspec(), axes.figure
    rows, columns = spec.get_geometry()[:2]
    if which == "x":
        share = len(spec.colspan) / columns
        return share * figure.get_figwidth() - 1.0  # less the labels of the other axis
    return len(spec.rowspan) / rows * figure.get_figheight() - 0.9


def _label_choices(axes: Any, which: str, choices: Sequence[Any]) -> None:
    """Label the places of choices: cut, turned or left out where there is no room."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    words = [beginning_of(str(choice), 15) for choice in choices]
    room, widest = _inches(axes, which), LETTER * max(map(len, words))
    turned = which == "x" and len(words) * widest > room
    lines = 0.2 if turned or which == "y" else widest
    step = max(1, -(-int(100 * len(words) * lines) // int(100 * room)))
    places = range(0, len(words), step)
    turn = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if turned else {}
    axis.set_ticks(places, labels=[words[k] for k in places], **turn)


def _spaced_ticks(dim: Dimension, share: float) -> list[float]:
    """Return ticks of the reverse log scale, far enough apart for their labels."""
    low, high = map(_reverse_log, dim.bounds)
    kept: list[float] = []
    for tick in (x for x in REVERSE_TICKS if dim.bounds[0] <= x <= dim.bounds[1]):
        gap = _reverse_log(tick) - _reverse_log(kept[-1]) if kept else np.inf
        if gap >= share * (high - low):
            kept.append(tick)
    return kept


def positions(dim: Dimension, u: np.ndarray) -> np.ndarray:
    """Return the positions of coordinates on a plot's axis.

    An integer k takes up an interval of coordinates, drawn from k - 1/2 to k + 1/2.

    Args:
      dim: the dimension of the axis.
      u: ``[n]`` coordinates from 0 to 1.

    Returns:
      ``[n]`` increasing numbers.
    """
    if dim.allowed is not None:
        return u * len(dim.choices) - 0.5
    scale = SCALES[dim.scale]
    # the coordinates of an integer k are those of k to k + 1
    step = 0 if dim.kind == "continuous" else 1
    low = scale.forward(jnp.float32(dim.low))
    high = scale.forward(jnp.float32(dim.high + step))
    numbers = np.asarray(scale.inverse(low + u * (high - low)), np.float64) - step / 2
    if dim.kind == "power_of_two":
        return 2**numbers
    if dim.kind == "ordinal" and not by_place(dim):
        return np.interp(numbers, np.arange(len(dim.choices)), dim.choices)
    return numbers


class Span(NamedTuple):
    """The part of the scores that an axis shows.

    Args:
      low: the smallest score on the axis.
      high: the largest.
      log: whether the axis has a log scale.
    """

    low: float
    high: float
    log: bool

    def holds(self, scores: np.ndarray) -> np.ndarray:
        """Return which scores lie on the axis."""
        return (scores >= self.low) & (scores <= self.high)


def span_of(scores: np.ndarray, mode: str) -> Span | None:
    """Return the part of scores to show, so that good ones can be told apart.

    The better half decides, since bad scores may be far away: where it spans a factor
    of ten or more, the scale is a log scale, and where bad scores would take up most of
    the axis, it ends before them.

    Args:
      scores: ``[n]``, NaN for failed trials.
      mode: ``"max"`` or ``"min"``.

    Returns:
      The span; ``None`` if there is no score.
    """
    fine = scores[np.isfinite(scores)]
    if not fine.size:
        return None
    best, middle = fine.max() if mode == "max" else fine.min(), np.median(fine)
    small, large = sorted((best, middle))
    log = bool(fine.min() > 0 and large >= FACTOR * small)
    values = np.log(fine) if log else fine
    low, high = _range_of(values, mode)
    # exactly the extreme scores where these are the ends, whatever a logarithm rounds
    if log:
        low = fine.min() if low == values.min() else np.exp(low)
        high = fine.max() if high == values.max() else np.exp(high)
    return Span(float(low), float(high), log)


def _range_of(scores: np.ndarray, mode: str) -> tuple[float, float]:
    """Return the ends of an axis: all scores, or those near the better half."""
    low, high, middle = scores.min(), scores.max(), np.median(scores)
    span = high - middle if mode == "max" else middle - low
    if high - low <= TOLERATED * span or span == 0:
        return low, high
    return (high - SHOWN * span, high) if mode == "max" else (low, low + SHOWN * span)


def set_score(
    axes: Any, which: str, scores: np.ndarray, name: str, mode: str
) -> Span | None:
    """Put one axis of a plot on scores, so that good scores can be told apart.

    Args:
      axes: matplotlib axes.
      which: ``"x"`` or ``"y"``.
      scores: ``[n]``, NaN for failed trials.
      name: name of the metric.
      mode: ``"max"`` or ``"min"``.

    Returns:
      What the axis shows; see `span_of`. `mark_beyond` marks what it leaves out.
    """
    better = "higher" if mode == "max" else "lower"
    span = span_of(scores, mode)
    scale = ", log scale" if span and span.log else ""
    axes.set(**{f"{which}label": f"{beginning_of(name)} ({better} is better{scale})"})
    if span is None:
        axes.set(**{f"{which}ticks": []})
    elif span.log:
        getattr(axes, f"set_{which}scale")("log")
        label_decades(axes.xaxis if which == "x" else axes.yaxis, span.low, span.high)
        room = (span.high / span.low) ** 0.06
        axes.set(**{f"{which}lim": (span.low / room, span.high * room)})
    else:
        room = 0.06 * (span.high - span.low) or 0.5  # all scores may be equal
        axes.set(**{f"{which}lim": (span.low - room, span.high + room)})
    return span


def mark_beyond(axes: Any, x: np.ndarray, scores: np.ndarray, span: Span) -> None:
    """Mark points above or below the axis of scores with triangles at its edge."""
    above, below = scores > span.high, scores < span.low
    for beyond, height, marker in ((above, 0.985, "^"), (below, 0.015, "v")):
        if beyond.any():
            axes.plot(
                x[beyond],
                np.full(beyond.sum(), height),
                marker,
                color=colour("soft"),
                markersize=4,
                markeredgewidth=0,
                transform=axes.get_xaxis_transform(),
                label=f"beyond this axis: {beyond.sum():,}",
            )


def label_decades(axis: Any, low: float, high: float) -> None:
    """Label a log axis that spans less than two decades at 1, 2 and 5."""
    LogLocator = extra("matplotlib.ticker", "report").LogLocator
    # over so little the powers of ten alone are too few labels
    if high < 100 * low:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")


def _limits(dim: Dimension) -> tuple[float, float]:
    """Return the bounds with a margin, both on the dimension's own scale."""
    if by_place(dim):
        return -0.5, len(dim.choices) - 0.5
    scale = SCALES["log" if dim.kind == "power_of_two" else dim.scale]
    bottom, top = (float(scale.forward(jnp.float32(bound))) for bound in dim.bounds)
    room = 0.03 * (top - bottom) or 0.5
    return float(scale.inverse(jnp.float32(bottom - room))), float(
        scale.inverse(jnp.float32(top + room))
    )


NOTES = {"log": " (log scale)", "reverse_log": " (log scale of 1 − x)"}
REVERSE_TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9999)


def _reverse_log(x: Any) -> Any:
    # matplotlib calls this over the whole axis; at 1 the scale is infinite
    return -np.log1p(-np.minimum(x, 1 - 1e-9))


def _reverse_log_inverse(y: np.ndarray) -> np.ndarray:
    return -np.expm1(-y)
