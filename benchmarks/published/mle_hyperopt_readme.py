"""Run the search of mle-hyperopt's README with mle-hyperopt and with jaxtune.

The README of version 0.0.10 asks a random search for learning rate, batch size and
architecture, five settings at a time, and can narrow the space to the two best after 5
and 10 of them. It leaves the training out; here it is a small perceptron or
convolutional network on scikit-learn's digits, in Flax: for mle-hyperopt one jitted
step for all trials, which is compiled for each architecture and batch size, and for
jaxtune a task. The score is the loss on the validation split after five epochs.

    python -m benchmarks.published.mle_hyperopt_readme [--seeds 10]
        [--contenders NAME ...]

Each contender has a process of its own: its first search is cold, the others are warm.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax
from sklearn.datasets import load_digits
from sklearn.utils import shuffle

import jaxtune as jt
from benchmarks.published.common import (
    arguments,
    contenders,
    finish,
    shown,
    table,
    timed,
)

TRIALS, ASKED, SEEDS, EPOCHS = 25, 5, 10, 5
REFINE = {"refine_after": [5, 10], "refine_top_k": 2}  # as in the README


class Network(nn.Module):
    """The two architectures that the README names."""

    arch: str = "mlp"

    @nn.compact
    def __call__(self, x):
        if self.arch == "cnn":
            x = nn.relu(nn.Conv(8, (3, 3))(x.reshape(-1, 8, 8, 1)))
        x = nn.relu(nn.Dense(32)(x.reshape(len(x), -1)))
        return nn.Dense(10)(x)


@cache
def splits() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the digits: 1200 rows to train on, 597 to judge by."""
    x, y = shuffle(*load_digits(return_X_y=True), random_state=0)
    x = (x / 16).astype(np.float32)
    return {"train": (x[:1200], y[:1200]), "valid": (x[1200:], y[1200:])}


# -- mle-hyperopt --


def mean_loss(params: Any, x: Any, y: Any, arch: str) -> jax.Array:
    """Return the mean cross entropy."""
    logits = Network(arch).apply(params, x)
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


@partial(jax.jit, static_argnames="arch")
def step(params: Any, x: Any, y: Any, lrate: float, arch: str) -> Any:
    """Make a step of gradient descent."""
    gradient = jax.grad(mean_loss)(params, x, y, arch)
    return jax.tree.map(lambda p, g: p - lrate * g, params, gradient)


valid_loss = jax.jit(mean_loss, static_argnames="arch")


@partial(jax.jit, static_argnames="arch")
def begin(key: jax.Array, arch: str) -> Any:
    """Return the weights that a training begins with."""
    return Network(arch).init(key, splits()["train"][0][:1])


def train_network(lrate: float, batch_size: int, arch: str, seed: int) -> float:
    """Train a setting, and return its loss on the validation split."""
    data = splits()
    x, y = data["train"]
    params = begin(jax.random.key(seed), arch)
    rng, whole = np.random.default_rng(seed), len(x) // batch_size * batch_size
    for _ in range(EPOCHS):
        for rows in rng.permutation(len(x))[:whole].reshape(-1, batch_size):
            params = step(params, x[rows], y[rows], lrate, arch)
    return float(valid_loss(params, *data["valid"], arch))


def theirs(seed: int, config: dict[str, Any] | None) -> float:
    """Search as the README does, and return the best loss."""
    from mle_hyperopt import RandomSearch

    strategy = RandomSearch(
        real={"lrate": {"begin": 0.1, "end": 0.5, "prior": "log-uniform"}},
        integer={"batch_size": {"begin": 32, "end": 128, "prior": "uniform"}},
        categorical={"arch": ["mlp", "cnn"]},
        search_config=config,
        seed_id=seed,
    )
    best = np.inf
    for asked in range(TRIALS // ASKED):
        configs = strategy.ask(ASKED)
        values = [
            train_network(**c, seed=1000 * seed + ASKED * asked + i)
            for i, c in enumerate(configs)
        ]
        strategy.tell(configs, values)
        best = min(best, *values)
    return best


# -- jaxtune --

SPACE = jt.Space(
    lrate=jt.log_uniform(0.1, 0.5),
    batch_size=jt.integer(32, 128),
    arch=jt.choice(["mlp", "cnn"], static=True),
)
TASK = jt.classification(
    Network(), **splits(), optimizer=lambda hparams: optax.sgd(hparams["lrate"])
)


# the integers draw a warning: with a common divisor, gradients are of whole groups
STEPS_OF_16 = jt.Space(
    lrate=SPACE["lrate"],
    batch_size=jt.ordinal(range(32, 129, 16)),
    arch=SPACE["arch"],
)


def ours(seed: int, given: tuple[jt.Space, dict[str, Any]]) -> float:
    """Search, and return the best loss."""
    space, how = given
    how = {"metric": "loss", "epochs": EPOCHS, "trials": TRIALS, **how}
    found = jt.search(TASK, space, key=jax.random.key(seed), verbose=0, **how)
    return float(found.best.score)


ZOOM = {"rounds": 3, "sampler": "sobol", "refine": jt.zoom(top=2)}
CONTENDERS: dict[str, tuple[Callable[[int, Any], float], Any]] = {
    "mle-hyperopt, random": (theirs, None),
    "jaxtune, random": (ours, (SPACE, {"sampler": "uniform"})),
    "mle-hyperopt, refined": (theirs, REFINE),
    "jaxtune, refined": (ours, (SPACE, ZOOM)),
    "jaxtune, default": (ours, (SPACE, {})),
    "jaxtune, by 16": (ours, (STEPS_OF_16, {})),
}

SMALL = ("mle-hyperopt, random", "jaxtune, by 16")


def measured(name: str, seeds: int) -> dict[str, Any]:
    """Search with each seed, in turn."""
    search, given = CONTENDERS[name]
    best, spent = timed(partial(search, seed, given) for seed in range(seeds))
    return {"best": best, **spent}


def tables(written: dict[str, Any]) -> str:
    """Return the table: theirs, ours, how."""
    rows = written["rows"]

    def line(what: str, how: str, cell: Callable[[dict], str], *names: str) -> list:
        return [what, how, *(cell(rows[n]) if n in rows else "" for n in names)]

    def best(row: dict[str, Any]) -> str:
        return shown(row["best"], 3)

    def seconds(row: dict[str, Any]) -> str:
        return f"{row['cold']:.1f}, {row['warm']:.2f}"

    def processor(row: dict[str, Any]) -> str:
        return f"{row['cold_cpu']:.1f}, {row['warm_cpu']:.2f}"

    cells = {
        "loss": best,
        "seconds, cold, warm": seconds,
        "processor seconds": processor,
    }
    kinds = {
        "random": ("mle-hyperopt, random", "jaxtune, random"),
        "refined after 5 and 10; ours in three rounds": (
            "mle-hyperopt, refined",
            "jaxtune, refined",
        ),
        "ours: the default sampler": ("", "jaxtune, default"),
        "the same, batch sizes 32, 48 ... 128": ("", "jaxtune, by 16"),
    }
    lines = [
        line(what, how, cell, *names)
        for what, cell in cells.items()
        for how, names in kinds.items()
    ]
    return table(["measured", "how", "theirs", "ours"], lines)


def main() -> None:
    """Run every contender in a process of its own, and print the table."""
    parser = arguments(__doc__, "mle_hyperopt_readme")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="searches of each")
    parser.add_argument("--contenders", nargs="*", default=[*CONTENDERS])
    parser.add_argument("--only", choices=CONTENDERS, help="print this one's figures")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measured(options.only, options.seeds)))
        return
    given = ["--seeds", 2 if options.small else options.seeds]
    names = SMALL if options.small else options.contenders
    rows = contenders(options, "mle_hyperopt_readme", dict.fromkeys(names, given))
    finish(options, rows, tables)


if __name__ == "__main__":
    main()
