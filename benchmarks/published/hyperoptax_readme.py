"""Run the searches of hyperoptax's documentation with hyperoptax and with jaxtune.

The README of version 0.2.0 searches the learning rate of a small network, and what is
left of it at the end, in 100 trials of which four run side by side, or in 400 random
ones. It leaves the training out; here it is the network of its notebook `search`.
Its notebook `performance` maximises a function of two numbers in 50 trials.

    python -m benchmarks.published.hyperoptax_readme [--seeds 10] [--only NAME ...]

Each contender has a process of its own: its first search is cold, the next one warm. Of
hyperoptax's loop, which takes minutes, five iterations are timed, and the others of a
search are taken to be as long as the last four. Its best values are from one program
for all seeds, ``vmap`` over ``optimize_scan``, as its notebook has it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxtune as jt
from benchmarks.published.common import alone, arguments, finish, shown, table

SEEDS, TIMED = 10, 5
# of the notebook `performance` in the repository of version 0.2.0 (2026): the median
# regret of five seeds, and evaluations a second, with all seeds in one program
THEIR_REGRET, THEIR_RATE = 0.0014, 92.8
# of its notebook `search`: seconds of 100 trials of such a network by ``optimize``
THEIR_SECONDS = 109.48
HIGHEST = 10.5999  # of the function, as the notebook says
STEPS, TRAIN = 100, 800


def data() -> tuple[jax.Array, jax.Array]:
    """Return the rows of the notebook: a function of the mean of ten numbers."""
    x = jax.random.uniform(jax.random.key(1), (1000, 10))
    return x, 5 * x.mean(axis=1) ** 2 + 2


def train_nn(key: jax.Array, params: dict[str, jax.Array]) -> jax.Array:
    """Train the network of the notebook, and return its error on the other rows.

    As there, it always begins with the same weights, so that it has no noise.
    """
    x, y = data()
    sizes = (10, 10, 10, 1)
    keys = jax.random.split(jax.random.key(0), len(sizes) - 1)
    layers = [
        (jax.random.normal(key, (a, b)) / jnp.sqrt(a), jnp.zeros((1, b)))
        for key, a, b in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]

    def loss(layers, x, y):
        for weights, bias in layers[:-1]:
            x = jax.nn.relu(x @ weights + bias)
        weights, bias = layers[-1]
        # not as in the notebook, whose column of outputs minus a row of targets is a
        # matrix, so that no loss is below the variance of the targets
        return jnp.mean(((x @ weights + bias)[:, 0] - y) ** 2)

    rate = params["learning_rate"]
    schedule = optax.linear_schedule(rate, rate * params["final_lr_pct"], STEPS)
    optimizer = optax.adamw(schedule)

    def step(carry, _):
        layers, state = carry
        gradient = jax.grad(loss)(layers, x[:TRAIN], y[:TRAIN])
        updates, state = optimizer.update(gradient, state, layers)
        return (optax.apply_updates(layers, updates), state), None

    start = layers, optimizer.init(layers)
    (layers, _), _ = jax.lax.scan(step, start, None, length=STEPS)
    return loss(layers, x[TRAIN:], y[TRAIN:])


def waves(key: jax.Array, params: dict[str, jax.Array]) -> jax.Array:
    """Compute the function of the notebook `performance`, to be maximised."""
    return -(1.4 - 3.0 * params["x"]) * jnp.sin(18.0 * params["y"])


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
    (state, optimizer, iterations), spent = started, []
    for key, count in enumerate((1, TIMED - 1)):
        begun, key = time.perf_counter(), jax.random.PRNGKey(key)
        state, (_, scores) = optimizer.optimize(state, key, function, count)
        jax.block_until_ready(scores)
        spent.append((time.perf_counter() - begun) / count)
    first, each = spent
    return {"cold": first + (iterations - 1) * each, "warm": iterations * each}


def timed_scan(started: Started, function: Callable) -> dict[str, float]:
    """Time two searches by ``optimize_scan``."""
    (state, optimizer, iterations), spent = started, []
    for seed in range(2):
        begun, key = time.perf_counter(), jax.random.PRNGKey(seed)
        done = optimizer.optimize_scan(state, key, function, iterations)
        jax.block_until_ready(done[1][1])
        spent.append(time.perf_counter() - begun)
    return {"cold": spent[0], "warm": spent[1]}


def all_seeds(started: Started, function: Callable, seeds: int) -> dict[str, Any]:
    """Search with all seeds in one program: scores [seeds, iterations, parallel]."""
    state, optimizer, iterations = started

    def one(key: jax.Array) -> jax.Array:
        return optimizer.optimize_scan(state, key, function, iterations)[1][1]

    keys = jnp.stack([jax.random.PRNGKey(seed) for seed in range(seeds)])
    begun = time.perf_counter()
    scores = np.asarray(jax.jit(jax.vmap(one))(keys))
    return {"scores": scores, "cold": (time.perf_counter() - begun) / seeds}


# -- jaxtune --

NETWORK = jt.Space(
    learning_rate=jt.log_uniform(1e-5, 1e-1), final_lr_pct=jt.uniform(0.01, 0.5)
)
PLANE = jt.Space(x=jt.uniform(2.0, 4.0), y=jt.uniform(0.0, 2.0))


def ours(function: Callable, space: jt.Space, seeds: int, **how: Any) -> dict[str, Any]:
    """Search with each seed; the first search of the process is cold."""
    best, spent = [], []
    for seed in range(max(seeds, 2)):
        begun = time.perf_counter()
        result = jt.search(function, space, key=jax.random.key(seed), verbose=0, **how)
        spent.append(time.perf_counter() - begun)
        best.append(float(result.best.score))
    cold, *warm = spent
    return {"best": best, "cold": cold, "warm": float(np.median(warm))}


# -- the contenders: number of trials, and number of seeds -> figures --


def bayesian_loop(trials: int, seeds: int) -> dict[str, Any]:
    return timed_loop(bayesian(trials), train_nn)


def bayesian_scan(trials: int, seeds: int) -> dict[str, Any]:
    found = all_seeds(bayesian(trials), train_nn, seeds)
    best = found["scores"].min((1, 2)).tolist()
    jax.clear_caches()
    return {"best": best, **timed_scan(bayesian(trials), train_nn)}


def bayesian_ours(trials: int, seeds: int) -> dict[str, Any]:
    return ours(train_nn, NETWORK, seeds, trials=trials, mode="min")


def random_loop(trials: int, seeds: int) -> dict[str, Any]:
    spent = timed_loop(random(trials), train_nn)
    found = all_seeds(random(trials), train_nn, seeds)
    return {"best": found["scores"].min((1, 2)).tolist(), **spent}


def random_ours(trials: int, seeds: int) -> dict[str, Any]:
    how = {"sampler": "uniform", "mode": "min"}
    return ours(train_nn, NETWORK, seeds, trials=trials, **how)


def waves_as_published(trials: int, seeds: int) -> dict[str, Any]:
    # four points an iteration, of which the notebook counts the first
    found = all_seeds(of_waves(trials, 4), waves, seeds)
    return {"best": found["scores"][:, :, 0].max(1).tolist(), "cold": found["cold"]}


def waves_alone(trials: int, seeds: int) -> dict[str, Any]:
    found = all_seeds(of_waves(trials, 1), waves, seeds)
    return {"best": found["scores"].max((1, 2)).tolist(), "cold": found["cold"]}


def waves_ours(trials: int, seeds: int) -> dict[str, Any]:
    return ours(waves, PLANE, seeds, trials=trials, mode="max")


CONTENDERS: dict[str, tuple[Callable[[int, int], dict[str, Any]], int]] = {
    "bayesian_loop": (bayesian_loop, 100),
    "bayesian_scan": (bayesian_scan, 100),
    "bayesian_ours": (bayesian_ours, 100),
    "random_loop": (random_loop, 400),
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
        if name not in rows:
            return ""
        row = rows[name]
        warm = f", {row['warm']:.1f}" if "warm" in row else ""
        return f"{row['cold']:.1f}{warm}"

    error, process = "error of the network", "Gaussian process, 100 trials, 4 at a time"
    loop, scan, chance = "bayesian_loop", "bayesian_scan", "random_loop"
    first, alone = "waves_as_published", "waves_alone"
    mine, drawn, plane = "bayesian_ours", "random_ours", "waves_ours"
    published, rate = f"{THEIR_SECONDS:.1f}", f"{50 / THEIR_RATE:.1f} a seed"
    lines = [
        [error, process, "", best(scan), best(mine)],
        [error, "random, 400 trials, 8 at a time", "", best(chance), best(drawn)],
        ["seconds, cold, warm", "`optimize`", published, seconds(loop), seconds(mine)],
        ["the same", "`optimize_scan`", "", seconds(scan), seconds(mine)],
        ["the same", "random, `optimize`", "", seconds(chance), seconds(drawn)],
        [
            "median regret of the function",
            "50 iterations of 4, the first of each counts",
            THEIR_REGRET,
            regret(first),
            "",
        ],
        ["the same", "50 trials", "", regret(alone), regret(plane)],
        ["seconds", "theirs: all seeds at once", rate, seconds(alone), seconds(plane)],
    ]
    return table(
        ["measured", "how", "theirs, published", "theirs, here", "ours"], lines
    )


def main() -> None:
    """Run every contender in a process of its own, and print the table."""
    parser = arguments(__doc__, "hyperoptax_readme")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="searches of each")
    parser.add_argument("--only", choices=CONTENDERS, help="print this one's figures")
    parser.add_argument("--trials", type=int, help="of --only")
    options = parser.parse_args()
    if options.only:
        run, trials = CONTENDERS[options.only]
        print(json.dumps(run(options.trials or trials, options.seeds)))
        return
    rows = {}
    for name in SMALL if options.small else CONTENDERS:
        _, trials = CONTENDERS[name]
        count = max(8, trials // 10) if options.small else trials
        seeds = 2 if options.small else options.seeds
        given = ["--only", name, "--trials", count, "--seeds", seeds]
        rows[name] = {"trials": count} | alone("hyperoptax_readme", *given)
    finish(options, rows, tables)


if __name__ == "__main__":
    main()
