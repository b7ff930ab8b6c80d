"""Time a search with five folds against five times as many trials, in turns.

Digits, network 64-128-10. The other search trains on as many rows as a fold and is
scored on as many, so both train the same number of lanes equally long. Folds of one
size are compared, and those of two sizes, whose lanes are scored once for each.

    python benchmarks/folds.py [--trials 64] [--epochs 10] [--repeats 7] [--json FILE]
"""

import argparse
import statistics
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
from record import write
from sklearn.datasets import load_digits

import jaxtune as jt

FOLDS = 5
ROWS = {"folds of one size": 1795, "folds of two sizes": 1797}


def timed(call):
    """Return the seconds of a call, and those of all its threads."""
    wall, processor = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - processor


def tasks(rows):
    """Return a task of all rows, and one of the rows of a fold."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    model, trained = jt.models.MLP(10, max_units=128), rows - -(-rows // FOLDS)
    whole = jt.classification(model, train=(x[:rows], y[:rows]))
    part = jt.classification(
        model,
        train=(x[:trained], y[:trained]),
        valid=(x[trained:rows], y[trained:rows]),
    )
    return whole, part


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=64, help="trials with folds")
    parser.add_argument("--epochs", type=int, default=10, help="of every training")
    parser.add_argument("--repeats", type=int, default=7, help="the median is shown")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    space = jt.Space(
        learning_rate=jt.log_uniform(1e-3, 0.3),
        momentum=jt.reverse_log_uniform(0.5, 0.95),
    )
    search = partial(jt.search, key=jax.random.key(0), epochs=options.epochs, verbose=0)
    rows = {}
    print(f"{'':20}folds, s  trials, s   ratio  of processor time")
    for name, count in ROWS.items():
        whole, part = tasks(count)
        folded = partial(search, whole, space, trials=options.trials, folds=FOLDS)
        plain = partial(search, part, space, trials=FOLDS * options.trials)
        # both compile here, and not below
        widths = {found.setup.workload.width for found in (folded(), plain())}
        times = [(timed(folded), timed(plain)) for _ in range(options.repeats)]
        wall, processor = (
            [(a[clock], b[clock]) for a, b in times] for clock in range(2)
        )
        rows[name] = {
            "rows": count,
            "widths": sorted(widths),
            "folds_seconds": statistics.median(a for a, _ in wall),
            "trials_seconds": statistics.median(b for _, b in wall),
            "ratio": statistics.median(a / b for a, b in wall),
            "processor_ratio": statistics.median(a / b for a, b in processor),
        }
        row = rows[name]
        print(
            f"{name:20}{row['folds_seconds']:8.2f}{row['trials_seconds']:11.2f}"
            f"{row['ratio']:8.3f}{row['processor_ratio']:14.3f}"
        )
    write(options, rows)


if __name__ == "__main__":
    main()
