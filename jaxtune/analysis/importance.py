"""Which hyperparameters mattered, and whether that is the order they were given.

PED-ANOVA (Watanabe et al., IJCAI 2023), by Optuna: how far the best trials' values of a
hyperparameter are from all trials' values of it. Both come from the search, so that to
zoom in does not count as importance by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxtune import ranking
from jaxtune.analysis._coordinates import coordinates
from jaxtune.results.result import Result
from jaxtune.space import Dimension

FEWEST = 20  # trials; of fewer the best tenth is one or two
FEW = 16  # values of a hyperparameter that are looked at one by one
MOST = 500  # trials that are looked at: the time grows with their number


class Importance(NamedTuple):
    """What one hyperparameter did.

    Args:
      name: of the hyperparameter.
      tier: importance that the space gave it, 1 (most important) to 4.
      share: of the sum over all hyperparameters, 0 to 1.
      low: lower end of the 95 % interval of the share.
      high: upper end.
    """

    name: str
    tier: int
    share: float
    low: float
    high: float


class Importances(NamedTuple):
    """What all hyperparameters did, and whether the order of tiers held.

    Args:
      rows: one for each searched hyperparameter, the most important one first.
      order: of the pairs of different tiers, the share in which the lower tier is the
        more important one; NaN if there is one tier.
      low: lower end of the 95 % interval of ``order``.
      high: upper end.
      trials: how many were looked at, evenly spread over the search.
    """

    rows: tuple[Importance, ...]
    order: float
    low: float
    high: float
    trials: int


def importances(result: Result, resamples: int = 50, seed: int = 0) -> Importances:
    """How much each hyperparameter had to do with being among the best tenth.

    A hyperparameter without influence has a small share and not none: the best tenth
    of few trials differs from all of them by chance. See whether the intervals overlap.

    Args:
      result: what a search found.
      resamples: of the trials, with replacement, for the intervals.
      seed: of the resampling.

    Returns:
      Shares with intervals, beside the tiers.

    Raises:
      ValueError: fewer than twenty trials with a score, or all scores equal.
      ModuleNotFoundError: Optuna is not there; it comes with the extra ``report``.
    """
    points, standing, space = coordinates(result), result.standing, result.setup.space
    # only where every dimension was open are they comparable
    known = np.flatnonzero(np.isfinite(standing) & ~_closed(result))
    if len(known) < FEWEST:
        raise ValueError(
            f"importances: {len(known)} trials have a score, with all hyperparameters "
            f"open; this needs {FEWEST}. Search longer."
        )
    if (standing[known] == standing[known[0]]).all():
        raise ValueError(
            f"importances: all {len(known)} trials have the same score, so nothing "
            "mattered. Search a larger space, or use another metric."
        )
    rows = known[np.linspace(0, len(known) - 1, min(MOST, len(known))).astype(int)]
    points, standing = points[rows], standing[rows]
    random, n = np.random.default_rng(seed), len(rows)
    own = space.searched, [_few(space[name]) for name in space.searched]
    drawn = [np.arange(n), *random.integers(0, n, (resamples, n))]
    shares = np.asarray([_shares(points[d], standing[d], *own) for d in drawn])
    low, high = _interval(shares)
    tiers = np.asarray([space[name].tier for name in space.searched])
    held = np.asarray([_held(share, tiers) for share in shares])
    found = [
        Importance(name, int(tier), *map(float, numbers))
        for name, tier, *numbers in zip(
            space.searched, tiers, shares[0], low, high, strict=True
        )
    ]
    found.sort(key=lambda row: -row.share)
    low, high = _interval(held)
    return Importances(tuple(found), float(held[0]), float(low), float(high), n)


def _few(dim: Dimension) -> bool:
    """Whether its values are looked at one by one.

    A density over two points is no density: its peaks would be all importance.
    """
    if dim.choices or dim.kind == "continuous":
        return bool(dim.choices)
    return len(dim.members) <= FEW


def _closed(result: Result) -> np.ndarray:
    """``[n]`` whether a trial's round had closed dimensions."""
    return np.isnan(result.trials.points).any(axis=1)


def _interval(draws: np.ndarray) -> tuple[Any, Any]:
    """95 % of the resamples; the first draw is the trials themselves."""
    again = draws[1:] if len(draws) > 1 else draws
    low, high = np.quantile(again, (0.025, 0.975), axis=0)
    return low, high


def _held(shares: np.ndarray, tiers: np.ndarray) -> float:
    """Of pairs of different tiers, how many are in the order of the tiers."""
    earlier = tiers[:, None] < tiers[None]
    if not earlier.any():
        return float("nan")
    return float((shares[:, None] > shares[None])[earlier].mean())


def _shares(
    points: np.ndarray, standing: np.ndarray, names: tuple[str, ...], few: list[bool]
) -> np.ndarray:
    """``[d]`` shares of the sum of divergences."""
    found = dict.fromkeys(names, 0.0)
    for rows, together in _alike(points, names):
        if len(rows) < FEWEST:
            continue
        found |= _divergences(points[rows], standing[rows], names, few, together)
    values = np.asarray([found[name] for name in names])
    return values / (values.sum() or 1.0)


def _alike(
    points: np.ndarray, names: tuple[str, ...]
) -> Iterator[tuple[np.ndarray, list[str]]]:
    """Dimensions that matter to the same trials, and the rows of these."""
    present = ~np.isnan(points)
    for pattern in np.unique(present.T, axis=0):
        here = (present == pattern[:, None]).all(axis=0)
        together = [name for name, same in zip(names, here, strict=True) if same]
        yield np.flatnonzero(pattern), together


def _divergences(
    points: np.ndarray,
    standing: np.ndarray,
    names: tuple[str, ...],
    few: list[bool],
    together: list[str],
) -> dict[str, float]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    columns: dict[str, list[Any]] = {}
    space: dict[str, Any] = {}
    for column, (name, listed) in enumerate(zip(names, few, strict=True)):
        if name not in together:
            continue
        if listed:
            values, cells = np.unique(points[:, column], return_inverse=True)
            kinds = optuna.distributions.CategoricalDistribution(range(len(values)))
            space[name], columns[name] = kinds, cells.tolist()
        else:
            space[name] = optuna.distributions.FloatDistribution(0.0, 1.0)
            columns[name] = np.clip(points[:, column], 0.0, 1.0).tolist()
    # ranks without ties, which could make all trials the best tenth
    ranks = np.empty(len(standing))
    ranks[ranking.order(standing)] = -np.arange(len(standing))
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        optuna.trial.create_trial(
            params={name: values[i] for name, values in columns.items()},
            distributions=space,
            value=float(ranks[i]),
        )
        for i in range(len(standing))
    )
    # called itself, since not to normalise is an experimental argument elsewhere
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    return evaluator.evaluate(study, params=together)
