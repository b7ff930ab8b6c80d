"""What a model learns from trials that were stopped: Hyperband with and without one.

Searches of as many epochs as 32 trainings in full, 27 epochs each, of three small
networks and of six simulated learning curves. In one kind of curve trials keep their
order, in one those that learn slowly end as well as others, and in one early scores are
noisy. The score is the loss of the best trial; of a simulated curve it is how far the
trial would end above the optimum, in units of the median random point.

A model is told the scores at one budget, or, as up to version 0.2.0 ("ranks"), ranks by
epochs and then by score. ``--beliefs`` compares beliefs about each hyperparameter of
the simulated curves instead: good, vague and wrong ones, as in ``beliefs.py``.

    python benchmarks/rungs.py [--keys 10] [--only NAME ...] [--beliefs] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import record
from beliefs import BELIEFS, near_point
from prior import hills, optimum, valley
from schedulers import EPOCHS, SPACE, digits
from scipy.stats import bootstrap
from sklearn.datasets import load_breast_cancer, load_diabetes

import jaxtune as jt
from jaxtune import _search
from jaxtune.rounds.arguments import Search

BUDGET = 32 * EPOCHS
METHODS = {
    "sobol, hyperband": ("sobol", "hyperband", True),
    "gaussian_process, none": ("gaussian_process", None, True),
    "gaussian_process, hyperband, ranks": ("gaussian_process", "hyperband", False),
    "gaussian_process, hyperband": ("gaussian_process", "hyperband", True),
    "tpe, none": ("tpe", None, True),
    "tpe, hyperband, ranks": ("tpe", "hyperband", False),
    "tpe, hyperband": ("tpe", "hyperband", True),
}
FIVE = jt.Space(
    learning_rate=jt.log_uniform(1e-4, 1.0),
    momentum=jt.reverse_log_uniform(0.5, 0.999),
    weight_decay=jt.log_uniform(1e-6, 1e-1),
    hidden_units=jt.integer(4, 64, scale="log"),
    batch_size=jt.power_of_two(8, 64),
)
CURVES = {"valley 4": (valley, 4), "hills 3": (hills, 3)}
LEAST = 1e-4  # losses and regrets below it count as this

Problem = tuple[jt.Task, jt.Space]


def network(load: Callable[..., Any], classes: int) -> Problem:
    """Return a small network on one of scikit-learn's data; one class is a number."""
    x, y = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y, cut = x[order], y[order], len(x) * 6 // 10
    x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)
    model = jt.models.MLP(classes=classes, max_units=64)
    if classes == 1:
        y = ((y - y.mean()) / y.std()).astype(np.float32)[:, None]
    make = jt.regression if classes == 1 else jt.classification
    return make(model, train=(x[:cut], y[:cut]), valid=(x[cut:], y[cut:])), FIVE


def curves(name: str, kind: str) -> Problem:
    """Return a task whose trials follow a curve to the value of a function."""
    function, dim = CURVES[name]
    random = jax.random.uniform(jax.random.key(7), (20_000, dim))
    best = optimum(name)
    typical = float(jnp.median(jax.vmap(function)(random))) - best

    def evaluate(params: Any, split: Any, hparams: Any) -> dict[str, jax.Array]:
        u = jnp.stack([hparams[f"x{i}"] for i in range(dim)])
        regret = (function(u) - best) / typical
        epoch, error = params["epoch"], 0.0
        speed = 10 ** (1.2 * (u[0] - 0.5)) if kind == "crossing" else 1.0
        gap = (1 + regret * (kind == "steady")) * jnp.exp(-4 * speed * epoch / EPOCHS)
        if kind == "noisy":
            error = params["errors"][epoch.astype(int)] * 0.3 * (1 + epoch) ** -0.5
        return {"loss": regret + 2 * gap + error, "regret": regret}

    def init(key: jax.Array, hparams: Any) -> dict[str, jax.Array]:
        errors = jax.random.normal(key, (EPOCHS + 1,))
        return {"epoch": jnp.float32(0), "errors": errors}

    one = {"x": np.zeros((1, 1), np.float32)}
    task = jt.Task(
        init=init,
        # a step adds 1 to the number of epochs
        loss=lambda params, batch, key, hparams: -params["epoch"],
        evaluate=evaluate,
        optimizer=lambda hparams: optax.sgd(1.0),
        train=one,
        valid=one,
        batch_size=1,
        metrics=(("loss", "min"), ("regret", "min")),
    )
    return task, jt.Space(**{f"x{i}": jt.uniform(0.0, 1.0) for i in range(dim)})


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "digits": lambda: (digits(300), SPACE),
    "breast_cancer": partial(network, load_breast_cancer, 2),
    "diabetes": partial(network, load_diabetes, 1),
}
SIMULATED = [f"{n}, {kind}" for n in CURVES for kind in ("steady", "crossing", "noisy")]
PROBLEMS |= {name: partial(curves, *name.split(", ")) for name in SIMULATED}


def searched(problem: Problem, method: str, key: int) -> float:
    """Return the loss of the best trial, or its regret."""
    (task, space), (sampler, name, by_budget) = problem, METHODS[method]
    scheduler, trials = None, BUDGET // EPOCHS
    if name:
        scheduler = getattr(jt.schedulers, name)()
        while scheduler.plan(trials + 1, EPOCHS).epochs <= BUDGET:
            trials += 1
    _search.Search = partial(Search, by_budget=by_budget)
    names = dict(task.metrics)
    found = jt.search(
        task,
        space,
        key=jax.random.key(key),
        trials=trials,
        epochs=EPOCHS,
        metric="mse" if "mse" in names else "loss",
        sampler=sampler,
        scheduler=scheduler,
        verbose=0,
    )
    column = "regret" if "regret" in names else "score"
    return float(found.trials[column][found.best.trial])


def rows_of(name: str, keys: int, beliefs: bool) -> list[dict[str, Any]]:
    """Return a row for each method, or for each belief."""
    task, space = PROBLEMS[name]()
    if not beliefs:
        cases = {method: (method, lambda _: space) for method in METHODS}
    else:
        at = optimum_of(name)
        method = "gaussian_process, hyperband"
        cases = {b: (method, partial(near_point, space, at, b)) for b in BELIEFS}
    rows = []
    for case, (method, space_of) in cases.items():
        losses = [searched((task, space_of(k)), method, k) for k in range(keys)]
        rows.append({"problem": name, "case": case, "losses": losses})
    return rows


def optimum_of(name: str) -> np.ndarray:
    """Return the best point ``[d]`` of a simulated problem."""
    function, dim = CURVES[name.split(", ")[0]]
    return np.full(dim, {valley: 2 / 3, hills: 0.62}[function])


def summary(logs: np.ndarray) -> dict[str, float]:
    """Return the geometric mean with its interval, from logarithms ``[p, keys]``."""
    means = logs.mean(axis=0)
    span = bootstrap((means,), np.mean, random_state=0).confidence_interval
    found = {"mean": means.mean(), "low": span.low, "high": span.high}
    return {name: round(float(np.exp(v)), 5) for name, v in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=10)
    parser.add_argument("--only", nargs="+", default=list(PROBLEMS), choices=PROBLEMS)
    parser.add_argument("--beliefs", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = [n for n in options.only if n in SIMULATED or not options.beliefs]
    run = partial(rows_of, keys=options.keys, beliefs=options.beliefs)
    # "spawn", since JAX has threads that a fork would not copy
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        rows = [row for rows in pool.map(run, names) for row in rows]
    found = []
    groups = [[n] for n in names if n not in SIMULATED]
    groups.append([n for n in names if n in SIMULATED])
    for group in filter(None, groups):
        for case in dict.fromkeys(row["case"] for row in rows):
            mine = [
                row["losses"]
                for row in rows
                if row["case"] == case and row["problem"] in group
            ]
            logs = np.log(np.maximum(mine, LEAST))
            label = group[0] if len(group) == 1 else "simulated"
            found.append({"problems": label, "case": case} | summary(logs))
            row = found[-1]
            print(
                f"{label:<14} {case:<36} {row['mean']:.4f} "
                f"[{row['low']:.4f}, {row['high']:.4f}]",
                flush=True,
            )
    record.write(options, {"summary": found, "searches": rows})


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
