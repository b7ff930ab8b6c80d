"""What a belief about each hyperparameter is worth: a good, a vague and a wrong one.

A search of 50 trials in batches of five knows, for each dimension, one of:

- ``none``: nothing;
- ``good``: the value of the optimum, missed by a normal error of a tenth of the
  dimension, with a spread of .15;
- ``vague``: the same, missed by .25, with a spread of .3;
- ``wrong``: the end of the dimension that is farther from the optimum, with a spread of
  .1; of a choice, one of the other values.

Regret is that of the best trial so far, 0 at the optimum and 1 at the median random
point: the geometric mean over problems and keys, with intervals of 95 % by a bootstrap
over keys.

    python benchmarks/beliefs.py [--keys 10] [--only NAME ...] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
from functools import cache
from itertools import product
from pathlib import Path

import jax
import numpy as np
import record
from prior import summary
from problems import FUNCTIONS, Problem, functions, tabular

import jaxtune as jt

TRIALS, BATCH = 50, 5
AFTER = (10, 25, 50)
SAMPLERS = {
    "sobol": jt.samplers.sobol,
    "tpe": jt.samplers.tpe,
    "gaussian_process": jt.samplers.gaussian_process,
}
BELIEFS = ("none", "good", "vague", "wrong")
MISSED = {"good": 0.1, "vague": 0.25}
SPREAD = {"good": 0.15, "vague": 0.3, "wrong": 0.1}
LEAST, MOST = 1e-4, 10.0  # regrets beyond these count as these


@cache
def problems() -> list[Problem]:
    """Return seven functions without noise, and three tables of trained networks."""
    exact = [problem for problem in functions() if problem.name in FUNCTIONS]
    tables = [("digits", "loss"), ("diabetes", "loss"), ("branches", "loss")]
    return exact + [tabular(*table) for table in tables]


@cache
def optimum(name: str) -> np.ndarray:
    """Return the best point ``[d]`` of a problem: by search, or the best of a table."""
    problem = next(p for p in problems() if p.name == name)
    if problem.space.size < np.inf:
        middles = [problem.space[n].middles for n in problem.space.names]
        points = np.array(list(product(*middles)))
    else:
        rng = np.random.default_rng(1)
        points = rng.random((100_000, problem.space.dim))
        for width in np.geomspace(0.3, 1e-3, 40):
            best = points[np.argsort(problem.value(points))[:50]]
            steps = rng.normal(size=(100, *best.shape)) * width
            near = np.clip(best + steps, 0, 1 - 1e-7).reshape(-1, problem.space.dim)
            points = np.concatenate([best, near])
    return points[np.nanargmin(problem.value(points))]


def believing(problem: Problem, belief: str, seed: int) -> jt.Space:
    """Return the space of a problem with a belief about each dimension."""
    return near_point(problem.space, optimum(problem.name), belief, seed)


def near_point(space: jt.Space, best: np.ndarray, belief: str, seed: int) -> jt.Space:
    """Return a space with a belief about each dimension, good or not near a point."""
    if belief == "none":
        return space
    rng = np.random.default_rng(seed)
    at = np.where(best < 0.5, 1 - 1e-6, 0.0)
    if belief in MISSED:
        at = best + MISSED[belief] * rng.normal(size=len(best))
    at = np.clip(at, 0, 1 - 1e-6).astype(np.float32)
    values = space.values(space.decode(at[None]), 0)
    near = {name: jt.near(value, SPREAD[belief]) for name, value in values.items()}
    return space.expect(**near)


def searched(problem: Problem, belief: str, make: str, seed: int) -> np.ndarray:
    """Return the best regret so far after each trial ``[TRIALS]``."""
    space, sampler = believing(problem, belief, seed), SAMPLERS[make]()
    state, values = sampler.init(jax.random.key(seed), space), np.empty(0)
    for _ in range(TRIALS // BATCH):
        state, points = sampler.ask(state, BATCH)
        found = problem.value(np.asarray(points, np.float64))
        state = sampler.tell(state, points, -found)
        values = np.append(values, found)
    worst = np.where(np.isfinite(values), values, np.inf)
    return problem.regret(np.minimum.accumulate(worst))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=10)
    parser.add_argument("--only", nargs="+", default=list(SAMPLERS), choices=SAMPLERS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for sampler in options.only:
        for belief in BELIEFS:
            regrets = np.stack(
                [
                    [
                        searched(problem, belief, sampler, seed)
                        for seed in range(options.keys)
                    ]
                    for problem in problems()
                ]
            )
            for row in summary(regrets, AFTER, LEAST, MOST):
                rows.append({"sampler": sampler, "belief": belief} | row)
                print(
                    f"{sampler:<17} {belief:<6} after {row['after']:>2}: "
                    f"{row['regret']:.4f} [{row['low']:.4f}, {row['high']:.4f}]",
                    flush=True,
                )
    if options.json:
        record.write(options, rows)


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
