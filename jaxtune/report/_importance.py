"""The importance of each hyperparameter, and whether it agrees with the tiers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtune.analysis.importance import Importances, importances
from jaxtune.door import an, guarded, optional
from jaxtune.report.cells import beginning_of
from jaxtune.report.describe import as_list, described
from jaxtune.report.palette import colour, picture, series
from jaxtune.report.panels import legend, single
from jaxtune.report.points import empty_figure
from jaxtune.results.result import A_RESULT, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure


INTERVAL: dict[str, Any] = {"marker": "|", "markersize": 7, "linewidth": 1}
FOUND = an("importances", Importances, "Use jaxtune.analysis.importances(result).")


@guarded(result=A_RESULT, found=optional(FOUND))
@picture
def importance(result: Result, found: Importances | None = None) -> Figure:
    """Draw the importance of each hyperparameter with its interval, coloured by tier.

    Args:
      result: result of a search.
      found: its importances; from `jaxtune.analysis.importances` if not given.

    Returns:
      A matplotlib figure, not shown; a message if there are too few trials.
    """
    try:
        found = found or importances(result)
    except ValueError as error:
        return empty_figure(str(error))
    rows = found.rows[::-1]  # bars are drawn from the bottom up
    figure, axes = single(1.6 + 0.35 * len(rows))
    shares = np.asarray([row.share for row in rows])
    for tier in sorted({row.tier for row in rows}):
        of_tier = [i for i, row in enumerate(rows) if row.tier == tier]
        shade, label = series(tier - 1), f"tier {tier}"
        axes.barh(of_tier, shares[of_tier], height=0.6, color=shade, label=label)
    for place, row in enumerate(rows):
        axes.plot([row.low, row.high], [place, place], **INTERVAL, color=colour("text"))
    axes.set_yticks(range(len(rows)), [beginning_of(row.name, 24) for row in rows])
    axes.set(xlim=(0, None), xlabel="share, 95 % interval")
    title = f"Importance (PED-ANOVA) in {found.trials:,} trials\n{order_of(found)}"
    # over the names too: beside long ones a title has no room
    figure.suptitle(title, x=0.01, ha="left", fontsize="medium")
    legend(figure, columns=4)
    each = [f"{row.name} {row.share:.0%}" for row in found.rows]
    return described(
        figure,
        f"Importance in {found.trials} trials: {as_list(each)}.",
        f"{order_of(found)}.",
    )


def order_of(found: Importances) -> str:
    """Return in words how well the importances agree with the tiers."""
    if np.isnan(found.order):
        return "All have the same tier"
    return (
        f"Tier order holds in {found.order:.0%} of pairs "
        f"[{found.low:.0%}, {found.high:.0%}]"
    )
