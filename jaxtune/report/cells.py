"""Numbers and bounds as people read them."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxtune.printing import printable
from jaxtune.space import Dimension


def cell(value: Any) -> str:
    """Return a value as text for a table."""
    if isinstance(value, float | np.floating):
        return f"{value:.5g}"
    return str(value)


def tick(value: Any) -> str:
    """Return a value as short text for an axis."""
    # a bool is an int for Python; a string or another object is shown as it is
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return str(value)
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def beginning_of(text: str, most: int = 30) -> str:
    """Return a name that fits beside an axis: of a long one, its beginning.

    >>> beginning_of("learning_rate"), beginning_of("a_name_without_end", 8)
    ('learning_rate', 'a_name_…')
    """
    shown = printable(text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def bounds_cell(dimension: Dimension) -> str:
    """Return the bounds of a dimension, its remaining choices, or its fixed value."""
    if dimension.searched and dimension.allowed is not None:
        return ", ".join(map(str, dimension.remaining))
    ends = [f"{b:.4g}" if isinstance(b, float) else str(b) for b in dimension.bounds]
    # tier by tier: a dimension that is not open yet is fixed at its default
    return " to ".join(ends) if dimension.searched else f"{ends[0]}, not open yet"
