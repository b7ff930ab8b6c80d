"""The score over two hyperparameters, smoothed over all others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxtune.analysis._coordinates import coordinates
from jaxtune.results.result import Result

NEAR = 50  # trials that a value is computed from
SMOOTH = 1.0


class Surface(NamedTuple):
    """A smooth score on a grid of the cube.

    Args:
      x: ``[k]`` coordinates of the first hyperparameter.
      y: ``[k]`` coordinates of the second one.
      score: ``[k, k]``, rows along ``y``; NaN away from all trials.
    """

    x: np.ndarray
    y: np.ndarray
    score: np.ndarray


def surface(result: Result, x: str, y: str, size: int = 60) -> Surface:
    """Smooth the scores of trials over two hyperparameters.

    Radial basis functions of the nearest trials, by SciPy, smoothed because the other
    hyperparameters make scores differ at one place. It is never outside the range of
    the scores, and only where trials are: within a tenth of a side from one.

    Args:
      result: what a search found.
      x: the first hyperparameter.
      y: the second one.
      size: ``k``.

    Returns:
      The grid and the scores; all NaN with fewer than four trials.
    """
    from scipy.interpolate import RBFInterpolator
    from scipy.spatial import KDTree

    names = result.setup.space.searched
    at = coordinates(result)[:, [names.index(x), names.index(y)]]
    values = result.trials["score"].astype(np.float64)
    fine = np.isfinite(values) & np.isfinite(at).all(axis=1)
    at, values = at[fine].astype(np.float64), values[fine]
    grid = np.linspace(0, 1, size)
    wanted = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    score = np.full(len(wanted), np.nan)
    spread = len(at) >= 4 and np.linalg.matrix_rank(at - at.mean(0), tol=1e-3) == 2
    if spread:
        near = KDTree(at).query(wanted)[0] <= 0.1
        own = {"neighbors": min(NEAR, len(at)), "smoothing": SMOOTH}
        # centred, so that a large constant does not drown the differences
        fit = RBFInterpolator(at, values - values.mean(), kernel="linear", **own)
        smooth = fit(wanted[near]) + values.mean()
        score[near] = np.clip(smooth, values.min(), values.max())
    return Surface(grid, grid, score.reshape(size, size))
