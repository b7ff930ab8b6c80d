"""Problems for samplers: standard functions, and tables of trained networks.

The functions are those of Surjanovic & Bingham's virtual library, without and with
noise, and those of ``mixed.py``. Ackley's optimum is moved away from the middle of its
box, where a search that shrinks the box would find it too easily. All are minimised;
NaN is a failed training.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import mixed
import numpy as np
import pandas as pd
from tables import SPACES, without_inactive

import jaxtune as jt


class Problem(NamedTuple):
    """One function to minimise.

    ``value`` takes points ``[n, d]`` of the unit cube and returns the true values;
    ``noise`` is the standard deviation that is added to what a sampler sees. Regret is
    measured in units of what the median random point loses: ``typical - best``.
    """

    name: str
    space: jt.Space
    value: Callable[[np.ndarray], np.ndarray]
    noise: float
    best: float
    typical: float

    def regret(self, value: np.ndarray) -> np.ndarray:
        """Return the regret, 0 at the optimum and 1 at the median random point."""
        return (value - self.best) / (self.typical - self.best)


def branin(u: np.ndarray) -> np.ndarray:
    x, y = 15 * u[:, 0] - 5, 15 * u[:, 1]
    bend = y - 5.1 / (4 * np.pi**2) * x**2 + 5 / np.pi * x - 6
    return bend**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x) + 10


HARTMANN = np.array([1.0, 1.2, 3.0, 3.2])
HARTMANN_3 = (
    np.array([[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]]),
    1e-4
    * np.array(
        [[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]
    ),
)
HARTMANN_6 = (
    np.array(
        [
            [10, 3, 17, 3.5, 1.7, 8],
            [0.05, 10, 17, 0.1, 8, 14],
            [3, 3.5, 1.7, 10, 17, 8],
            [17, 8, 0.05, 10, 0.1, 14],
        ]
    ),
    1e-4
    * np.array(
        [
            [1312, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ]
    ),
)


def hartmann(u: np.ndarray, table: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    steep, centres = table
    distance = (steep[None] * (u[:, None] - centres[None]) ** 2).sum(-1)
    return -(HARTMANN * np.exp(-distance)).sum(-1)


def ackley(u: np.ndarray) -> np.ndarray:
    x = 65.536 * (u - np.array([0.31, 0.72, 0.57, 0.23, 0.64]))
    root = np.sqrt((x**2).mean(1))
    waves = np.exp(np.cos(2 * np.pi * x).mean(1))
    return 20 + np.e - 20 * np.exp(-0.2 * root) - waves


def rosenbrock(u: np.ndarray) -> np.ndarray:
    x = 15 * u - 5
    curve = 100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2
    return (curve + (1 - x[:, :-1]) ** 2).sum(1)


def levy(u: np.ndarray) -> np.ndarray:
    w = 1 + (20 * u - 11) / 4
    first = np.sin(np.pi * w[:, 0]) ** 2
    inner = (w[:, :-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:, :-1] + 1) ** 2)
    last = (w[:, -1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[:, -1]) ** 2)
    return first + inner.sum(1) + last


# name: dimensions, function, optimum
FUNCTIONS: dict[str, tuple[int, Callable[[np.ndarray], np.ndarray], float]] = {
    "branin": (2, branin, 0.397887),
    "hartmann3": (3, lambda u: hartmann(u, HARTMANN_3), -3.86278),
    "hartmann6": (6, lambda u: hartmann(u, HARTMANN_6), -3.32237),
    "ackley5": (5, ackley, 0.0),
    "rosenbrock4": (4, rosenbrock, 0.0),
    "levy4": (4, levy, 0.0),
    # nine dimensions, of which only three have an effect
    "sparse9": (9, lambda u: hartmann(u[:, [1, 4, 7]], HARTMANN_3), -3.86278),
}


def functions() -> list[Problem]:
    """Return each function without noise, and with noise of a tenth of its scale."""
    problems = []
    for name, (dim, value, best) in FUNCTIONS.items():
        space = jt.Space(**{f"x{j}": jt.uniform(0, 1) for j in range(dim)})
        sample = value(np.random.default_rng(0).random((10_000, dim)))
        typical = float(np.median(sample))
        exact = Problem(name, space, value, noise=0.0, best=best, typical=typical)
        noise = 0.1 * (typical - best)
        problems += [exact, exact._replace(name=f"{name} noisy", noise=noise)]
    return problems


def mixed_functions() -> list[Problem]:
    """Return the functions over mixed spaces, two of them with noise as well."""
    problems = []
    for name, (space, value) in mixed.FUNCTIONS.items():
        typical = float(
            np.median(value(np.random.default_rng(0).random((10_000, space.dim))))
        )
        exact = Problem(name, space, value, 0.0, _lowest(value, space.dim), typical)
        problems.append(exact)
        if name in ("bowl7", "parts9"):
            noise = 0.1 * (typical - exact.best)
            problems.append(exact._replace(name=f"{name} noisy", noise=noise))
    return problems


@cache
def _lowest(value: Callable[[np.ndarray], np.ndarray], dim: int) -> float:
    """Find the lowest value: of many random points, then by ever smaller steps."""
    rng = np.random.default_rng(1)
    points = rng.random((100_000, dim))
    values = value(points)
    best = np.argsort(values)[:20]
    points, values = points[best], values[best]
    for width in np.geomspace(0.3, 1e-3, 60):
        steps = rng.normal(size=(200, *points.shape)) * width
        fresh = rng.random(steps.shape)
        # a choice is no step away from any other
        steps = np.where(rng.random(steps.shape) < 0.2, fresh, points + steps)
        moved = np.where(rng.random(steps.shape) < 0.4, steps, points)
        moved = np.clip(moved, 0, 1 - 1e-7)
        found = value(moved.reshape(-1, dim)).reshape(200, -1)
        first = found.argmin(0)
        better = found.min(0) < values
        rows = moved[first, np.arange(len(points))]
        points = np.where(better[:, None], rows, points)
        values = np.minimum(values, found.min(0))
    return float(values.min())


def tabular(name: str, metric: str) -> Problem:
    """Return a table of trained networks as a problem; values are means over seeds."""
    frame = pd.read_parquet(Path(__file__).parent / "tables" / f"{name}.parquet")
    space = SPACES[name]
    if metric == "error":
        values = 1 - frame["accuracy"].to_numpy(np.float64)
    else:
        losses = frame.filter(regex="^loss_").to_numpy(np.float64)
        values = losses.mean(1)
    values = np.where(np.isfinite(values), values, np.nan)
    counts = [len(space[dim].choices) for dim in space.names]
    whole = np.full(counts, np.nan)
    whole[tuple(_rows(space, frame).T)] = values

    def look_up(u: np.ndarray) -> np.ndarray:
        index = without_inactive(space, mixed.cells(u, counts))
        return whole[tuple(index.T)]

    return Problem(
        f"{name} {metric}",
        space,
        look_up,
        noise=0.0,
        best=float(np.nanmin(values)),
        typical=float(np.nanmedian(values)),
    )


def _rows(space: jt.Space, frame: pd.DataFrame) -> np.ndarray:
    """Return the cell of each row of a table, ``[n, d]``; 0 for a value not there."""
    columns = []
    for dim in space.names:
        listed = space[dim].choices
        if isinstance(listed[0], str):
            columns.append([listed.index(value) for value in frame[dim]])
        else:
            away = frame[dim].to_numpy(np.float64)[:, None] - np.array(listed)[None]
            columns.append(np.nan_to_num(np.abs(away), nan=0.0).argmin(1))
    return np.array(columns).T


TABLES = [
    ("digits", "error"),
    ("digits", "loss"),
    ("breast_cancer", "loss"),
    ("diabetes", "loss"),
    ("operations", "loss"),
    ("operations", "error"),
    ("branches", "loss"),
]


@cache
def suite() -> list[Problem]:
    """Return all problems."""
    return functions() + mixed_functions() + [tabular(*table) for table in TABLES]
