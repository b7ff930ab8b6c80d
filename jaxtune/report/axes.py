"""Axes on the scale of a dimension, or on the scale that scores need."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxtune.checks import extra
from jaxtune.space import Dimension
from jaxtune.space.scales import SCALES

# The palette of Okabe & Ito, which colour-blind readers can tell apart, without its
# yellow, which is hard to see on white.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")

# In spans of the better half of scores: an axis that is longer than TOLERATED is cut
# to SHOWN.
TOLERATED, SHOWN = 8, 4


def set_scale(axes: Any, which: str, dim: Dimension, name: str) -> None:
    """Put one axis of a plot on a dimension's scale, with ticks that suit it.

    Args:
      axes: matplotlib axes.
      which: ``"x"`` or ``"y"``.
      dim: the dimension, with the whole range to show.
      name: the axis' label.
    """
    LogLocator = extra("matplotlib.ticker", "report").LogLocator
    MaxNLocator = extra("matplotlib.ticker", "report").MaxNLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    axes.set(**{f"{which}label": f"{name}{NOTES.get(dim.scale, '')}"})
    setter = getattr(axes, f"set_{which}scale")

    if by_place(dim):
        axis.set_ticks(range(len(dim.choices)), labels=[str(c) for c in dim.choices])
    elif dim.kind == "power_of_two":
        setter("log", base=2)
        axis.set_major_formatter("{x:g}")
    elif dim.scale == "log":
        setter("log")
        # over less than two decades the powers of ten alone are too few labels
        if dim.bounds[1] < 100 * dim.bounds[0]:
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter("")
    elif dim.kind == "integer":
        axis.set_major_locator(MaxNLocator("auto", integer=True))
    elif dim.scale == "reverse_log":
        setter("function", functions=(_reverse_log, _reverse_log_inverse))
        ticks = _spaced_ticks(dim, _share_of_a_label(axes, which))
        axis.set_ticks(ticks, labels=[f"{x:g}" for x in ticks])
    # after the scale, which chooses limits of its own
    axes.set(**{f"{which}lim": _limits(dim)})


def by_place(dim: Dimension) -> bool:
    """Return whether values are drawn at their places in the list."""
    # no axis reaches to infinity
    return dim.by_index or bool(dim.choices and np.isinf(dim.choices).any())


def _share_of_a_label(axes: Any, which: str) -> float:
    """Return the share of an axis that a label takes; more in a grid of panels."""
    rows, columns = axes.get_subplotspec().get_geometry()[:2]
    return 0.08 * columns if which == "x" else 0.05 * rows


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


def set_score(axes: Any, which: str, scores: np.ndarray, name: str, mode: str) -> None:
    """Put one axis of a plot on scores, so that good scores can be told apart.

    Positive scores over more than two decades get a log scale. Otherwise the axis is
    cut where bad scores would take up most of it, and its label says how many trials
    lie beyond.

    Args:
      axes: matplotlib axes.
      which: ``"x"`` or ``"y"``.
      scores: ``[n]``, NaN for failed trials.
      name: name of the metric.
      mode: ``"max"`` or ``"min"``.
    """
    fine, better = scores[np.isfinite(scores)], "higher" if mode == "max" else "lower"
    label = f"{name} ({better} is better"
    if not fine.size:
        axes.set(**{f"{which}label": f"{label})"})
        return
    if decades(scores):
        getattr(axes, f"set_{which}scale")("log")
        axes.set(**{f"{which}label": f"{label}, log scale)"})
        return
    low, high = range_of(fine, mode)
    beyond = int(((fine < low) | (fine > high)).sum())
    note = f"; {beyond} beyond this axis" if beyond else ""
    room = 0.05 * (high - low) or 0.5  # all scores may be equal
    axes.set(
        **{
            f"{which}label": f"{label}{note})",
            f"{which}lim": (low - room, high + room),
        }
    )


def decades(scores: np.ndarray) -> bool:
    """Return whether scores are positive and span more than two decades."""
    fine = scores[np.isfinite(scores)]
    return bool(fine.size and fine.min() > 0 and fine.max() > 100 * fine.min())


def range_of(scores: np.ndarray, mode: str) -> tuple[float, float]:
    """Return the ends of an axis: all scores, or those near the better half."""
    low, high, middle = scores.min(), scores.max(), np.median(scores)
    span = high - middle if mode == "max" else middle - low
    if high - low <= TOLERATED * span or span == 0:
        return low, high
    return (high - SHOWN * span, high) if mode == "max" else (low, low + SHOWN * span)


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
