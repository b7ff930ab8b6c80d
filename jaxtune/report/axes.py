"""Axes on the scale that a dimension is searched on."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxtune.space import Dimension
from jaxtune.space.scales import SCALES

# Okabe & Ito's palette, told apart by colour-blind readers; yellow left out on white
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")


def set_scale(axes: Any, which: str, dim: Dimension, name: str) -> None:
    """Put one axis of a plot on a dimension's scale, with ticks that suit it.

    Args:
      axes: matplotlib axes.
      which: ``"x"`` or ``"y"``.
      dim: the dimension, with the whole range to show.
      name: label.
    """
    axis = axes.xaxis if which == "x" else axes.yaxis
    axes.set(**{f"{which}label": f"{name}{NOTES.get(dim.scale, '')}"})
    setter = getattr(axes, f"set_{which}scale")

    if dim.kind in ("choice", "named_ordinal"):
        axis.set_ticks(range(len(dim.choices)), labels=[str(c) for c in dim.choices])
    elif dim.kind == "power_of_two":
        setter("log", base=2)
        axis.set_major_formatter("{x:g}")
    elif dim.scale == "log":
        setter("log")
    elif dim.scale == "reverse_log":
        setter("function", functions=(_reverse_log, _reverse_log_inverse))
        ticks = [x for x in REVERSE_TICKS if dim.bounds[0] <= x <= dim.bounds[1]]
        axis.set_ticks(ticks, labels=[f"{x:g}" for x in ticks])
    # after the scale, which would choose limits of its own
    axes.set(**{f"{which}lim": _limits(dim)})


def _limits(dim: Dimension) -> tuple[float, float]:
    """The bounds and a little room, on the dimension's own scale."""
    if dim.kind in ("choice", "named_ordinal"):
        return -0.5, len(dim.choices) - 0.5
    scale = SCALES["log" if dim.kind == "power_of_two" else dim.scale]
    bottom, top = (float(scale.forward(jnp.float32(bound))) for bound in dim.bounds)
    room = 0.03 * (top - bottom) or 0.5
    return float(scale.inverse(jnp.float32(bottom - room))), float(
        scale.inverse(jnp.float32(top + room))
    )


NOTES = {"log": " (log scale)", "reverse_log": " (log scale of 1 − x)"}
REVERSE_TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9999)


def _reverse_log(x: np.ndarray) -> np.ndarray:
    # matplotlib probes the whole axis; at 1 the scale has no value
    return -np.log1p(-np.minimum(x, 1 - 1e-9))


def _reverse_log_inverse(y: np.ndarray) -> np.ndarray:
    return -np.expm1(-y)
