"""Luck in the score of the best trial, where every trial has one seed.

Neighbours take the place of seeds: a Gaussian process splits the scores into a smooth
function of the hyperparameters and noise, and says where the best trial lies on the
function. That it was picked for its score does not bias this, as the model knows the
scores of all others too (Dawid, 1994, "Selection paradoxes of Bayesian inference").
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxtune import ranking
from jaxtune.analysis._coordinates import coordinates
from jaxtune.door import guarded
from jaxtune.printing import counted
from jaxtune.results.result import A_RESULT, Result

FEWEST = 32  # trials with a score, and for each hyperparameter:
EACH = 24  # with fewer, a model cannot tell noise from what it has not seen
MOST = 128  # trials in the model: those around the best one
PRICE = 0.5  # of a dimension that matters, in log likelihood: few trials fit anything
SWEEPS = 2  # over the hyperparameters, until their scales fit
# inverse squares of the lengths over which scores may change; 0 where they do not
RATES = (0.0, *(1 / np.geomspace(0.1, 3.2, 6) ** 2))
NOISES = (1e-4, 1e-2, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 0.99)  # shares of variance


class Luck(NamedTuple):
    """The luck in the score of the best trial, measured by its neighbours.

    Args:
      trials: number of trials in the model.
      spread: standard deviation of the noise: how much the score of one setting would
        differ from seed to seed.
      score: score of the best trial.
      expected: score of its setting with another seed.
      optimism: how much better ``score`` is than ``expected``.
    """

    trials: int
    spread: float
    score: float
    expected: float
    optimism: float


@guarded(result=A_RESULT)
def luck(result: Result) -> Luck:
    """Estimate how much of the best score is luck, of a search with one seed.

    What a setting would score with another seed follows from the trials around it. This
    sees the luck of a training, its start and its order; not that of the rows that
    trials are scored on, which all of them share and `Result.test` shows. It is a
    model's word: `noise` needs none and two seeds, and ``confirm=5`` measures.

    >>> import jax
    >>> import jaxtune as jt
    >>> result = jt.search(
    ...     lambda key, h: -((h["x"] - 0.3) ** 2) + 0.1 * jax.random.normal(key),
    ...     jt.Space(x=jt.uniform(0.0, 1.0)),
    ...     key=jax.random.key(0),
    ...     trials=64,
    ...     mode="max",
    ...     sampler="sobol",
    ...     verbose=0,
    ... )
    >>> found = jt.analysis.luck(result)
    >>> found.score > 0.05 > found.expected  # no setting is above 0
    True

    Args:
      result: the result of a search.

    Returns:
      The best score with and without its luck.

    Raises:
      ValueError: several seeds or folds, trials that took over states of others, all
        scores equal, or fewer trials with a score than 32, or than 24 for each
        hyperparameter.
    """
    trials = _comparable(result)
    best = result.best.trial
    apart = _apart(result, trials)
    near = np.argsort(apart[:, trials == best].sum((0, 1)), kind="stable")[:MOST]
    trials, apart = trials[near], apart[:, near][:, :, near]
    sign = ranking.direction(result.setup.mode)
    values = sign * result.trials["score"][trials].astype(np.float64)
    # the better half, where scores are alike; by a model of their ranks, since half of
    # the noise would be missing among trials that were chosen by their scores
    smooth = _fit(apart, _normal_scores(values)).mean
    keep = np.argsort(-smooth, kind="stable")[: max(FEWEST // 2, len(values) // 2)]
    keep = np.union1d(keep, np.flatnonzero(trials == best))
    found = _fit(apart[:, keep][:, :, keep], values[keep])
    place = int(np.flatnonzero(trials[keep] == best)[0])
    score, expected = values[keep][place], found.mean[place]
    return Luck(
        len(keep),
        found.noise,
        float(sign * score),
        float(sign * expected),
        float(score - expected),
    )


def _comparable(result: Result) -> np.ndarray:
    """Return the ids of the trials to compare; ``ValueError`` if they are too few."""
    setup = result.setup
    if setup.repeats > 1:
        raise ValueError(
            "luck: the search has several seeds or folds, which show more than a model "
            "does. Use analysis.noise(result), or result.folds."
        )
    if len(result.lineage.trial):
        raise ValueError("luck: trials have taken over states of others.")
    standing = result.standing
    known = np.flatnonzero(np.isfinite(standing))
    # scores of trials that were stopped early cannot be compared with the others
    stage = result.trials.stage[known]
    known = known[stage == stage.max()] if len(known) else known
    need = max(FEWEST, EACH * setup.space.dim)
    if len(known) < need:
        few = f"{counted(len(known), 'trial')} {'has' if len(known) == 1 else 'have'}"
        plural = " needs" if setup.space.dim == 1 else "s need"
        raise ValueError(
            f"luck: {few} a score that can be compared; "
            f"{setup.space.dim} hyperparameter{plural} {need}. Search longer, or with "
            "seeds=2."
        )
    scores = result.trials["score"][known]
    if (scores == scores[0]).all():
        raise ValueError(f"luck: all {len(known)} trials have the same score.")
    return known


def _apart(result: Result, trials: np.ndarray) -> np.ndarray:
    """Return squared distances ``[d, n, n]``; choices are alike or 1 apart."""
    space, points = result.setup.space, coordinates(result)[trials]
    # where a dimension does not matter, all trials are alike
    points = np.where(np.isnan(points), 0.5, points)
    listed = np.asarray([space[name].allowed is not None for name in space.searched])
    square = (points[:, None] - points[None]) ** 2
    return np.where(listed, square > 0, square).transpose(2, 0, 1)


def _normal_scores(values: np.ndarray) -> np.ndarray:
    """Return what a standard normal sample has at the ranks of values, nearly."""
    share = (np.argsort(np.argsort(values, kind="stable")) + 0.5) / len(values)
    # Tukey's lambda distribution, which needs no special function
    return (share**0.14 - (1 - share) ** 0.14) / 0.1975


class _Model(NamedTuple):
    """A fitted process: means ``[n]`` of the function, and the noise."""

    likelihood: float
    mean: np.ndarray
    noise: float


def _fit(apart: np.ndarray, values: np.ndarray) -> _Model:
    """Fit the scale of each dimension by the likelihood, less a price for each."""
    count = len(apart)

    def judged(rates: np.ndarray) -> float:
        return _given(apart, values, rates).likelihood - PRICE * (rates > 0).sum()

    rates = max((np.full(count, rate) for rate in RATES), key=judged)
    for _ in range(SWEEPS):
        for place in range(count):
            others = [np.where(np.arange(count) == place, r, rates) for r in RATES]
            rates = max([rates, *others], key=judged)
    return _given(apart, values, rates)


def _given(apart: np.ndarray, values: np.ndarray, rates: np.ndarray) -> _Model:
    """Return the process with given scales; mean, variance and noise are fitted."""
    n = len(values)
    size, basis = np.linalg.eigh(np.exp(-0.5 * np.tensordot(rates, apart, 1)))
    size, own, ones = np.clip(size, 0, None), basis.T @ values, basis.sum(0)
    found: list[tuple[float, float, float, float]] = []
    for share in NOISES:
        total = (1 - share) * size + share
        centre = (own * ones / total).sum() / (ones**2 / total).sum()
        variance = max(((own - centre * ones) ** 2 / total).sum() / n, 1e-300)
        likelihood = -0.5 * (n * np.log(variance) + np.log(total).sum())
        found.append((likelihood, share, centre, variance))
    likelihood, share, centre, variance = max(found)
    total = (1 - share) * size + share
    pull = (1 - share) * size / total
    mean = centre + basis @ (pull * (own - centre * ones))
    return _Model(likelihood, mean, float(np.sqrt(variance * share)))
