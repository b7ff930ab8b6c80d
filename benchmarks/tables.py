"""Make tables of trained networks, on which samplers are compared without training.

Every combination of a grid of hyperparameters is trained by jaxtune with several seeds,
so the optimum of the space is known. The data are scikit-learn's digits with six
hyperparameters, and its breast cancer with five.

    python benchmarks/tables.py [--only digits] [--out benchmarks/tables]
"""

import argparse
import math
import time
from pathlib import Path

import jax
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_digits

import jaxtune as jt

RATES = [float(f"{10**e:.3g}") for e in np.arange(-4, 0.6, 0.5)]
SPACES = {
    "digits": jt.Space(
        learning_rate=jt.ordinal(RATES),
        momentum=jt.ordinal([0.0, 0.5, 0.8, 0.9, 0.95, 0.99]),
        batch_size=jt.ordinal([16, 32, 64, 128]),
        hidden_units=jt.ordinal([8, 16, 32, 64]),
        layers=jt.ordinal([1, 2, 3]),
        dropout=jt.ordinal([0.0, 0.2, 0.4]),
    ),
    "breast_cancer": jt.Space(
        learning_rate=jt.ordinal(RATES),
        beta1=jt.ordinal([0.0, 0.5, 0.8, 0.9, 0.95, 0.99]),
        weight_decay=jt.ordinal([1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0]),
        hidden_units=jt.ordinal([4, 8, 16, 32, 64]),
        layers=jt.ordinal([1, 2, 3]),
    ),
}
SEEDS = {"digits": 2, "breast_cancer": 4}
DATA = {"digits": load_digits, "breast_cancer": load_breast_cancer}


def task(name: str) -> jt.Task:
    """Return a task: half of the examples to train, half to validate."""
    # a large validation split gives scores in fine steps
    x, y = DATA[name](return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x = (x - x.mean(0)) / np.maximum(x.std(0), 1e-6)
    x, y, half = x[order].astype(np.float32), y[order], len(x) // 2
    model = jt.models.MLP(classes=int(y.max()) + 1, max_units=64, max_layers=3)
    return jt.classification(
        model, train=(x[:half], y[:half]), valid=(x[half:], y[half:])
    )


def table(name: str) -> pd.DataFrame:
    """Train the whole grid, and return a row for each combination."""
    space = SPACES[name]
    counts = [len(space[dim].choices) for dim in space.names]
    result = jt.search(
        task(name),
        space,
        key=jax.random.key(0),
        trials=math.prod(counts),
        epochs=10,
        seeds=SEEDS[name],
        metric="loss",
        sampler=jt.samplers.grid(max(counts)),
    )
    columns = {dim: result.trials[dim] for dim in space.names}
    columns["accuracy"] = result.trials["accuracy"]
    for seed, scores in enumerate(result.trials.scores.T):
        columns[f"loss_{seed}"] = scores
    return pd.DataFrame(columns)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=SPACES, help="the only table to make")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).parent / "tables",
        help="folder of the tables",
    )
    args = parser.parse_args()
    for name in [args.only] if args.only else SPACES:
        begin = time.perf_counter()
        rows = table(name)
        file = args.out / f"{name}.parquet"
        rows.to_parquet(file, compression="zstd", index=False)
        print(f"{file}: {len(rows)} rows, {time.perf_counter() - begin:.0f} s")
