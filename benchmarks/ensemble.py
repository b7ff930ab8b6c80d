"""Measure ensembles: their score on the test split beside that of the best trial.

For each key the rows are split anew into training, validation and test data, and 64
trials of an MLP are searched. Ensembles of the best 20 are chosen by accuracy and by
loss. The best trial is the one of the same search.

    python benchmarks/ensemble.py [--keys 10] [--trials 64] [--json FILE]
"""

import argparse
import time
from pathlib import Path

import jax
import numpy as np
from record import write
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

import jaxtune as jt

DATA = {
    "digits": load_digits,
    "breast cancer": load_breast_cancer,
    "wine": load_wine,
}
SPACE = jt.Space(
    learning_rate=jt.log_uniform(1e-3, 1.0, tier=1),
    momentum=jt.reverse_log_uniform(0.5, 0.99),
    hidden_units=jt.integer(8, 64, scale="log"),
    layers=jt.integer(1, 2, tier=3),
)


def task_of(name, key):
    """Return a task on rows in the order of a key: half, a quarter, a quarter."""
    x, y = DATA[name](return_X_y=True)
    order = np.random.default_rng(key).permutation(len(x))
    x, y = x[order], y[order]
    half, quarters = len(x) // 2, 3 * len(x) // 4
    mean, deviation = x[:half].mean(0), x[:half].std(0)
    # a pixel that is constant in training may not be so in the test split
    x = ((x - mean) / np.maximum(deviation, 0.1 * deviation.mean())).astype(np.float32)
    parts = {"train": (0, half), "valid": (half, quarters), "test": (quarters, len(x))}
    return jt.classification(
        jt.models.MLP(classes=int(y.max()) + 1, max_units=64, max_layers=2),
        batch_size=32,
        **{split: (x[a:b], y[a:b]) for split, (a, b) in parts.items()},
    )


def measured(name, key, metric, trials):
    """Return the errors and losses on the test split of one search."""
    arguments = {
        "key": jax.random.key(key),
        "trials": trials,
        "epochs": 20,
        "sampler": "sobol",
    }
    begin = time.perf_counter()
    found = jt.search(task_of(name, key), SPACE, metric=metric, verbose=0, **arguments)
    middle = time.perf_counter()
    judged = found.ensemble(top=20).test()
    end = time.perf_counter()
    row = {"data": name, "key": key, "metric": metric}
    for which, scores in judged.items():
        row[f"{which} error"] = 1 - scores["accuracy"]
        row[f"{which} loss"] = scores["loss"]
    return row | {"search": middle - begin, "ensemble seconds": end - middle}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--keys", type=int, default=10, help="splits and searches")
    parser.add_argument("--trials", type=int, default=64, help="trials of a search")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    rows = []
    print("| data | chosen by | error: best trial | ensemble | fewer errors, of keys |")
    print("| --- | --- | --- | --- | --- |")
    for name in DATA:
        for metric in ("accuracy", "loss"):
            new = [
                measured(name, key, metric, options.trials)
                for key in range(options.keys)
            ]
            rows += new
            best, mean = (
                np.asarray([row[f"{which} error"] for row in new])
                for which in ("best", "ensemble")
            )
            fewer, more = int((mean < best).sum()), int((mean > best).sum())
            print(
                f"| {name} | {metric} | {best.mean():.2%} | {mean.mean():.2%} | "
                f"{fewer} fewer, {more} more, of {len(new)} |",
                flush=True,
            )
    write(options, rows)


if __name__ == "__main__":
    main()
