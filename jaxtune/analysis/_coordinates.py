"""Coordinates of trials in the cube of the whole space."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from jaxtune.door import guarded
from jaxtune.results.result import A_RESULT, Result
from jaxtune.space import Dimension


@guarded(result=A_RESULT)
def coordinates(result: Result) -> np.ndarray:
    """Return every trial as a point of the whole space, whatever its round's box was.

    >>> import jax
    >>> import jaxtune as jt
    >>> result = jt.search(
    ...     lambda key, h: h["x"],
    ...     jt.Space(x=jt.uniform(0.0, 2.0)),
    ...     key=jax.random.key(0),
    ...     trials=8,
    ...     mode="max",
    ...     verbose=0,
    ... )
    >>> points = jt.analysis.coordinates(result)
    >>> points.shape
    (8, 1)
    >>> bool(abs(2 * points[:, 0] - result.trials["x"]).max() < 1e-5)
    True

    Args:
      result: the result of a search.

    Returns:
      ``[n, d]``, columns as in ``space.searched``; NaN where a dimension was not open
      in a trial's round, or did not matter to it.
    """
    space, trials = result.setup.space, result.trials
    # through values, since a trial's own point is one of its round's smaller box
    decoded = {name: np.asarray(values) for name, values in trials.decoded.items()}
    points, holds = np.array(space.encode(decoded)), space.active(decoded)
    if not space.searched:
        return points
    matters = np.stack([np.asarray(holds[name]) for name in space.searched], axis=1)
    points[np.isnan(trials.points) | ~matters] = np.nan
    return points


def span(whole: Dimension, part: Dimension) -> tuple[float, float]:
    """Return the ends of a part of a dimension, as coordinates of the whole."""
    if part.allowed is not None:
        kept = [whole.decoded(value) for value in part.remaining]
        at = whole.encode(jnp.asarray(kept))
        half = 0.5 / whole.cardinality
        low, high = at.min() - half, at.max() + half
    elif part.kind == "continuous":
        low, high = whole.encode(jnp.stack([part.low, part.high]))
    else:
        cells = jnp.stack([part.low, part.high]) - jnp.asarray(whole.low)
        firsts, lasts = whole.edges(cells)
        low, high = firsts[0], lasts[1]
    return max(0.0, float(low)), min(1.0, float(high))
