"""Run the searches of hyperoptax's documentation with hyperoptax and with jaxtune.

The README of version 0.2.0 searches the learning rate of a small network, and what is
left of it at the end, in 100 trials of which four run side by side, or in 400 random
ones. It leaves the training out; here it is the network of its notebook `search`.
Its notebook `performance` maximises a function of two numbers in 50 trials.

    python -m benchmarks.published.hyperoptax_readme [--seeds 10]
        [--contenders NAME ...]

Each contender has a process of its own: its first search is cold, the next one warm. Of
hyperoptax's loop, which takes minutes, five iterations are timed, and the others of a
search are taken to be as long as the last four. Its best values are from one program
for all seeds, ``vmap`` over ``optimize_scan``, as its notebook has it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxtune as jt
from benchmarks.published.common import (
    arguments,
    clock,
    contenders,
    finish,
    shown,
    table,
    timed,
)
from benchmarks.published.hyperoptax_problems import HIGHEST, train_nn, waves

SEEDS, TIMED = 10, 5
# of the notebook `performance` in the repository of version 0.2.0 (2026): the median
# regret of five seeds, and evaluations a second, with all seeds in one program
THEIR_REGRET, THEIR_RATE = 0.0014, 92.8
# of its notebook `search`: seconds of 100 trials of such a network by ``optimize``
THEIR_SECONDS = 109.48


# -- hyperoptax, as its README and notebooks write it --

Started = tuple[Any, Any, int]  # state, optimiser, iterations


def readme_space() -> dict[str, Any]:
    """Return the space of the README."""
    from hyperoptax import LinearSpace, LogSpace

    return {
        "learning_rate": LogSpace(1e-5, 1e-1),
        "final_lr_pct": LinearSpace(0.01, 0.5),
    }


def bayesian(trials: int) -> Started:
    """Start the search of the README with a Gaussian process."""
    from hyperoptax import BayesianSearch

    space = readme_space()
    started = BayesianSearch.init(space, n_max=trials, n_parallel=4, maximize=False)
    return *started, trials // 4


def random(trials: int) -> Started:
    """Start the random search of the README."""
    from hyperoptax import RandomSearch

    return *RandomSearch.init(readme_space(), n_parallel=8), trials // 8


def of_waves(iterations: int, parallel: int) -> Started:
    """Start the search of the notebook `performance`."""
    from hyperoptax import BayesianSearch, LinearSpace

    space = {"x": LinearSpace(2.0, 4.0), "y": LinearSpace(0.0, 2.0)}
    given = {"n_max": iterations, "n_warmup": 3, "n_parallel": parallel}
    return *BayesianSearch.init(space, **given), iterations


def timed_loop(started: Started, function: Callable) -> dict[str, float]:
    """Time ``optimize``: a first iteration, and some more."""
    state, optimizer, iterations = started

    def iterate(number: int) -> None:
        nonlocal state
        key = jax.random.PRNGKey(number)
        state, (_, scores) = optimizer.optimize(state, key, function, 1)
        jax.block_until_ready(scores)

    _, spent = timed(partial(iterate, number) for number in range(TIMED))
    whole = {}
    for end in ("", "_cpu"):
        first, each = spent[f"cold{end}"], spent[f"warm{end}"]
        whole[f"cold{end}"] = first + (iterations - 1) * each
        whole[f"warm{end}"] = iterations * each
    return whole


def timed_scan(started: Started, function: Callable) -> dict[str, float]:
    """Time two searches by ``optimize_scan``."""
    state, optimizer, iterations = started

    def search(seed: int) -> None:
        key = jax.random.PRNGKey(seed)
        done = optimizer.optimize_scan(state, key, function, iterations)
        jax.block_until_ready(done[1][1])

    return timed(partial(search, seed) for seed in range(2))[1]


def all_seeds(started: Started, function: Callable, seeds: int) -> dict[str, Any]:
    """Search with all seeds in one program: scores [seeds, iterations, parallel]."""
    state, optimizer, iterations = started

    def one(key: jax.Array) -> jax.Array:
        return optimizer.optimize_scan(state, key, function, iterations)[1][1]

    keys = jnp.stack([jax.random.PRNGKey(seed) for seed in range(seeds)])
    with clock() as spent:
        scores = np.asarray(jax.jit(jax.vmap(one))(keys))
    cold, cpu = spent["seconds"] / seeds, spent["cpu"] / seeds
    return {"scores": scores, "cold": cold, "cold_cpu": cpu}


# -- jaxtune --

NETWORK = jt.Space(
    learning_rate=jt.log_uniform(1e-5, 1e-1), final_lr_pct=jt.uniform(0.01, 0.5)
)
PLANE = jt.Space(x=jt.uniform(2.0, 4.0), y=jt.uniform(0.0, 2.0))


def ours(function: Callable, space: jt.Space, seeds: int, **how: Any) -> dict[str, Any]:
    """Search with each seed; the first search of the process is cold."""

    def search(seed: int) -> float:
        key = jax.random.key(seed)
        return float(jt.search(function, space, key=key, verbose=0, **how).best.score)

    best, spent = timed(partial(search, seed) for seed in range(seeds))
    return {"best": best, **spent}


# -- the contenders: number of trials, and number of seeds -> figures --


def bayesian_loop(trials: int, seeds: int) -> dict[str, Any]:
    return timed_loop(bayesian(trials), train_nn)


def bayesian_scan(trials: int, seeds: int) -> dict[str, Any]:
    spent = timed_scan(bayesian(trials), train_nn)
    return best_of(all_seeds(bayesian(trials), train_nn, seeds), np.min) | spent


def bayesian_ours(trials: int, seeds: int) -> dict[str, Any]:
    return ours(train_nn, NETWORK, seeds, trials=trials, mode="min")


def random_loop(trials: int, seeds: int) -> dict[str, Any]:
    spent = timed_loop(random(trials), train_nn)
    return best_of(all_seeds(random(trials), train_nn, seeds), np.min) | spent


def random_scan(trials: int, seeds: int) -> dict[str, Any]:
    return timed_scan(random(trials), train_nn)


def random_ours(trials: int, seeds: int) -> dict[str, Any]:
    how = {"sampler": "uniform", "mode": "min"}
    return ours(train_nn, NETWORK, seeds, trials=trials, **how)


def waves_as_published(trials: int, seeds: int) -> dict[str, Any]:
    found = all_seeds(of_waves(trials, 4), waves, seeds)
    # four points an iteration, of which the notebook counts the first
    found["scores"] = found["scores"][:, :, :1]
    return best_of(found, np.max)


def waves_alone(trials: int, seeds: int) -> dict[str, Any]:
    return best_of(all_seeds(of_waves(trials, 1), waves, seeds), np.max)


def waves_ours(trials: int, seeds: int) -> dict[str, Any]:
    return ours(waves, PLANE, seeds, trials=trials, mode="max")


def best_of(found: dict[str, Any], best: Callable) -> dict[str, Any]:
    """Return the figures with the best score of each seed in place of all scores."""
    return {"best": best(found.pop("scores"), (1, 2)).tolist(), **found}


CONTENDERS: dict[str, tuple[Callable[[int, int], dict[str, Any]], int]] = {
    "bayesian_loop": (bayesian_loop, 100),
    "bayesian_scan": (bayesian_scan, 100),
    "bayesian_ours": (bayesian_ours, 100),
    "random_loop": (random_loop, 400),
    "random_scan": (random_scan, 400),
    "random_ours": (random_ours, 400),
    "waves_as_published": (waves_as_published, 50),
    "waves_alone": (waves_alone, 50),
    "waves_ours": (waves_ours, 50),
}
SMALL = ("bayesian_ours", "random_ours", "waves_alone", "waves_ours")  # a minute


def tables(written: dict[str, Any]) -> str:
    """Return the table: theirs, ours, how."""
    rows = written["rows"]

    def best(name: str) -> str:
        return shown(rows[name]["best"], 4) if name in rows else ""

    def regret(name: str) -> str:
        return f"{HIGHEST - np.median(rows[name]['best']):.4f}" if name in rows else ""

    def seconds(name: str) -> str:
        row = rows.get(name, {})
        text = [
            f"{row[clock]:.1f} ({row[clock + '_cpu']:.1f})"
            for clock in ("cold", "warm")
            if clock in row
        ]
        return ", ".join(text)

    error, process = "error of the network", "Gaussian process, 100 trials, 4 at a time"
    loop, scan, chance = "bayesian_loop", "bayesian_scan", "random_loop"
    first, single = "waves_as_published", "waves_alone"
    mine, drawn, plane = "bayesian_ours", "random_ours", "waves_ours"
    published, rate = f"{THEIR_SECONDS:.1f}", f"{50 / THEIR_RATE:.1f} a seed"
    took, together = "seconds (of processor): cold, warm", "theirs: all seeds at once"
    nth = "50 iterations of 4, the first of each counts"
    lines = [
        [error, process, "", best(scan), best(mine)],
        [error, "random, 400 trials, 8 at a time", "", best(chance), best(drawn)],
        [took, "`optimize`", published, seconds(loop), seconds(mine)],
        ["the same", "`optimize_scan`", "", seconds(scan), seconds(mine)],
        ["the same", "random, `optimize`", "", seconds(chance), seconds(drawn)],
        [
            "the same",
            "random, `optimize_scan`",
            "",
            seconds("random_scan"),
            seconds(drawn),
        ],
        ["median regret of the function", nth, THEIR_REGRET, regret(first), ""],
        ["the same", "50 trials", "", regret(single), regret(plane)],
        ["its seconds", together, rate, seconds(single), seconds(plane)],
    ]
    header = ["measured", "how", "theirs, published", "theirs, here", "ours"]
    return table(header, lines)


def main() -> None:
    """Run every contender in a process of its own, and print the table."""
    parser = arguments(__doc__, "hyperoptax_readme")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="searches of each")
    parser.add_argument("--contenders", nargs="*", default=[*CONTENDERS])
    parser.add_argument("--only", choices=CONTENDERS, help="print this one's figures")
    parser.add_argument("--trials", type=int, help="of --only")
    options = parser.parse_args()
    if options.only:
        run, trials = CONTENDERS[options.only]
        print(json.dumps(run(options.trials or trials, options.seeds)))
        return
    given = {}
    for name in SMALL if options.small else options.contenders:
        _, trials = CONTENDERS[name]
        count = max(8, trials // 10) if options.small else trials
        seeds = 2 if options.small else options.seeds
        given[name] = ["--trials", count, "--seeds", seeds]
    finish(options, contenders(options, "hyperoptax_readme", given), tables)


if __name__ == "__main__":
    main()
