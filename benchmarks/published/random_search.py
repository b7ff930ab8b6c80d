"""Random search against a grid, and coarse to fine (Bergstra & Bengio, 2012, figure 5).

Networks of one hidden layer with seven hyperparameters, on three data sets. A pool of
random trials is cut into experiments of 1, 2, 4, ... trials, as the paper does with its
pool of 256, and the test accuracy of each experiment is the mean of its trials' by the
chance that each is the best by validation (their equation 5). Beside it a grid of 100,
and searches of 64 trials that learn, with ten keys.

    python -m benchmarks.published.random_search [--data NAME...] [--add] [--json FILE]
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import jaxtune as jt
from benchmarks import record
from benchmarks.published import common
from benchmarks.published.shapes_data import shapes

THEIRS = 8  # trials that match or outperform grids of 100 on average: figure 5, 2012
DATA = ("rectangles", "convex", "digits")
TRAIN, VALID = 1000, 300  # rows
UNITS = (18, 128)
SPACE = jt.Space(
    learning_rate=jt.log_uniform(1e-3, 10.0),
    anneal=jt.log_uniform(30.0, 3000.0),  # steps after which the rate falls as 1 / t
    hidden_units=jt.integer(*UNITS, scale="log"),
    activation=jt.choice(["tanh", "relu"]),
    batch_size=jt.choice([20, 100], static=True),
    penalised=jt.choice([False, True]),
    l2=jt.when(jt.log_uniform(3.1e-7, 3.1e-5), penalised=True),
)
EXPERIMENTS = (1, 2, 4, 8, 16, 32, 64)
WAYS = {
    "random": None,  # experiments of the pool
    "coarse to fine": {"sampler": "uniform", "refine": jt.zoom(), "rounds": 4},
    "the default": {},
}


class Sizes(NamedTuple):
    """How much is measured."""

    pool: int = 640
    grid: int = 100
    trials: int = 64
    keys: int = 10
    epochs: int = 20


def rows_of(name: str) -> tuple[tuple, tuple, tuple]:
    """Return the rows to train on, to choose by and to test on."""
    if name == "digits":
        x, y = load_digits(return_X_y=True)
        x, tx, y, ty = train_test_split(x / 16, y, test_size=497, random_state=0)
    else:
        x, y = shapes(name, TRAIN + VALID, seed=0)
        tx, ty = shapes(name, 5000, seed=1)
    return (x[:TRAIN], y[:TRAIN]), (x[TRAIN:], y[TRAIN:]), (tx, ty)


def accuracy(rows: slice) -> Any:
    """Return a metric of some of the rows."""
    return lambda outputs, y: jnp.mean(jnp.argmax(outputs[rows], 1) == y[rows])


def annealed_sgd(hparams: Mapping[str, Any]) -> optax.GradientTransformation:
    """Return plain SGD with an L2 penalty, whose rate falls as 1 / t from a step on."""

    def rate(step: Any) -> Any:
        since = jnp.maximum(step + 1.0, hparams["anneal"])
        return hparams["learning_rate"] * hparams["anneal"] / since

    penalty = jnp.where(hparams["penalised"], hparams["l2"], 0.0)
    return optax.chain(optax.add_decayed_weights(penalty), optax.sgd(rate))


def task_of(name: str) -> jt.Task:
    """Return a task that scores every trial on both splits, and is searched by one."""
    train, valid, test = rows_of(name)
    chosen_by, last = slice(len(valid[1])), slice(len(valid[1]), None)
    return jt.classification(
        jt.models.MLP(classes=int(train[1].max()) + 1, max_units=UNITS[1]),
        train=train,
        # the paper needs the test score of every trial of the pool, not of one
        valid=tuple(np.concatenate(both) for both in zip(valid, test, strict=True)),
        metrics={
            "valid_accuracy": accuracy(chosen_by),
            "test_accuracy": accuracy(last),
        },
        optimizer=annealed_sgd,
    )


def grid(count: int) -> list[dict[str, Any]]:
    """Return five rates, five widths, both activations, with L2 and without."""
    rates, units = np.geomspace(1e-3, 10, 5), np.geomspace(*UNITS, 5).round()
    ways = itertools.product(rates, units, ("tanh", "relu"), (False, True))
    points = [
        {
            "learning_rate": float(rate),
            "hidden_units": int(width),
            "activation": activation,
            "penalised": penalised,
            "batch_size": 20,
            "anneal": 300.0,
            **({"l2": 3.1e-6} if penalised else {}),
        }
        for rate, width, activation, penalised in ways
    ]
    return points[:: len(points) // count][:count]


def scores(result: jt.Result) -> dict[str, list[float]]:
    """Return both accuracies of every trial; 0 if it diverged."""
    names = ("valid_accuracy", "test_accuracy")
    columns = {name: np.nan_to_num(result.trials[name]).tolist() for name in names}
    return {name: [round(one, 5) for one in got] for name, got in columns.items()}


def measured(name: str, sizes: Sizes) -> dict[str, Any]:
    """Return the scores of the pool, of the grid, and of the searches that learn."""
    task = task_of(name)
    how = {"epochs": sizes.epochs, "metric": "valid_accuracy", "mode": "max"}

    def search(key: int, trials: int, **more: Any) -> jt.Result:
        root = jax.random.key(key)
        return jt.search(task, SPACE, key=root, trials=trials, verbose=0, **how, **more)

    row: dict[str, Any] = {"data": name, "sizes": sizes._asdict(), "searches": {}}
    with common.clock() as row["pool seconds"]:
        row["pool"] = scores(search(1000, sizes.pool, sampler="uniform", confirm=0))
    first = grid(sizes.grid)
    row["grid"] = scores(
        search(0, len(first), first=first, confirm=0, sampler="uniform")
    )
    for way, extra in WAYS.items():
        if extra is None:
            continue
        found = [search(key, sizes.trials, **extra) for key in range(sizes.keys)]
        tested = [one.trials["test_accuracy"][one.best.trial] for one in found]
        row["searches"][way] = [round(float(value), 5) for value in tested]
    return row


def expected(valid: np.ndarray, test: np.ndarray) -> float:
    """Return the test score of the best trial, which validation knows only roughly.

    The mean of the test scores, each by the chance that its trial is the best, if
    validation scores are normal with the variance of a share (their equation 5).
    """
    spread = np.sqrt(valid * (1 - valid) / (VALID - 1))
    draws = np.random.default_rng(0).normal(valid, spread, size=(1000, len(valid)))
    return float(test[draws.argmax(1)].mean())


def experiments(row: dict, trials: int) -> np.ndarray:
    """Return the scores of all experiments of so many trials in the pool."""
    valid, test = (np.asarray(row["pool"][f"{s}_accuracy"]) for s in ("valid", "test"))
    count = len(valid) // trials
    parts = (part[: count * trials].reshape(count, -1) for part in (valid, test))
    return np.asarray([expected(v, t) for v, t in zip(*parts, strict=True)])


def of_grid(row: dict) -> float:
    """Return the score of the grid."""
    return expected(*(np.asarray(column) for column in row["grid"].values()))


def good(row: dict, part: str) -> str:
    """Return the share of trials within a point of the best test accuracy of all."""
    best = max(max(row[one]["test_accuracy"]) for one in ("pool", "grid"))
    return f"{np.mean(np.asarray(row[part]['test_accuracy']) >= best - 0.01):.0%}"


def medians(row: dict) -> dict[int, float]:
    """Return the median accuracy of experiments, by their number of trials."""
    sizes = [n for n in EXPERIMENTS if n <= len(row["pool"]["test_accuracy"])]
    return {n: float(np.median(experiments(row, n))) for n in sizes}


def tables(written: dict) -> str:
    """Return the curve of random search, beside the grid."""
    rows = written["rows"]
    found = [medians(row) for row in rows]
    body = [
        [
            trials,
            *(f"{100 * one[trials]:.1f}" if trials in one else "" for one in found),
        ]
        for trials in EXPERIMENTS
    ]
    body.append(["grid of 100", *(f"{100 * of_grid(row):.1f}" for row in rows)])
    return common.table(["random trials", *(row["data"] for row in rows)], body)


def compared(written: dict) -> str:
    """Return how many random trials match the grid, and why."""
    body = [["theirs, eight data sets", THEIRS, "", ""]]
    for row in written["rows"]:
        found, limit = medians(row), of_grid(row)
        enough = [n for n, value in found.items() if value >= limit]
        first = enough[0] if enough else f"> {max(found)}"
        body.append([row["data"], first, good(row, "pool"), good(row, "grid")])
    head = ["", "random trials that match the grid", "good settings, random"]
    return common.table([*head, "in the grid"], body)


def learning(written: dict) -> str:
    """Return what searches of the same number of trials find."""
    body = []
    for row in written["rows"]:
        pool, trials = row["pool"], row["sizes"]["trials"]
        valid = np.asarray(pool["valid_accuracy"]).reshape(-1, trials)
        test = np.asarray(pool["test_accuracy"]).reshape(-1, trials)
        found = {"random": test[np.arange(len(test)), valid.argmax(1)]}
        found |= row["searches"]
        body.append([row["data"], *(common.shown(found[w], times=100) for w in WAYS)])
    return common.table(["accuracy, %", *WAYS], body)


def everything(written: dict) -> str:
    """Return all tables."""
    return "\n\n".join(part(written) for part in (tables, compared, learning))


def main() -> None:
    """Measure, and print the tables."""
    parser = common.arguments(__doc__, "random_search")
    parser.add_argument("--data", nargs="*", default=list(DATA), choices=DATA)
    options = parser.parse_args()
    sizes = Sizes(pool=16, grid=4, trials=8, keys=2, epochs=2)
    sizes = sizes if options.small else Sizes()
    rows = list(common.so_far(options))
    known = {row["data"] for row in rows}
    for name in options.data:
        if name in known:
            continue
        rows.append(measured(name, sizes))
        rows.sort(key=lambda row: DATA.index(row["data"]))
        record.write(options, rows)
        print(name, flush=True)
    common.finish(options, rows, everything)


if __name__ == "__main__":
    main()
