"""The worth of early scores: their rank correlation (Spearman) with later ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxtune.brevity import brief
from jaxtune.door import guarded
from jaxtune.results.result import A_RESULT, Result

FEWEST = 5  # trials; with fewer a correlation says nothing


@brief
class RungCorrelation(NamedTuple):
    """The scores of the same trials at two rungs.

    Args:
      early: epochs of the first rung.
      late: epochs of the second rung.
      trials: number of trials with a score at both.
      correlation: correlation of their ranks; 1 if the order is the same.
    """

    early: int
    late: int
    trials: int
    correlation: float


@guarded(result=A_RESULT)
def rung_correlations(result: Result) -> tuple[RungCorrelation, ...]:
    """Compare the order of trials at each rung with that at each later one.

    Only trials that were promoted have both scores, and those were the better ones:
    among all trials the correlation would be higher. If it is near 0, the earlier rung
    decides by chance, and a larger ``min_epochs`` is worth its cost.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> import jaxtune as jt
    >>> import numpy as np
    >>> x = np.linspace(-1, 1, 32, dtype=np.float32)[:, None]
    >>> linear = (lambda rng, x: jnp.zeros((1, 1)), lambda w, x: x @ w)
    >>> task = jt.regression(linear, train=(x, 2 * x), valid=(x, 2 * x), batch_size=16)
    >>> result = jt.search(
    ...     task,
    ...     jt.Space(learning_rate=jt.log_uniform(1e-3, 1e-1)),
    ...     key=jax.random.key(0),
    ...     trials=16,
    ...     epochs=4,
    ...     scheduler=jt.schedulers.median_stopping(interval=2),
    ...     verbose=0,
    ... )
    >>> (row,) = jt.analysis.rung_correlations(result)
    >>> row.early, row.late, row.correlation > 0.9
    (2, 4, True)

    Args:
      result: the result of a search with a scheduler.

    Returns:
      One row for each pair of rungs that at least five trials reached; none without a
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
