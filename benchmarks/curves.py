"""Compare schedulers on recorded learning curves, for equal numbers of epochs.

The curves are of networks of `tables.py`, trained here on scikit-learn's data: 768
configurations of each problem, scored after every epoch. A search gets some of them and
trains nothing. Each scheduler gets as many trials as fit into the epochs of successive
halving, the first ones of an order that is drawn anew for every key.

    python benchmarks/curves.py --make
    python benchmarks/curves.py [--keys 20] [--json FILE]
    python benchmarks/curves.py --seconds
"""

import argparse
import time
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import record
import tables
from scipy.stats import t as student

import jaxtune as jt
from jaxtune.samplers.geometry import features, snapped

FOLDER = Path(__file__).parent / "tables" / "curves"
ROWS = 768
EPOCHS = {
    "digits": 27,
    "breast_cancer": 27,
    "operations": 27,
    "diabetes": 40,
    "branches": 40,
}
METRICS = {name: ("loss", "accuracy") for name in EPOCHS} | {"diabetes": ("mse",)}
TRIALS = (27, 81, 243)  # of successive halving
SCHEDULERS = {
    "none": jt.schedulers.in_full(),
    "successive_halving": jt.schedulers.successive_halving(),
    "hyperband": jt.schedulers.hyperband(),
    "asha": jt.schedulers.asha(),
    "median_stopping": jt.schedulers.median_stopping(),
    "freeze_thaw": jt.schedulers.freeze_thaw(),
}
BASE = "successive_halving"


def make(name: str) -> None:
    """Train the configurations of one problem, and write their curves."""
    space = tables.SPACES[name]
    result = jt.search(
        tables.task(name),
        space,
        key=jax.random.key(1),
        trials=ROWS,
        epochs=EPOCHS[name],
        metric=METRICS[name][0],
        sampler="uniform",
        history=True,
    )
    # what a search shows to a scheduler that learns
    points = np.asarray(features(space, snapped(space, result.trials.points)))
    columns = {f"x{k}": column for k, column in enumerate(points.T)}
    for metric in METRICS[name]:
        curves = result.history[metric][:, 0]
        columns |= {f"{metric}_{k + 1}": column for k, column in enumerate(curves.T)}
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / f"{name}.parquet"
    pd.DataFrame(columns).to_parquet(file, compression="zstd", index=False)


def problems() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return points ``[n, D]`` and oriented curves ``[n, epochs]`` by name."""
    found = {}
    for name, epochs in EPOCHS.items():
        frame = pd.read_parquet(FOLDER / f"{name}.parquet")
        points = frame.filter(regex=r"^x\d").to_numpy(np.float64)
        for metric in METRICS[name]:
            columns = [f"{metric}_{epoch + 1}" for epoch in range(epochs)]
            sign = 1 if metric == "accuracy" else -1
            curves = sign * frame[columns].to_numpy(np.float64)
            found[f"{name}, {metric}"] = points, curves
    return found


def trials_for(name: str, budget: int, epochs: int) -> int:
    """Return the largest number of trials whose plan fits a budget of epochs."""
    # ASHA gets the trials of successive halving, as in schedulers.py
    scheduler = SCHEDULERS[BASE if name == "asha" else name]
    if name in ("none", "median_stopping"):
        return budget // epochs
    count = budget // epochs
    while scheduler.plan(count + 1, epochs).epochs <= budget:
        count += 1
    return count


def found_by(name: str, count: int, points, curves) -> tuple[float, int]:
    """Return the best last score that a scheduler finds, and the epochs it trained."""
    epochs = curves.shape[1]
    simulated = jt.testing.simulate(
        SCHEDULERS[name],
        lambda row, epoch: curves[row, epoch - 1],
        count,
        epochs,
        concurrent=64,
        points=points[:count],
    )
    ended = (simulated.epochs == epochs) & ~simulated.failed
    return curves[:count][ended, -1].max(initial=-np.inf), int(simulated.epochs.sum())


def compare(keys: int) -> list[dict]:
    """Return a row for each problem, number of trials and scheduler."""
    rows = []
    for problem, (points, curves) in problems().items():
        last = curves[:, -1]
        best, middle = np.nanmax(last), np.nanmedian(last)
        for trials in TRIALS:
            epochs = curves.shape[1]
            budget = SCHEDULERS[BASE].plan(trials, epochs).epochs
            for name in SCHEDULERS:
                count = min(trials_for(name, budget, epochs), ROWS)
                regret, spent = [], []
                for key in range(keys):
                    order = np.random.default_rng([trials, key]).permutation(ROWS)
                    score, used = found_by(name, count, points[order], curves[order])
                    regret.append(float((best - score) / (best - middle)))
                    spent.append(used)
                rows.append(
                    {
                        "problem": problem,
                        "halving_trials": trials,
                        "scheduler": name,
                        "trials": count,
                        "budget": budget,
                        "epochs": float(np.mean(spent)),
                        "regret": regret,
                    }
                )
            print(problem, trials, flush=True)
    return rows


def against(rows: list[dict], name: str, trials: int | None = None) -> dict:
    """Return the mean regret of a scheduler, and how far it lies below the base's."""

    def regrets(scheduler: str) -> np.ndarray:
        return np.asarray(
            [
                row["regret"]
                for row in rows
                if row["scheduler"] == scheduler
                and trials in (None, row["halving_trials"])
            ]
        )

    own, base = regrets(name), regrets(BASE)
    # one difference for each key: its problems are drawn with it
    each = (base - own).mean(axis=0)
    half = student.ppf(0.975, len(each) - 1) * each.std(ddof=1) / len(each) ** 0.5
    return {
        "regret": float(own.mean()),
        "better_by": float(each.mean()),
        "interval": [float(each.mean() - half), float(each.mean() + half)],
        "wins": float((own < base).mean()),
        "losses": float((own > base).mean()),
    }


def seconds() -> dict[str, float]:
    """Return the processor's seconds of one decision, by the number of trials."""
    rng, scheduler, result = np.random.default_rng(0), SCHEDULERS["freeze_thaw"], {}
    for trials in (64, 1024, 4096):
        points = rng.random((trials, 6))
        level = -((points - 0.5) ** 2).sum(axis=1)
        steps = jt.testing.simulate(
            scheduler,
            lambda row, epoch, level=level: level[row] - 1 / epoch,
            trials,
            27,
            points=points,
        ).steps
        plan, progress = scheduler.plan(trials, 27), steps[len(steps) // 2][0]
        times = []
        for _ in range(7):
            begin = time.process_time()
            scheduler.decide(jax.random.key(0), plan, progress)
            times.append(time.process_time() - begin)
        result[str(trials)] = float(np.median(times))
    return result


def main() -> None:
    """Make the curves, or compare on them, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--make", action="store_true", help="train the curves")
    parser.add_argument("--seconds", action="store_true", help="only time decisions")
    parser.add_argument("--keys", type=int, default=20, help="orders of the trials")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    if options.make:
        for name in EPOCHS:
            make(name)
        return
    timed = seconds()
    print("one decision of freeze_thaw, processor's seconds:", timed)
    if options.seconds:
        return
    rows = compare(options.keys)
    summary = {
        str(trials or "all"): {n: against(rows, n, trials) for n in SCHEDULERS}
        for trials in (*TRIALS, None)
    }
    for trials, by_name in summary.items():
        print(f"\ntrials of halving: {trials}; better_by is against {BASE}")
        print(f"{'':20}  regret  better by  95 % interval        wins losses")
        for name, row in by_name.items():
            low, high = row["interval"]
            print(
                f"{name:20}{row['regret']:8.4f}{row['better_by']:11.4f}"
                f"  [{low:7.4f}, {high:7.4f}]{row['wins']:8.2f}{row['losses']:7.2f}"
            )
    record.write(options, {"decision_seconds": timed, "summary": summary, "each": rows})


if __name__ == "__main__":
    main()
