"""What an earlier search is worth: related, unrelated and misleading ones, and none.

A search of 48 trials in six rounds knows an earlier one, of 64 Sobol points that zoomed
three times: over the same function with its optimum moved by a twentieth of the box and
its values changed ("related"), over a function of other terms ("unrelated"), or over
the mirrored one, whose best places are bad ones ("misleading"). Regret is that of the
best trial so far, 0 at the optimum and 1 at the median random point: the geometric mean
over functions and keys, with intervals of 95 % by a bootstrap over keys.

    python benchmarks/prior.py [--keys 10] [--only NAME ...] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import record
from scipy.stats import bootstrap

import jaxtune as jt

TRIALS, ROUNDS, PAST = 48, 6, 64
AFTER = (8, 16, 24, 48)
SAMPLERS = {
    "gaussian_process": jt.samplers.gaussian_process,
    "tpe": jt.samplers.tpe,
    "cma_es": partial(jt.samplers.cma_es, population=8),
}
PASTS = ("none", "related", "unrelated", "misleading")
Function = Callable[[jax.Array], jax.Array]


def bowl(u: jax.Array) -> jax.Array:
    """Return a bowl, steeper in some dimensions."""
    steep = 4.0 ** jnp.arange(len(u))
    return (steep * (u - 0.37) ** 2).sum() / steep.sum()


def valley(u: jax.Array) -> jax.Array:
    """Return Rosenbrock's valley."""
    x = 3 * u - 1
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def hills(u: jax.Array) -> jax.Array:
    """Return a bowl with waves, as Rastrigin's."""
    x = 4 * (u - 0.62)
    return (x**2 - 2 * jnp.cos(2 * jnp.pi * x) + 2).sum()


def ridge(u: jax.Array) -> jax.Array:
    """Return distances from a point that grow with their square roots, as Ackley's."""
    x = 4 * (u - 0.29)
    far = jnp.sqrt((x**2).mean() + 1e-12)
    return 20 - 20 * jnp.exp(-0.2 * far) + 2 * (1 - jnp.cos(3 * x).mean())


FUNCTIONS: dict[str, tuple[Function, int]] = {
    "bowl 4": (bowl, 4),
    "valley 2": (valley, 2),
    "valley 4": (valley, 4),
    "hills 3": (hills, 3),
    "ridge 5": (ridge, 5),
}


def terms(u: jax.Array) -> jax.Array:
    """Return sums of waves that have nothing to do with the functions above."""
    angles = jnp.arange(1, len(u) + 1) * u * 5.0
    return jnp.sin(angles + 1.3).sum() + 0.5 * jnp.cos(11.0 * u.sum())


def related(function: Function) -> Function:
    return lambda u: 3 * function(u - 0.05) + 5


def mirrored(function: Function) -> Function:
    return lambda u: function(1 - u)


def space_of(dim: int) -> jt.Space:
    return jt.Space({f"x{i}": jt.uniform(0.0, 1.0) for i in range(dim)})


def objective_of(function: Function) -> Any:
    return lambda h: function(jnp.stack([h[name] for name in sorted(h)]))


OBJECTIVES = {
    name: {
        "none": objective_of(function),
        "related": objective_of(related(function)),
        "unrelated": objective_of(terms),
        "misleading": objective_of(mirrored(function)),
    }
    for name, (function, _) in FUNCTIONS.items()
}


def searched(name: str, past: str, sampler: str, seed: int) -> np.ndarray:
    """Return the best regret so far after each trial ``[TRIALS]``."""
    function, dim = FUNCTIONS[name]
    space, own = space_of(dim), {"mode": "min", "verbose": 0, "block": 8}
    # the rounds do not zoom: what a sampler makes of its past is measured alone
    own |= {"sampler": SAMPLERS[sampler](), "refine": jt.zoom(floor=1)}
    before = None
    if past != "none":
        key = jax.random.key(1000 + seed)
        before = jt.search(
            OBJECTIVES[name][past],
            space,
            key=key,
            trials=PAST,
            rounds=4,
            mode="min",
            verbose=0,
            sampler="sobol",
        )
    found = jt.search(
        OBJECTIVES[name]["none"],
        space,
        key=jax.random.key(seed),
        trials=TRIALS,
        rounds=ROUNDS,
        prior=before,
        **own,
    )
    points = jax.random.uniform(jax.random.key(7), (20_000, dim))
    typical = float(jnp.median(jax.vmap(function)(points)))
    best = optimum(name)
    scores = np.minimum.accumulate(found.trials["score"])
    return (scores - best) / (typical - best)


def optimum(name: str) -> float:
    """Return the least value, which is known for each of these functions."""
    function, dim = FUNCTIONS[name]
    at = {"bowl": 0.37, "valley": 2 / 3, "hills": 0.62, "ridge": 0.29}
    return float(function(jnp.full(dim, at[name.split()[0]])))


def summary(
    regrets: np.ndarray,
    trials: tuple[int, ...] = AFTER,
    least: float = 1e-6,
    most: float = np.inf,
) -> list[dict[str, float]]:
    """Return the geometric mean after some trials, with its interval.

    Args:
      regrets: ``[functions, keys, TRIALS]``.
      trials: after which.
      least: regrets below it count as this.
      most: regrets above it count as this.
    """
    rows = []
    for after in trials:
        logs = np.log10(np.clip(regrets[:, :, after - 1], least, most)).mean(axis=0)
        span = bootstrap((logs,), np.mean, random_state=0).confidence_interval
        middle, low, high = (10.0**x for x in (logs.mean(), span.low, span.high))
        found = {"regret": middle, "low": low, "high": high}
        rows.append(
            {"after": after} | {k: round(float(v), 5) for k, v in found.items()}
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=10)
    parser.add_argument("--only", nargs="+", default=list(SAMPLERS), choices=SAMPLERS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for sampler in options.only:
        for past in PASTS:
            regrets = np.stack(
                [
                    [
                        searched(name, past, sampler, seed)
                        for seed in range(options.keys)
                    ]
                    for name in FUNCTIONS
                ]
            )
            for row in summary(regrets):
                rows.append({"sampler": sampler, "past": past} | row)
                print(
                    f"{sampler:<17} {past:<11} after {row['after']:>2}: "
                    f"{row['regret']:.4f} [{row['low']:.4f}, {row['high']:.4f}]",
                    flush=True,
                )
    if options.json:
        record.write(options, rows)


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
