"""Measure what a run directory costs: the same search with and without one, in turns.

Digits, network 64-128-10, at most 20 epochs. The time to open the finished run, and to
call ``resume`` on it, are measured too.

    python benchmarks/durable.py [--trials 256] [--repeats 5] [--json FILE]
"""

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from record import write
from sklearn.datasets import load_digits

import jaxtune as jt

SCHEDULERS = {
    "no scheduler": None,
    "successive halving": jt.schedulers.successive_halving(),
    "Hyperband": jt.schedulers.hyperband(),
    "population based training": jt.schedulers.pbt(interval=2),
}


def timed(call):
    """Return the seconds of a call."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=256, help="trials of a search")
    parser.add_argument("--repeats", type=int, default=5, help="the median is shown")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    task = jt.classification(
        jt.models.MLP(10, max_units=128),
        train=(x[:1408], y[:1408]),
        valid=(x[1408:], y[1408:]),
    )
    space = jt.Space(
        learning_rate=jt.log_uniform(1e-3, 0.3),
        momentum=jt.reverse_log_uniform(0.5, 0.95),
    )
    at = Path(tempfile.mkdtemp()) / "run"
    rows = {}
    print(f"{'':28}seconds  with a run   ratio      MB    open  resume")
    for name, scheduler in SCHEDULERS.items():

        def search(directory, scheduler=scheduler):
            arguments = {
                "key": jax.random.key(0),
                "trials": options.trials,
                "sampler": "sobol",
            }
            arguments |= {"rounds": 2, "epochs": 20, "scheduler": scheduler}
            return jt.search(task, space, **arguments, directory=directory)

        search(None)  # compiles, so that no search below does
        plain, durable = [], []
        for _ in range(options.repeats):
            plain.append(timed(lambda: search(None)))
            shutil.rmtree(at, ignore_errors=True)
            durable.append(timed(lambda: search(at)))
        size = sum(path.stat().st_size for path in at.iterdir())
        ratios = [b / a for a, b in zip(plain, durable, strict=True)]
        rows[name] = {
            "seconds": statistics.median(plain),
            "with_a_run_seconds": statistics.median(durable),
            "ratio": statistics.median(ratios),
            "bytes": size,
            "load_seconds": timed(lambda: jt.load(at)),
            "resume_finished_seconds": timed(lambda: jt.resume(at)),
        }
        row = rows[name]
        print(
            f"{name:28}{row['seconds']:7.2f}{row['with_a_run_seconds']:12.2f}"
            f"{row['ratio']:8.2f}{size / 1e6:8.1f}{row['load_seconds']:8.2f}"
            f"{row['resume_finished_seconds']:8.2f}"
        )
    shutil.rmtree(at.parent)
    write(options, rows)


if __name__ == "__main__":
    main()
