"""Compare samplers in batches of hundreds of points: regret, and time of a batch.

Sobol points, TPE and the Gaussian process search the functions of ``problems.py``, with
and without noise. Regret is that of the trial with the best measured value, computed
without the noise: 0 is the optimum, 1 the median random point.

    python benchmarks/large_batches.py [--batch 512] [--batches 20] [--seeds 3]
        [--only NAME ...] [--samplers NAME ...] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import jax
import numpy as np
from problems import Problem, functions

import jaxtune as jt

SAMPLERS = ("sobol", "tpe", "gaussian_process", "trust_region")


def searched(
    make: str, problem: Problem, seed: int, batch: int, batches: int
) -> tuple[list[float], float]:
    """Return the regret after each batch, and the median seconds of a warm batch."""
    sampler = getattr(jt.samplers, make)()
    state = sampler.init(jax.random.key(seed), problem.space)
    rng = np.random.default_rng(seed)
    best, regrets, seconds = (np.inf, np.inf), [], []
    for _ in range(batches):
        begin = time.perf_counter()
        state, points = sampler.ask(state, batch)
        points = np.asarray(points)
        seconds.append(time.perf_counter() - begin)
        true = problem.value(points)
        seen = true + problem.noise * rng.normal(size=batch)
        state = sampler.tell(state, points, -seen)
        lowest = int(np.argmin(seen))
        best = min(best, (float(seen[lowest]), float(true[lowest])))
        regrets.append(float(problem.regret(np.asarray(best[1]))))
    return regrets, float(np.median(seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--samplers", nargs="*", default=list(SAMPLERS))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    for problem in functions():
        if given.only and problem.name not in given.only:
            continue
        for make in given.samplers:
            each = [
                searched(make, problem, seed, given.batch, given.batches)
                for seed in range(given.seeds)
            ]
            regrets = np.mean([regret for regret, _ in each], axis=0).tolist()
            rows.append({"problem": problem.name, "sampler": make, "regret": regrets})
            rows[-1]["seconds"] = float(np.median([cost for _, cost in each]))
            shown = [f"{regrets[i]:.2e}" for i in (1, len(regrets) // 2 - 1, -1)]
            shown.append(f"{rows[-1]['seconds']:.2f} s")
            print(problem.name, make, *shown, flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
