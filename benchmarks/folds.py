"""Time a search with five folds against five times as many trials, in turns.

Digits, network 64-128-10. The trials train on as many rows as a fold and are scored on
as many, so both searches train the same number of lanes equally long. A third one
trains on all the rows that the folds are cut from, of which a processor's cache holds
a smaller part; its seconds are those of as many steps. Folds of one size are compared,
and those of two sizes, whose lanes are scored once for each.

    python benchmarks/folds.py [--trials 64] [--epochs 10] [--repeats 7] [--json FILE]
"""

import argparse
import dataclasses
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
    """Return a task of all rows for folds, one of a fold's rows, and one of all."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    model, trained = jt.models.MLP(10, max_units=128), rows - -(-rows // FOLDS)
    whole = jt.classification(model, train=(x[:rows], y[:rows]))
    valid = x[trained:rows], y[trained:rows]
    part = jt.classification(model, train=(x[:trained], y[:trained]), valid=valid)
    return whole, part, dataclasses.replace(whole, valid=part.valid)


def ratios(times):
    """Return the median ratios of the first search to the others."""
    return np.median(times[:, :1] / times[:, 1:], axis=0).tolist()


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
    head = ("folds", "trials", "all rows", *("to trials", "all rows") * 2)
    print(f"{'':20}{'seconds':>30}{'ratios':>20}{'processor time':>20}")
    print(f"{'':20}{''.join(f'{word:>10}' for word in head)}")
    for name, count in ROWS.items():
        whole, part, large = tasks(count)
        trials = FOLDS * options.trials
        searches = [
            partial(search, whole, space, trials=options.trials, folds=FOLDS),
            partial(search, part, space, trials=trials),
            partial(search, large, space, trials=trials),
        ]
        # all compile here, and not below
        workloads = [call().setup.workload for call in searches]
        steps = np.asarray([one.layout.batching.examples for one in workloads])
        times = np.asarray(
            [[timed(call) for call in searches] for _ in range(options.repeats)]
        )
        wall, processor = np.moveaxis(times, -1, 0) * (steps[0] / steps)
        rows[name] = {
            "rows": count,
            "widths": [one.width for one in workloads],
            "seconds": np.median(wall, axis=0).tolist(),
            "ratios": ratios(wall),
            "processor_ratios": ratios(processor),
        }
        row = rows[name]
        shown = [*row["seconds"], *row["ratios"], *row["processor_ratios"]]
        print(f"{name:20}{''.join(f'{value:10.3f}' for value in shown)}")
    write(options, rows)


if __name__ == "__main__":
    main()
