"""Limits of a trial's numbers, and how far a trial is beyond them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

VALUE = "value"  # the metric of a function that returns a number
SIGNS = {"<=": 1.0, ">=": -1.0}
SIZES = ("parameters", "flops")  # of a trial, known before it trains


class Limit(NamedTuple):
    """A bound of a metric or of a size.

    Args:
      name: of the metric or the size.
      relation: ``"<="`` or ``">="``.
      bound: the largest or the smallest allowed number.
    """

    name: str
    relation: str
    bound: float

    def __str__(self) -> str:
        return f"{self.name} {self.relation} {self.bound:g}"


def column_of(name: str, columns: Mapping[str, Any], shape: Any) -> Any:
    """Return the column that a limit or goal is about; NaN where there is none.

    Args:
      name: of a metric or a size.
      columns: name to an array of this shape.
      shape: of the arrays.
    """
    # the one value of a plain function is in the table as its score alone
    if name == VALUE and name not in columns:
        name = "score"
    return columns.get(name, np.full(shape, np.nan))


def violation(
    limits: Sequence[Limit],
    columns: Mapping[str, np.ndarray],
    shape: int | tuple[int, ...],
) -> np.ndarray:
    """Return how far trials are beyond their limits, as one number each.

    It is the sum over the limits of the distance beyond the bound, each divided by the
    size of the bound (by 1 if the bound is 0). A number that is not known is infinitely
    far beyond.

    >>> import numpy as np
    >>> from jaxtune.goals.limits import Limit, violation
    >>> limits = [Limit("parameters", "<=", 100.0), Limit("recall", ">=", 0.5)]
    >>> columns = {
    ...     "parameters": np.array([80, 150, 150]),
    ...     "recall": np.array([0.6, 0.7, 0.25]),
    ... }
    >>> violation(limits, columns, 3).tolist()
    [0.0, 0.5, 1.0]

    Args:
      limits: of the search.
      columns: name to an array of this shape.
      shape: of the arrays.

    Returns:
      float64 of that shape, 0 where all limits hold.
    """
    total = np.zeros(shape)
    for name, relation, bound in limits:
        values = np.asarray(column_of(name, columns, shape), np.float64)
        beyond = SIGNS[relation] * (values - bound) / (abs(bound) or 1.0)
        beyond = np.where(np.isfinite(values), np.maximum(beyond, 0.0), np.inf)
        total = total + beyond
    return total
