"""Measure what a scheduler should give to trials: epochs, or examples.

A rung of halving that costs as much as 1 of 27 epochs is one epoch of all the data
(``budget="epochs"``), or 27 epochs of a 27th of them (``budget="examples"``). The first
goes on to the next rung where it ended; the second begins anew, so of the same examples
it tries fewer trials.

Scores: all trials of random searches are trained to every rung, in both ways and in
full. How well do scores at a rung rank trials as their final scores do, and how good is
the one that a rung finds best? Searches: the loss of the trial that a search finds
best, for equally many examples. Time: seconds of the same number of examples.

    python benchmarks/subsets.py [--keys 20] [--json FILE]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import record
from scipy.stats import bootstrap, spearmanr
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.preprocessing import scale

import jaxtune as jt
from jaxtune.schedulers.base import Bracket, Plan, synchronous
from jaxtune.schedulers.restarts import from_scratch

EPOCHS, RUNGS, TRIALS = 27, (1, 3, 9), 32
BUDGETS = ("epochs", "examples")
SPACE = jt.Space(
    learning_rate=jt.log_uniform(1e-4, 1.0),
    momentum=jt.reverse_log_uniform(0.5, 0.99),
    weight_decay=jt.log_uniform(1e-6, 1e-1),
    batch_size=jt.power_of_two(8, 64),
    hidden_units=jt.integer(8, 64, scale="log"),
    dropout=jt.uniform(0.0, 0.5),
)
SCHEDULERS = {
    "none": None,
    "successive_halving": jt.schedulers.successive_halving(min_epochs=1),
    "hyperband": jt.schedulers.hyperband(),
}


def splits(load: Callable, train: int, valid: int) -> dict:
    """Return the splits of a data set; the rows behind both are the test split."""
    x, y = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = scale(x)[order].astype(np.float32), y[order]
    ends = {
        "train": (0, train),
        "valid": (train, train + valid),
        "test": (train + valid, None),
    }
    return {name: (x[a:b], y[a:b]) for name, (a, b) in ends.items()}


def tasks() -> dict[str, jt.Task]:
    """Return the tasks by name."""
    ten = jt.models.MLP(classes=10, max_units=64)
    two = jt.models.MLP(classes=2, max_units=64)
    return {
        "digits": jt.classification(ten, **splits(load_digits, 540, 400)),
        "breast cancer": jt.classification(two, **splits(load_breast_cancer, 216, 150)),
    }


def everyone() -> jt.schedulers.Scheduler:
    """Return a scheduler that stops nobody, and so scores all trials at all rungs."""

    def plan(trials: int, epochs: int) -> Plan:
        rungs = (*RUNGS, epochs)
        return Plan((Bracket(0, rungs, (trials,) * len(rungs)),))

    return jt.schedulers.Scheduler(plan, synchronous(lambda a, b, c, rows: rows))


def search(task: jt.Task, key: int, trials: int, **how) -> jt.Result:
    """Run one search of random points."""
    return jt.search(
        task,
        SPACE,
        key=jax.random.key(key),
        trials=trials,
        epochs=EPOCHS,
        metric="loss",
        sampler="uniform",
        verbose=0,
        **how,
    )


def at_rungs(result: jt.Result) -> dict[int, np.ndarray]:
    """Return the loss of every trial at each rung; infinite if it failed."""
    by_trial = result.rungs.by_trial()
    return {
        rung: np.asarray(
            [by_trial.get(t, {}).get(rung, np.inf) for t in range(len(result.trials))]
        )
        for rung in (*RUNGS, EPOCHS)
    }


def scores(task: jt.Task, keys: int) -> dict:
    """Return, by budget and rung, what the scores of a rung say about the final ones.

    The correlation is of all trials, and of the third that is best in full, among which
    the choice is hard. Missed is the share of trials that are better in full than the
    one that is best at the rung.
    """
    found = {
        budget: {rung: {"all": [], "best": [], "missed": []} for rung in RUNGS}
        for budget in BUDGETS
    }
    for key in range(keys):
        for budget in BUDGETS:
            known = at_rungs(
                search(task, key, TRIALS, scheduler=everyone(), budget=budget)
            )
            final = known[EPOCHS]
            good = np.argsort(final, kind="stable")[: TRIALS // 3]
            for rung in RUNGS:
                row, early = found[budget][rung], known[rung]
                row["all"].append(float(spearmanr(early, final).statistic))
                row["best"].append(float(spearmanr(early[good], final[good]).statistic))
                row["missed"].append(float((final < final[np.argmin(early)]).mean()))
    return found


def trials_for(name: str, budget: str) -> int:
    """Return the most trials whose plan takes no more epochs than `TRIALS` in full."""
    scheduler = SCHEDULERS[name]
    if scheduler is None:
        return TRIALS
    if budget == "examples":
        scheduler = from_scratch(scheduler)
    count = TRIALS
    while scheduler.plan(count + 1, EPOCHS).epochs <= TRIALS * EPOCHS:
        count += 1
    return count


def searches(task: jt.Task, keys: int) -> dict:
    """Return the losses of the best trials, and the seconds, of each way to search."""
    rows = {}
    ways = [("none", "epochs")]
    ways += [(name, budget) for name in list(SCHEDULERS)[1:] for budget in BUDGETS]
    for name, budget in ways:
        rows[f"{name}, {budget}"] = {
            "trials": trials_for(name, budget),
            **{column: [] for column in ("valid", "test", "epochs", "seconds")},
        }
    for key in range(-1, keys):
        for name, budget in ways:
            row = rows[f"{name}, {budget}"]
            how = {} if name == "none" else {"budget": budget}
            begin = time.perf_counter()
            result = search(
                task, key % 1000, row["trials"], scheduler=SCHEDULERS[name], **how
            )
            seconds = time.perf_counter() - begin
            if key < 0:  # the first turn compiles
                continue
            row["seconds"].append(seconds)
            row["epochs"].append(result.cost.epochs)
            row["valid"].append(result.best.score)
            row["test"].append(result.test()["loss"])
    return rows


def interval(values: list[float]) -> tuple[float, float, float]:
    """Return the mean over keys and its 95 % interval."""
    data = np.asarray(values)
    if np.ptp(data) == 0:
        return (float(data[0]),) * 3
    found = bootstrap((data,), np.mean, rng=np.random.default_rng(0))
    low, high = found.confidence_interval
    return float(data.mean()), float(low), float(high)


def shown(values: list[float]) -> str:
    """Return a mean and its interval as text."""
    mean, low, high = interval(values)
    return f"{mean:7.4f} [{low:7.4f}, {high:7.4f}]"


def main() -> None:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--keys", type=int, default=20)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    rows = {}
    for name, task in tasks().items():
        rows[name] = {"scores": scores(task, options.keys)}
        print(f"\n{name}: {TRIALS} trials at a rung, {options.keys} keys")
        print(f"{'':18}{'rank correlation, all':28}{'of the best third':28}missed")
        for budget, rungs in rows[name]["scores"].items():
            for rung, row in rungs.items():
                cells = "  ".join(
                    shown(row[part]) for part in ("all", "best", "missed")
                )
                print(f"{budget:10}{rung:3} / {EPOCHS}  {cells}", flush=True)
        rows[name]["searches"] = searches(task, options.keys)
        print(f"\n{name}: the best for {TRIALS * EPOCHS} epochs of all examples")
        for way, row in rows[name]["searches"].items():
            speed = np.median(np.divide(row["seconds"], row["epochs"]))
            print(
                f"{way:30}{row['trials']:5}{np.mean(row['epochs']):8.0f}"
                f"  valid {shown(row['valid'])}  test {shown(row['test'])}"
                f"  {1e3 * speed:.3f} ms an epoch",
                flush=True,
            )
    record.write(options, rows)


if __name__ == "__main__":
    main()
