"""Measure schedulers: time for the same trials, and quality for the same epochs.

Both on scikit-learn's digits with a network 64-128-10. Time: the same trials with each
scheduler, in turns, everything compiled; no time is wasted if the ratio of times is
near the ratio of epochs. Quality: the loss of the best trial with several keys, where
each scheduler gets as many trials as the epochs of a search without one allow.

    python benchmarks/schedulers.py [--trials 256] [--keys 20] [--only NAME ...]
    python benchmarks/schedulers.py --seconds [--keys 20] [--json FILE] [--only ...]
"""

import argparse
import json
import os
import time
from pathlib import Path

import jax
import numpy as np
import record
from scipy.stats import wilcoxon
from sklearn.datasets import load_digits

import jaxtune as jt

EPOCHS = 27
SPACE = jt.Space(
    learning_rate=jt.log_uniform(1e-4, 1.0, tier=1),
    momentum=jt.reverse_log_uniform(0.5, 0.999),
    weight_decay=jt.log_uniform(1e-6, 1e-1),
    dropout=jt.uniform(0.0, 0.6),
)
SCHEDULERS = {
    "none": None,
    "successive_halving": jt.schedulers.successive_halving(),
    "hyperband": jt.schedulers.hyperband(),
    "asha": jt.schedulers.asha(),
    "freeze_thaw": jt.schedulers.freeze_thaw(),
    "median_stopping": jt.schedulers.median_stopping(),
    "pbt": jt.schedulers.pbt(),
}
BASE = "successive_halving"  # whose seconds the others get


def digits(examples: int) -> jt.Task:
    """Return the digits: so many examples to train, 300 to validate, 297 to test."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16).astype(np.float32), y[order]
    return jt.classification(
        jt.models.MLP(classes=10, max_units=128),
        train=(x[:examples], y[:examples]),
        valid=(x[1200:1500], y[1200:1500]),
        test=(x[1500:], y[1500:]),
    )


def search(task: jt.Task, name: str, trials: int, key: int = 0) -> jt.Result:
    """Run one search with one scheduler."""
    return jt.search(
        task,
        SPACE,
        key=jax.random.key(key),
        trials=trials,
        epochs=EPOCHS,
        metric="loss",
        scheduler=SCHEDULERS[name],
        sampler="sobol",
    )


def times(trials: int, keys: int) -> dict[str, dict]:
    """Time the same trials with each scheduler, in turns, one key in each turn."""
    task = digits(1200)
    measured: dict[str, list[tuple]] = {name: [] for name in SCHEDULERS}
    for turn in range(-1, keys):
        for name in SCHEDULERS:
            begin = time.perf_counter()
            result = search(task, name, trials, max(turn, 0))
            seconds, cost = time.perf_counter() - begin, result.cost
            if turn < 0:  # the first turn compiles
                continue
            tested = [result.test()[metric] for metric in ("loss", "accuracy")]
            row = (seconds, cost.epochs, cost.occupancy, result.best.score, *tested)
            measured[name].append(row)
    columns = {name: list(zip(*rows, strict=True)) for name, rows in measured.items()}
    whole, epochs = np.median(columns["none"][0]), np.mean(columns["none"][1])
    return {
        name: {
            "seconds": float(np.median(column[0])),
            "time_ratio": float(np.median(column[0]) / whole),
            "epochs_ratio": float(np.mean(column[1]) / epochs),
            "occupancy": float(np.mean(column[2])),
            "valid_loss": column[3],
            "test_loss": column[4],
            "test_accuracy": column[5],
        }
        for name, column in columns.items()
    }


def trials_for(name: str, budget: int) -> int:
    """Return the largest number of trials whose plan fits a budget of epochs."""
    # ASHA gets the trials of successive halving; pbt and median stopping get those of
    # no scheduler, since each of their trials may train in full
    planner = {"asha": "successive_halving"}.get(name, name)
    scheduler = SCHEDULERS[planner]
    if scheduler is None or name in ("pbt", "median_stopping"):
        return budget // EPOCHS
    count = budget // EPOCHS
    while scheduler.plan(count + 1, EPOCHS).epochs <= budget:
        count += 1
    return count


def quality(keys: int, trials: int) -> dict[str, dict]:
    """Return the losses of the best trials for equal numbers of epochs."""
    task, rows = digits(300), {}
    for name in SCHEDULERS:
        count = trials_for(name, trials * EPOCHS)
        valid, test, epochs = [], [], []
        for key in range(keys):
            result = search(task, name, count, key)
            valid.append(result.best.score)
            test.append(result.test()["loss"])
            epochs.append(result.cost.epochs)
        rows[name] = {
            "trials": count,
            "epochs": float(np.mean(epochs)),
            "valid": valid,
            "test": test,
        }
    for row in rows.values():
        same = row["valid"] == rows["none"]["valid"]
        p = 1.0 if same else wilcoxon(row["valid"], rows["none"]["valid"]).pvalue
        row["p"] = float(p)
    return rows


def in_equal_seconds(keys: int, trials: int) -> dict[str, dict]:
    """Compare schedulers that take the same time, each with its own number of trials.

    The numbers come from two measurements in turns, of as many trials each at first.
    """
    task, counts = digits(300), dict.fromkeys(SCHEDULERS, trials)
    del counts["none"]

    def seconds(name: str, key: int) -> tuple[float, jt.Result]:
        begin = time.perf_counter()
        result = search(task, name, counts[name], key)
        return time.perf_counter() - begin, result

    for _ in range(2):
        for name in counts:  # compiles
            seconds(name, 0)
        turns = [{n: seconds(n, key)[0] for n in counts} for key in range(5)]
        for name, count in counts.items():
            # ratios within a turn: others may use the machine
            slower = np.median([turn[name] / turn[BASE] for turn in turns])
            counts[name] = round(count / slower)
    rows = {
        name: {"trials": count, "seconds": [], "epochs": [], "valid": [], "test": []}
        for name, count in counts.items()
    }
    for key in range(-1, keys):
        for name, row in rows.items():
            spent, result = seconds(name, max(key, 0))
            if key < 0:  # compiles
                continue
            row["seconds"].append(spent)
            row["epochs"].append(result.cost.epochs)
            row["valid"].append(result.best.score)
            row["test"].append(result.test()["loss"])
    return rows


def print_equal_seconds(rows: dict[str, dict]) -> None:
    """Print the losses for equal seconds, and how equal these were."""
    base = rows[BASE]
    print(f"{'':20}trials  epochs  seconds to halving   valid    test  wins of halving")
    for name, row in rows.items():
        ratio = np.median(np.divide(row["seconds"], base["seconds"]))
        wins = np.less(base["valid"], row["valid"]).sum()
        print(
            f"{name:20}{row['trials']:6}{np.mean(row['epochs']):8.0f}{ratio:20.2f}"
            f"{np.mean(row['valid']):8.4f}{np.mean(row['test']):8.4f}{wins:17}"
        )


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=256, help="trials to time")
    parser.add_argument("--repeats", type=int, default=5, help="keys of the timing")
    parser.add_argument("--keys", type=int, default=20, help="keys of the quality part")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument(
        "--only", nargs="*", choices=SCHEDULERS, help="beside none, the only ones"
    )
    parser.add_argument(
        "--seconds", action="store_true", help="only compare for equal seconds"
    )
    options = parser.parse_args()
    for name in set(SCHEDULERS) - {"none", *(options.only or SCHEDULERS)}:
        del SCHEDULERS[name]
    if options.seconds:
        rows = in_equal_seconds(options.keys, options.trials)
        print_equal_seconds(rows)
        record.write(options, rows)
        return
    timed = times(options.trials, options.repeats)
    print(f"{options.trials} trials of at most {EPOCHS} epochs, {options.repeats} keys")
    print(f"{'':20}seconds   time  epochs  occupancy   valid    test  test accuracy")
    for name, row in timed.items():
        print(
            f"{name:20}{row['seconds']:7.2f}{row['time_ratio']:7.2f}"
            f"{row['epochs_ratio']:8.2f}{row['occupancy']:11.1%}"
            f"{np.mean(row['valid_loss']):8.4f}{np.mean(row['test_loss']):8.4f}"
            f"{np.mean(row['test_accuracy']):10.4f}"
        )
    if not options.keys:
        return
    compared = quality(options.keys, 64)
    print(f"\nloss of the best trial for the epochs of 64 trials, {options.keys} keys")
    print(f"{'':20}trials  epochs   valid      sd    test      sd  p against none")
    for name, row in compared.items():
        valid, test = np.asarray(row["valid"]), np.asarray(row["test"])
        print(
            f"{name:20}{row['trials']:6}{row['epochs']:8.0f}{valid.mean():8.4f}"
            f"{valid.std(ddof=1):8.4f}{test.mean():8.4f}{test.std(ddof=1):8.4f}"
            f"{row['p']:16.4f}"
        )
    if options.json:
        setting = {
            "trials": options.trials,
            "epochs": EPOCHS,
            "keys": options.keys,
            "jax": jax.__version__,
            "device": jax.devices()[0].device_kind,
            "cores": os.cpu_count(),
        }
        rows = {**setting, "times": timed, "quality": compared}
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
