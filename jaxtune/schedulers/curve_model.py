"""A model of learning curves: what the scores at the last rung will be.

The freeze-thaw idea (Swersky et al., 2014, arXiv 1406.3896) in a form whose cost is
linear in the number of trials. A curve is a level that it ends at, a decay towards it,
a wandering and noise. Level and decay have a part that all trials share, a smooth
function of the hyperparameters, and a part of the trial's own. All parts are Gaussian,
so what was observed leaves a Gaussian for every final score.

The scales of the parts are not fitted, which a few curves cannot do: some dozens of
settings, spread over a prior, each predict, and count as they explain the curves.

In NumPy and float64, not JAX: it has to be compiled for no number of trials or rungs,
and one decision takes less time than one compilation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

MEMBERS = 48  # settings that are tried
KEPT = 8  # of them that predict, those that explain the curves best
LARGEST = 64  # functions of the hyperparameters: with more, no products of two of them
JITTER = 1e-4  # of a variance
SURE = 1e-3  # standard deviation of what is known

# centre and spread of the prior of the logarithm of each scale, where the values have a
# variance of 1
PRIOR = {
    "own_level": (-0.9, 0.8),
    "own_decay": (-0.9, 0.8),
    "wandering": (-1.2, 0.8),
    "noise": (-2.2, 1.0),
    "level": (-0.3, 0.7),  # that depends on the hyperparameters
    "decay": (-0.7, 0.8),
    "speed": (-1.5, 0.8),  # share of the training in which much of the decay is over
}
OWN_LEVEL, OWN_DECAY, WANDERING, NOISE, LEVEL, DECAY, SPEED = range(len(PRIOR))
COMMON = (1.5, 2.0)  # spread of the level and the decay that all trials share
BASES = (2, 3, 5, 7, 11, 13, 17)  # of Halton's sequence, for the settings


class Prediction(NamedTuple):
    """Scores of ``n`` trials at the last rung, as ``k`` settings predict them.

    Args:
      means: ``[k, n]``.
      spreads: ``[k, n]`` standard deviations, the noise of a score included.
      weights: ``[k]`` of the settings; their sum is 1.
    """

    means: np.ndarray
    spreads: np.ndarray
    weights: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """``[n]`` over the settings."""
        return self.weights @ self.means

    def above(self, level: float) -> np.ndarray:
        """Return the probability ``[n]`` that a trial ends above a level."""
        return self.weights @ ndtr((self.means - level) / self.spreads)


def as_quantiles(scores: np.ndarray) -> np.ndarray:
    """Return scores of any shape as normal quantiles of their ranks, NaN as it is.

    So the unit of a score does not matter, nor how many magnitudes a loss spans.

    Args:
      scores: higher is better.
    """
    values = np.full(scores.shape, np.nan)
    known = np.isfinite(scores)
    # equal scores share the middle of their ranks
    _, place, times = np.unique(scores[known], return_inverse=True, return_counts=True)
    middle = np.cumsum(times) - times / 2
    values[known] = ndtri(middle[place.ravel()] / max(1, known.sum()))
    return values


def endings(
    points: np.ndarray, values: np.ndarray, seen: np.ndarray, rungs: np.ndarray
) -> Prediction:
    """Predict the value of every trial at the last rung.

    Args:
      points: ``[n, D]`` in the unit cube; NaN where they are not known.
      values: ``[n, r]`` at the rungs, warped.
      seen: ``[n]`` int, the first rungs at which there is a value.
      rungs: ``[r]`` epochs, ascending.

    Returns:
      The prediction; also for trials without a value.
    """
    features = _features(points)
    at = np.arange(len(rungs))
    known = (at < seen[:, None]).astype(np.float64)
    scales = _settings()
    covariance, shapes = _in_time(scales, rungs / rungs[-1])
    noise = scales[:, NOISE, None, None] ** 2 + JITTER
    # whitened by a lower triangle, a curve's first values depend on no later ones: one
    # factor serves trials that have been seen for long and for short
    whiten = np.linalg.inv(np.linalg.cholesky(covariance + noise * np.eye(len(rungs))))
    curves = (np.where(known > 0, values, 0.0) @ whiten.transpose(0, 2, 1)) * known
    loads = whiten @ shapes  # [M, r, 2]
    prior = _prior_spreads(scales, features.shape[1])
    precision = _precision(features, seen, loads, prior)
    pulls = (features.T @ (curves @ loads)).transpose(0, 2, 1).reshape(prior.shape)
    factor = np.linalg.cholesky(precision)
    solved = np.linalg.solve(factor, (prior * pulls)[:, :, None])[:, :, 0]
    misfit = (curves**2).sum((1, 2)) / 2 - (solved**2).sum(1) / 2
    misfit += np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(1)
    misfit -= np.log(np.diagonal(whiten, axis1=1, axis2=2)) @ known.sum(0)
    best = np.argsort(misfit, kind="stable")[:KEPT]
    weights = np.exp(misfit[best[0]] - misfit[best])
    means, spreads = [], []
    for one in best:
        # of the trial's own part: what its values say of the last one
        toward = whiten[one] @ covariance[one, :, -1]
        rest = shapes[one, -1] - known @ (toward[:, None] * loads[one])  # [n, 2]
        row = (rest[:, :, None] * features[:, None, :]).reshape(len(features), -1)
        row = row @ (np.linalg.inv(factor[one]) * prior[one]).T
        variance = covariance[one, -1, -1] - known @ toward**2 + (row**2).sum(1)
        means.append((known * curves[one]) @ toward + row @ solved[one])
        spreads.append(np.sqrt(np.maximum(variance, 0.0) + noise[one, 0, 0]))
    return Prediction(np.stack(means), np.stack(spreads), weights / weights.sum())


def level_of(prediction: Prediction, rows: np.ndarray, count: float) -> float:
    """Return the level that ``count`` of some trials are expected to end above.

    Args:
      prediction: of all trials.
      rows: ``[m]`` the trials.
      count: fewer than ``m``.
    """
    some = Prediction(
        prediction.means[:, rows], prediction.spreads[:, rows], prediction.weights
    )
    low = float((some.means - 9 * some.spreads).min())
    high = float((some.means + 9 * some.spreads).max())
    for _ in range(40):
        middle = (low + high) / 2
        if some.above(middle).sum() > count:
            low = middle
        else:
            high = middle
    return low


def _features(points: np.ndarray) -> np.ndarray:
    """Return ``[n, q]`` functions of the hyperparameters; the first one is constant.

    They are the first cosines of each coordinate and, if these are few, the products of
    two coordinates: sums of them are smooth, and many trials cost no more each.
    """
    count, dims = points.shape
    scale = np.sqrt(max(dims, 1) / 2)
    parts = [np.cos(np.pi * k * points) / (k * scale) for k in (1, 2, 3)]
    pairs = dims * (dims - 1) // 2
    if 0 < pairs <= LARGEST - 3 * dims - 1:
        one, other = np.triu_indices(dims, 1)
        waves = np.cos(np.pi * points)
        parts.append(waves[:, one] * waves[:, other] * np.sqrt(2 / pairs))
    # without a configuration, a trial is as all are
    return np.nan_to_num(np.concatenate([np.ones((count, 1)), *parts], axis=1))


def _settings() -> np.ndarray:
    """Return ``[M, 7]`` scales, spread over their prior."""
    shares = np.asarray(
        [[_radical_inverse(i + 1, base) for base in BASES] for i in range(MEMBERS)]
    )
    centre, spread = np.asarray(list(PRIOR.values())).T
    return np.exp(centre + spread * ndtri(np.clip(shares, 0.03, 0.97)))


def _radical_inverse(number: int, base: int) -> float:
    """Return the digits of a number, mirrored at the point (Halton, 1960)."""
    result, place = 0.0, 1.0
    while number:
        place /= base
        result += place * (number % base)
        number //= base
    return result


def _in_time(scales: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how the values of one curve vary together, and the shapes of its parts.

    Args:
      scales: ``[M, 7]``.
      time: ``[r]`` share of the training, up to 1.

    Returns:
      ``[M, r, r]`` covariances of what is a trial's own, without noise; and ``[M, r,
      2]``: the level, which is constant, and the decay, from 1 at the beginning to 0 at
      the end.
    """
    speed = scales[:, SPEED, None]
    last = speed / (1 + speed)
    decay = (speed / (time[None] + speed) - last) / (1 - last)
    # curves wander most at the beginning
    clock = np.log1p(time[None] / speed) / np.log1p(1 / speed)
    wandering = np.minimum(clock[:, :, None], clock[:, None, :])
    own = scales[:, [OWN_LEVEL, OWN_DECAY, WANDERING], None, None] ** 2
    covariance = own[:, 0] + own[:, 1] * decay[:, :, None] * decay[:, None, :]
    covariance = covariance + own[:, 2] * wandering
    return covariance, np.stack([np.ones_like(decay), decay], axis=2)


def _prior_spreads(scales: np.ndarray, functions: int) -> np.ndarray:
    """Return ``[M, 2 q]`` spreads of the weights: levels, then decays."""
    spreads = np.repeat(scales[:, [LEVEL, DECAY], None], functions, axis=2)
    spreads[:, :, 0] = COMMON
    return spreads.reshape(len(scales), -1)


def _precision(
    features: np.ndarray, seen: np.ndarray, loads: np.ndarray, prior: np.ndarray
) -> np.ndarray:
    """Return ``[M, 2 q, 2 q]`` precisions of the weights, in units of the prior."""
    members, rungs, _ = loads.shape
    size = features.shape[1]
    # trials that were seen equally long weigh alike, so each is multiplied once only
    grams = np.stack(
        [
            features[seen == count].T @ features[seen == count]
            for count in range(1, rungs + 1)
        ]
    )
    weigh = np.cumsum(loads[:, :, :, None] * loads[:, :, None, :], axis=1)
    weigh = weigh.reshape(members, rungs, 4).transpose(0, 2, 1)
    whole = (weigh @ grams.reshape(rungs, -1)).reshape(members, 2, 2, size, size)
    whole = whole.transpose(0, 1, 3, 2, 4).reshape(members, 2 * size, 2 * size)
    return prior[:, :, None] * whole * prior[:, None, :] + np.eye(2 * size)
