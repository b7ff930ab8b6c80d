"""The importance of hyperparameters, beside their tiers.

PED-ANOVA (Watanabe et al., IJCAI 2023), by Optuna: how far the best trials' values of a
hyperparameter are from all trials' values of it. Both come from the search, so zooming
in does not count as importance by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxtune import ranking
from jaxtune.analysis._coordinates import coordinates
from jaxtune.analysis._order import order_in_words
from jaxtune.brevity import brief
from jaxtune.checks import extra
from jaxtune.door import guarded, whole
from jaxtune.markup import html_table
from jaxtune.printing import counted
from jaxtune.results.result import A_RESULT, Result
from jaxtune.space import Dimension

FEWEST = 20  # trials; with fewer, the best tenth is one or two
FEW = 16  # values of a hyperparameter at most that are categories, not a density
MOST = 500  # trials in the analysis at most: its time grows with their number


@brief
class Importance(NamedTuple):
    """The importance of one hyperparameter.

    Args:
      name: name of the hyperparameter.
      tier: its tier in the space, 1 (most important) to 4.
      share: its share of the sum over all hyperparameters, 0 to 1.
      low: lower end of the 95 % interval of the share.
      high: upper end.
    """

    name: str
    tier: int
    share: float
    low: float
    high: float


@brief
class Importances(NamedTuple):
    """The importance of all hyperparameters, and how well their tiers predicted it.

    Args:
      rows: one for each searched hyperparameter, the most important one first.
      order: share of the pairs of different tiers in which the lower tier is the more
        important one; NaN if there is only one tier.
      low: lower end of the 95 % interval of ``order``.
      high: upper end.
      trials: number of trials in the analysis, evenly spread over the search.
    """

    rows: tuple[Importance, ...]
    order: float
    low: float
    high: float
    trials: int

    @property
    def words(self) -> str:
        """The order of the hyperparameters, as far as the intervals allow it.

        >>> from jaxtune.analysis import Importance, Importances
        >>> rate = Importance("learning_rate", 1, 0.7, 0.6, 0.8)
        >>> decay = Importance("decay", 2, 0.2, 0.1, 0.3)
        >>> Importances((rate, decay), 1.0, 1.0, 1.0, trials=64).words[:59]
        'learning_rate matters most (60 to 80 % of the importance), '
        """
        return order_in_words(self.rows)

    def _repr_html_(self) -> str:
        """Return HTML for a notebook: a row for each hyperparameter."""
        head = ("hyperparameter", "tier", "importance", "95 % interval")
        rows = [
            (row.name, row.tier, f"{row.share:.0%}", f"{row.low:.0%} to {row.high:.0%}")
            for row in self.rows
        ]
        return html_table(head, rows)


@guarded(result=A_RESULT, resamples=whole(0, 10**6), seed=whole(0))
def importances(result: Result, resamples: int = 50, seed: int = 0) -> Importances:
    """Measure how much each hyperparameter decided which trials are the best tenth.

    A hyperparameter without influence has a small share, but not zero: the best tenth
    of few trials differs from all of them by chance. See whether the intervals overlap.
    The trials of a sampler that learns crowd where scores are good, so the shares tell
    what decides there; for those of the whole space, search with ``sampler="sobol"``.

    >>> import jax
    >>> import jaxtune as jt
    >>> result = jt.search(
    ...     lambda key, h: h["x"] + 0.01 * h["y"],
    ...     jt.Space(x=jt.uniform(0.0, 1.0), y=jt.uniform(0.0, 1.0)),
    ...     key=jax.random.key(0),
    ...     trials=64,
    ...     mode="max",
    ...     sampler="sobol",
    ...     verbose=0,
    ... )
    >>> [row.name for row in jt.analysis.importances(result).rows]
    ['x', 'y']

    Args:
      result: the result of a search.
      resamples: resamples of the trials, with replacement, for the intervals.
      seed: seed of the resampling.

    Returns:
      Shares with intervals, beside the tiers.

    Raises:
      ValueError: fewer than twenty trials with a score, all scores equal, or a space
        in which all is fixed.
      ModuleNotFoundError: Optuna is not installed; it comes with the extra ``report``.
    """
    points, standing, space = coordinates(result), result.standing, result.setup.space
    if not space.searched:
        raise ValueError("importances: nothing was searched, all is fixed.")
    rows = _analysed(result)
    points, standing = points[rows], standing[rows]
    random, n = np.random.default_rng(seed), len(rows)
    few = [_few(space[name]) for name in space.searched]
    # the first draw is the trials themselves
    drawn = [np.arange(n), *random.integers(0, n, (resamples, n))]
    shares = np.asarray(
        [_shares(points[d], standing[d], space.searched, few) for d in drawn]
    )
    low, high = _interval(shares)
    tiers = np.asarray([space[name].tier for name in space.searched])
    held = np.asarray([_held(share, tiers) for share in shares])
    found = [
        Importance(name, int(tier), float(share), float(lowest), float(highest))
        for name, tier, share, lowest, highest in zip(
            space.searched, tiers, shares[0], low, high, strict=True
        )
    ]
    found.sort(key=lambda row: -row.share)
    low, high = _interval(held)
    return Importances(tuple(found), float(held[0]), float(low), float(high), n)


def _analysed(result: Result) -> np.ndarray:
    """Return the ids of the trials to analyse; ``ValueError`` if they are too few."""
    standing = result.standing
    # trials are comparable only if every dimension was open
    known = np.flatnonzero(np.isfinite(standing) & ~_closed(result))
    if len(known) < FEWEST:
        few = f"{counted(len(known), 'trial')} {'has' if len(known) == 1 else 'have'}"
        raise ValueError(
            f"importances: {few} a score, with all hyperparameters "
            f"open; this needs {FEWEST}. Search longer."
        )
    if (standing[known] == standing[known[0]]).all():
        raise ValueError(
            f"importances: all {len(known)} trials have the same score, so nothing "
            "mattered. Search a larger space, or use another metric."
        )
    return known[np.linspace(0, len(known) - 1, min(MOST, len(known))).astype(int)]


def _few(dim: Dimension) -> bool:
    """Return whether the values of a dimension are so few that they are categories.

    A density over two points would consist of its peaks, which are no importance.
    """
    if dim.choices or dim.kind == "continuous":
        return bool(dim.choices)
    return len(dim.members) <= FEW


def _closed(result: Result) -> np.ndarray:
    """Return ``[n]`` bool: trials of rounds in which some dimension was not open."""
    return np.isnan(result.trials.points).any(axis=1)


def _interval(draws: np.ndarray) -> tuple[Any, Any]:
    """Return both ends of 95 % of the resamples, without the first draw."""
    again = draws[1:] if len(draws) > 1 else draws
    low, high = np.quantile(again, (0.025, 0.975), axis=0)
    return low, high


def _held(shares: np.ndarray, tiers: np.ndarray) -> float:
    """Return the share of the pairs of different tiers that are in their order."""
    earlier = tiers[:, None] < tiers[None]
    if not earlier.any():
        return float("nan")
    return float((shares[:, None] > shares[None])[earlier].mean())


def _shares(
    points: np.ndarray, standing: np.ndarray, names: tuple[str, ...], few: list[bool]
) -> np.ndarray:
    """Return ``[d]`` shares of the sum of divergences."""
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
    """Yield the rows of trials to which the same dimensions matter, and these."""
    # a conditional dimension is compared among the trials that have it
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
    """Return the divergence of each dimension of a group, by Optuna's evaluator."""
    optuna = extra("optuna", "report")
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
    # not by `get_param_importances`, where "no normalisation" is experimental
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    return evaluator.evaluate(study, params=together)
