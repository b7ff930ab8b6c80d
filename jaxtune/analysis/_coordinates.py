"""Where trials lie in the cube of the whole space."""

from __future__ import annotations

import numpy as np

from jaxtune.results.result import Result


def coordinates(result: Result) -> np.ndarray:
    """Every trial as a point of the whole space, whatever the box of its round was.

    Args:
      result: what a search found.

    Returns:
      ``[n, d]``, columns as in ``space.searched``; NaN where a dimension was not open
      in a trial's round, or did not matter to it.
    """
    space, trials = result.setup.space, result.trials
    decoded = {name: np.asarray(values) for name, values in trials.decoded.items()}
    points, holds = np.array(space.encode(decoded)), space.active(decoded)
    matters = np.stack([np.asarray(holds[name]) for name in space.searched], axis=1)
    points[np.isnan(trials.points) | ~matters] = np.nan
    return points
