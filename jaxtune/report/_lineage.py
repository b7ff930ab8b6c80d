"""The lineage of population based training: which states were copied, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtune.door import NAME, guarded, optional
from jaxtune.report.axes import set_scale
from jaxtune.report.describe import best_of_all, described
from jaxtune.report.palette import colour, picture
from jaxtune.report.panels import legend, single
from jaxtune.report.points import check_searched, empty_figure, important
from jaxtune.results.result import A_RESULT, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@guarded(result=A_RESULT, name=optional(NAME))
@picture
def lineage(result: Result, name: str | None = None) -> Figure:
    """Draw one hyperparameter of every member over time, and the states it took over.

    A member's line lies at the value that it trains with. Where the member took over a
    state, a thin line leads to it from the member that the state came from. The
    trajectory of the best trial is drawn in colour.

    Args:
      result: result of a search with ``schedulers.pbt``.
      name: the hyperparameter to draw; one of the lowest tier if not given.

    Returns:
      A matplotlib figure, not shown; a message if no state was taken over.

    Raises:
      ValueError: a name that is not searched.
    """
    space = result.setup.space
    name = name or important(space, 1)[0]
    check_searched(space, name)
    known = result.lineage
    if not len(known.trial):
        return empty_figure("No trial took over the state of another one.")
    figure, axes = single()
    values = np.asarray(known.hparams[name], np.float64)
    _members(axes, result, values)
    if np.isfinite(result.standing).any():
        _trajectory(axes, result, name)
    set_scale(axes, "y", space[name], name)
    axes.set_xlabel("epochs")
    # a row whose source is the trial itself is its beginning, and no state moved
    moves = int((known.source != known.trial).sum())
    axes.set_title(f"Lineage: {moves} states taken over", loc="left")
    axes.grid()
    legend(figure)
    return described(
        figure,
        f"The {name} of {len(np.unique(known.trial))} members over time; "
        f"{moves} states were taken over.",
        best_of_all(result, [name]),
    )


def _trajectory(axes: Any, result: Result, name: str) -> None:
    """Draw the values that the best trial's state was trained with, from the start."""
    begin = 0
    for leg in result.trajectory(result.best.trial):
        value = float(leg.hparams[name])
        span = [begin, leg.epochs]
        style = {"color": colour("best"), "linewidth": 2.5, "zorder": 3}
        axes.plot(span, [value, value], label="the way of the best trial", **style)
        begin = leg.epochs


def _members(axes: Any, result: Result, values: np.ndarray) -> None:
    """Draw a step line for each member, and a thin line for each state taken over."""
    known = result.lineage
    for trial in np.unique(known.trial):
        rows = np.flatnonzero(known.trial == trial)
        # a row is valid until the member's next one; the last until training ended
        ends = [*known.epochs[rows][1:], result.trials.epochs[trial]]
        for row, end in zip(rows, ends, strict=True):
            span = [known.epochs[row], end]
            axes.plot(
                span,
                [values[row]] * 2,
                color=colour("soft"),
                linewidth=1.0,
                label="a member",
            )
            source = known.source[row]
            if source != trial:
                at = _row_at(result, source, known.epochs[row])
                axes.plot(
                    [known.epochs[row]] * 2,
                    [values[at], values[row]],
                    color=colour("soft"),
                    linewidth=1.0,
                    linestyle=":",
                    label="a state taken over",
                )


def _row_at(result: Result, trial: int, epoch: int) -> int:
    """Return the row with which a member trained until an epoch."""
    known = result.lineage
    # strictly before: at the epoch itself the member may have taken over a state too
    before = np.flatnonzero((known.trial == trial) & (known.epochs < epoch))
    return int(before[-1])
