"""Measure what scores after every epoch cost: a search with and without, in turns.

Digits, network 64-128-10, 20 epochs. Where evaluation is cheap, 1408 examples train a
lane and 389 score it; where it is dear, 256 train it and 1541 score it; where epochs
are short, 64 do, and 64. Processor seconds of all threads for each epoch of a lane, as
a ratio to those of the search without: of ``score="best"``, of ``history=True``, and of
patience that looks after every epoch or after every fifth, where nearly no trial stops.

    python benchmarks/history.py [--trials 64] [--repeats 5] [--json FILE]
"""

import argparse
import statistics
import time
from pathlib import Path

import jax
import numpy as np
from record import write
from sklearn.datasets import load_digits

import jaxtune as jt

EPOCHS = 20
SIZES = {"cheap": (1408, 389), "dear": (256, 1541), "short epochs": (64, 64)}
LOOKS = {1: jt.schedulers.patience(18), 5: jt.schedulers.patience(10, interval=5)}
VARIANTS = {
    "score=best": {"score": "best"},
    "history": {"history": True},
    "best, history": {"score": "best", "history": True},
    **{
        f"looks every {n}": {"score": "best", "scheduler": scheduler}
        for n, scheduler in LOOKS.items()
    },
}


def task_of(train, valid):
    """Return the task with so many examples in its splits."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    return jt.classification(
        jt.models.MLP(10, max_units=128),
        train=(x[:train], y[:train]),
        valid=(x[-valid:], y[-valid:]),
        batch_size=64,
    )


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=64, help="trials of a search")
    parser.add_argument("--repeats", type=int, default=5, help="the median is shown")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    space = jt.Space(
        learning_rate=jt.log_uniform(1e-3, 0.3),
        momentum=jt.reverse_log_uniform(0.5, 0.95),
    )
    rows = {}
    print(f"{'':14}ms an epoch" + "".join(f"{name:>16}" for name in VARIANTS))
    for name, sizes in SIZES.items():
        task = task_of(*sizes)

        def cost(task=task, **own):
            """Return processor seconds for each epoch of a lane."""
            arguments = {
                "key": jax.random.key(0),
                "trials": options.trials,
                "sampler": "sobol",
            }
            arguments |= {"epochs": EPOCHS, "verbose": 0, "metric": "loss"}
            begin = time.process_time()
            found = jt.search(task, space, **arguments, **own)
            return (time.process_time() - begin) / found.cost.epochs

        variants = {"without": {}} | VARIANTS
        for own in variants.values():
            cost(**own)  # compiles, so that no search below does
        taken = {variant: [] for variant in variants}
        for _ in range(options.repeats):
            for variant, own in variants.items():
                taken[variant].append(cost(**own))
        plain = taken.pop("without")
        ratios = {
            variant: statistics.median(b / a for a, b in zip(plain, times, strict=True))
            for variant, times in taken.items()
        }
        rows[name] = {"examples": sizes, "ratios": ratios}
        rows[name]["milliseconds_an_epoch"] = 1e3 * statistics.median(plain)
        shown = "".join(f"{ratio:16.2f}" for ratio in ratios.values())
        print(f"{name:14}{rows[name]['milliseconds_an_epoch']:11.3f}{shown}")
    write(options, rows)


if __name__ == "__main__":
    main()
