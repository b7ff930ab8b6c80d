"""The score over two hyperparameters, smoothed over all others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxtune.analysis._coordinates import coordinates
from jaxtune.brevity import brief
from jaxtune.door import NAME, demand, guarded, one_of, whole
from jaxtune.results.result import A_RESULT, Result

NEAR = 50  # trials that a value is computed from
SMOOTH = 1.0  # of SciPy's interpolator; 0 would pass through every score


@brief
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


@guarded(result=A_RESULT, x=NAME, y=NAME, size=whole(2, 2000))
def surface(result: Result, x: str, y: str, size: int = 60) -> Surface:
    """Smooth the scores of trials over two hyperparameters.

    It uses SciPy's radial basis functions of the nearest trials, smoothed because the
    other hyperparameters make scores differ at one place. The surface never leaves the
    range of the scores. It covers places near trials alone, within a tenth of a side.

    >>> import jax
    >>> import jaxtune as jt
    >>> result = jt.search(
    ...     lambda key, h: (h["x"] - 0.3) ** 2 + h["y"],
    ...     jt.Space(x=jt.uniform(0.0, 1.0), y=jt.uniform(0.0, 1.0)),
    ...     key=jax.random.key(0),
    ...     trials=32,
    ...     mode="min",
    ...     verbose=0,
    ... )
    >>> jt.analysis.surface(result, "x", "y", size=5).score.shape
    (5, 5)

    Args:
      result: the result of a search.
      x: name of the first hyperparameter.
      y: name of the second one.
      size: ``k``, points along each axis.

    Returns:
      The grid and the scores; all NaN with fewer than four trials.
    """
    from scipy.interpolate import RBFInterpolator
    from scipy.spatial import KDTree

    names = result.setup.space.searched
    for argument, name in (("x", x), ("y", y)):
        demand("surface", argument, name, one_of(*names))
    at = coordinates(result)[:, [names.index(x), names.index(y)]]
    values = result.trials["score"].astype(np.float64)
    fine = np.isfinite(values) & np.isfinite(at).all(axis=1)
    at, values = at[fine].astype(np.float64), values[fine]
    grid = np.linspace(0, 1, size)
    wanted = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    score = np.full(len(wanted), np.nan)
    # trials on a line, as of a grid with one row, span no surface
    if len(at) >= 4 and np.linalg.matrix_rank(at - at.mean(0), tol=1e-3) == 2:
        near = KDTree(at).query(wanted)[0] <= 0.1
        # centred, so that a large constant does not drown the differences
        fit = RBFInterpolator(
            at,
            values - values.mean(),
            neighbors=min(NEAR, len(at)),
            smoothing=SMOOTH,
            kernel="linear",
        )
        smooth = fit(wanted[near]) + values.mean()
        score[near] = np.clip(smooth, values.min(), values.max())
    return Surface(grid, grid, score.reshape(size, size))
