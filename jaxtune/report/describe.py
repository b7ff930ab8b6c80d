"""The description of a picture: what it shows, in words made of its data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtune.door import Argument, guarded
from jaxtune.printing import counted
from jaxtune.report import points
from jaxtune.report.cells import tick
from jaxtune.results.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

A_FIGURE = Argument(
    "a figure of matplotlib",
    lambda value: hasattr(value, "savefig") and hasattr(value, "get_label"),
)


@guarded(figure=A_FIGURE)
def description(figure: Figure) -> str:
    """Return what a picture of `jaxtune.report` shows, in words made of its data.

    The page has it as the label of each picture for screen readers; on a page of your
    own it serves as ``alt``.

    Args:
      figure: what a function of `jaxtune.report` returned.

    Returns:
      A few sentences; an empty string for a figure of another origin.
    """
    return str(figure.get_label() or "")


def described(figure: Figure, *sentences: str) -> Figure:
    """Return a figure with its description, of sentences that may be empty."""
    figure.set_label(" ".join(sentence for sentence in sentences if sentence))
    return figure


def tried(result: Result) -> str:
    """Return the number of trials, and how many of them failed."""
    words, lost = counted(len(result.trials), "trial"), int(points.failed(result).sum())
    return f"{words}, {lost:,} of them failed" if lost else words


def best_of_all(result: Result, names: Sequence[str] = ()) -> str:
    """Return a sentence on the best trial, and where it lies along some names."""
    if not np.isfinite(result.standing).any():
        return "No trial has a score."
    best = result.best
    values = best.hparams  # without those that are inactive in this trial
    where = as_list(
        [f"{name} {tick(values[name])}" for name in names if name in values]
    )
    at = f" at {where}" if where else ""
    return f"Best {result.setup.metric}: {best.score:.4g}, trial {best.trial}{at}."


def as_list(parts: Sequence[Any]) -> str:
    """Return words as a list in a sentence."""
    *first, last = map(str, parts or [""])
    return f"{', '.join(first)} and {last}" if first else last
