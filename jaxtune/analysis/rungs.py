"""How much early scores say about later ones: Spearman's rank correlation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxtune.results.result import Result

FEWEST = 5  # trials; of fewer a correlation says nothing


class RungCorrelation(NamedTuple):
    """The scores of the same trials at two rungs.

    Args:
      early: epochs at the first one.
      late: epochs at the second one.
      trials: how many have a score at both.
      correlation: of their ranks, 1 where the order is the same.
    """

    early: int
    late: int
    trials: int
    correlation: float


def rung_correlations(result: Result) -> tuple[RungCorrelation, ...]:
    """Compare the order of trials at each rung with that at each later one.

    Only trials that went on have both scores, and those were the better ones: among all
    trials the correlation would be higher. Near 0 the earlier rung decides by chance,
    and a larger ``min_epochs`` is worth its price.

    Args:
      result: of a search with a scheduler.

    Returns:
      One row for each pair of rungs that at least five trials passed; none without a
      scheduler.
    """
    from scipy.stats import spearmanr

    rungs = result.rungs
    means = rungs.scores.mean(axis=1)
    by_rung: dict[int, dict[int, float]] = {}
    for trial, epoch, mean in zip(rungs.trial, rungs.epochs, means, strict=True):
        by_rung.setdefault(int(epoch), {})[int(trial)] = float(mean)
    rows = []
    for early, first in by_rung.items():
        for late, second in by_rung.items():
            both = [t for t in first if t in second]
            pairs = np.asarray([(first[t], second[t]) for t in both])
            pairs = pairs[np.isfinite(pairs).all(axis=1)] if both else pairs
            if early >= late or len(pairs) < FEWEST:
                continue
            if (pairs == pairs[0]).all(axis=0).any():  # no order to compare
                continue
            value = float(spearmanr(*pairs.T).statistic)
            rows.append(RungCorrelation(early, late, len(pairs), value))
    return tuple(rows)
