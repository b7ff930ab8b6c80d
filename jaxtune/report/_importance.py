"""The importance of each hyperparameter, and whether it agrees with the tiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jaxtune.analysis.importance import Importances, importances
from jaxtune.door import an, guarded, optional
from jaxtune.report.axes import COLOURS
from jaxtune.report.points import empty_figure
from jaxtune.results.result import A_RESULT, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure


FOUND = an("importances", Importances, "Use jaxtune.analysis.importances(result).")


@guarded(result=A_RESULT, found=optional(FOUND))
def importance(result: Result, found: Importances | None = None) -> Figure:
    """Draw the importance of each hyperparameter with its interval, coloured by tier.

    Args:
      result: result of a search.
      found: its importances; from `jaxtune.analysis.importances` if not given.

    Returns:
      A matplotlib figure, not shown; a message if there are too few trials.
    """
    from matplotlib.figure import Figure

    try:
        found = found or importances(result)
    except ValueError as error:
        return empty_figure(str(error))
    rows = found.rows[::-1]  # bars are drawn from the bottom up
    figure = Figure(figsize=(7.5, 1.6 + 0.4 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    shares = np.asarray([row.share for row in rows])
    # the interval may lie on one side of the estimate, and errorbar wants lengths >= 0
    ends = np.asarray([(row.low, row.high) for row in rows]).T
    reach = np.abs(np.clip([shares - ends[0], ends[1] - shares], 0, None))
    for tier in sorted({row.tier for row in rows}):
        of_tier = [i for i, row in enumerate(rows) if row.tier == tier]
        colour, label = COLOURS[tier - 1], f"tier {tier}"
        axes.barh(of_tier, shares[of_tier], color=colour, alpha=0.8, label=label)
    axes.errorbar(
        shares,
        np.arange(len(rows)),
        xerr=reach,
        fmt="none",
        ecolor="black",
        capsize=3,
        linewidth=1,
    )
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set(xlim=(0, None), xlabel="share of importance (PED-ANOVA), 95 % interval")
    axes.set_title(f"Importance, {found.trials} trials. {order_of(found)}", loc="left")
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def order_of(found: Importances) -> str:
    """Return in words how well the importances agree with the tiers."""
    if np.isnan(found.order):
        return "All have the same tier"
    return (
        f"Tier order holds in {found.order:.0%} of pairs "
        f"[{found.low:.0%}, {found.high:.0%}]"
    )
