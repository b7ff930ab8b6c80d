"""The problems of `optuna_batch`: functions of BBOB, and tables of trained networks."""

from __future__ import annotations

from functools import cache

import numpy as np
from problems import Problem, tabular

import jaxtune as jt

# of each group of BBOB one, those of Optuna's article on the speed of GPSampler (2025)
BBOB = {
    1: "Sphere",
    6: "Attractive Sector",
    10: "Ellipsoid, rotated",
    15: "Rastrigin, rotated",
    20: "Schwefel",
}
DIMENSIONS = 5
# multilayer perceptrons on a grid, as in HPOBench, whose tables would be a download
TABLES = ("digits", "breast_cancer", "diabetes")
PROBLEMS = (*BBOB, *TABLES)


@cache
def problem_of(name: int | str) -> Problem:
    """Return a function of BBOB by its number, or a table by its name."""
    if isinstance(name, str):
        return tabular(name, "loss")
    import ioh  # its values are those of COCO's own package

    function = ioh.get_problem(name, 1, DIMENSIONS, ioh.ProblemClass.BBOB)

    def value(u: np.ndarray) -> np.ndarray:
        return np.array([function(row) for row in (10 * u - 5).tolist()])

    space = jt.Space(**{f"x{j}": jt.uniform(-5.0, 5.0) for j in range(DIMENSIONS)})
    best = function.optimum.y
    typical = float(np.median(value(np.random.default_rng(0).random((10_000, 5)))))
    return Problem(BBOB[name], space, value, noise=0.0, best=best, typical=typical)
