"""Population based training: whose states went where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtune.report.axes import set_scale
from jaxtune.report.points import check_searched, empty, important
from jaxtune.results.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def lineage(result: Result, name: str | None = None) -> Figure:
    """Draw a hyperparameter of every member over time, and whose state it took over.

    The line of a member goes on at the value it trained with; where it took over a
    state, a thin line leads there from the member that it came from. The ancestors of
    the best trial are drawn in colour.

    Args:
      result: of a search with ``schedulers.pbt``.
      name: which hyperparameter; the most important one if not given.

    Returns:
      A matplotlib figure, not shown; without a lineage it says so.

    Raises:
      ValueError: a name that is not searched.
    """
    from matplotlib.figure import Figure

    space = result.setup.space
    name = name or important(space, 1)[0]
    check_searched(space, name)
    known = result.lineage
    if not len(known.trial):
        return empty("No trial took over the state of another one.")
    figure = Figure(figsize=(7.5, 5.0), layout="constrained")
    axes = figure.add_subplot()
    values = np.asarray(known.hparams[name], np.float64)
    _members(axes, result, values)
    if np.isfinite(result.standing).any():
        _path(axes, result, name)
    set_scale(axes, "y", space[name], name)
    axes.set_xlabel("epochs")
    moves = int((known.source != known.trial).sum())
    axes.set_title(
        f"{moves} states taken over; in colour: how the best trial came to be",
        loc="left",
    )
    axes.grid(alpha=0.25)
    return figure


def _path(axes: Any, result: Result, name: str) -> None:
    """The values that the best trial's state was trained with, from its beginning."""
    begin = 0
    for leg in result.trajectory(result.best.trial):
        value = float(leg.hparams[name])
        span = [begin, leg.epochs]
        axes.plot(span, [value, value], color="#D55E00", linewidth=2.5, zorder=3)
        begin = leg.epochs


def _members(axes: Any, result: Result, values: np.ndarray) -> None:
    """A step line for each member, and a thin line for each state taken over."""
    known = result.lineage
    for trial in np.unique(known.trial):
        rows = np.flatnonzero(known.trial == trial)
        ends = [*known.epochs[rows][1:], result.trials.epochs[trial]]
        for row, end in zip(rows, ends, strict=True):
            span = [known.epochs[row], end]
            axes.plot(span, [values[row]] * 2, color="0.55", linewidth=0.9)
            source = known.source[row]
            if source != trial:
                at = _row_at(result, source, known.epochs[row])
                axes.plot(
                    [known.epochs[row]] * 2,
                    [values[at], values[row]],
                    color="0.55",
                    linewidth=0.5,
                    linestyle=":",
                )


def _row_at(result: Result, trial: int, epoch: int) -> int:
    """The row with which a member trained until an epoch."""
    known = result.lineage
    before = np.flatnonzero((known.trial == trial) & (known.epochs < epoch))
    return int(before[-1])
