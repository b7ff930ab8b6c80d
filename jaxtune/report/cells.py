"""Numbers and bounds as people read them."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxtune.space import Dimension


def cell(value: Any) -> str:
    """A value in a table."""
    if isinstance(value, float | np.floating):
        return f"{value:.5g}"
    return str(value)


def tick(value: Any) -> str:
    """A value on an axis, short."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return str(value)
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def bounds_cell(dimension: Dimension) -> str:
    """The bounds of a dimension, the choices that are left, or where it is fixed."""
    if dimension.searched and dimension.allowed is not None:
        return ", ".join(map(str, dimension.remaining))
    ends = [f"{b:.4g}" if isinstance(b, float) else str(b) for b in dimension.bounds]
    return " to ".join(ends) if dimension.searched else f"{ends[0]}, not open yet"
