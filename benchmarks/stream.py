"""What a stream costs: the same rows read from a source and on the device, in turns.

An MLP 784-128-10 on generated images, as many as asked for; the source is a file that
is mapped into memory. Streamed searches are cut into parts of several lengths.

    python benchmarks/stream.py [--rows 16384] [--trials 32] [--json FILE]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from record import write

import jaxtune as jt

BATCH = 1024  # rows that the source brings at once


def images(folder: Path, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Ten noisy prototypes, in a file."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, rows)
    kinds = random.normal(size=(10, 784)).astype(np.float32)
    x = np.lib.format.open_memmap(
        folder / "x.npy", mode="w+", dtype=np.float32, shape=(rows, 784)
    )
    for first in range(0, rows, BATCH):
        part = labels[first : first + BATCH]
        x[first : first + BATCH] = kinds[part] + 3 * random.normal(
            size=(len(part), 784)
        )
    return x, labels


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=16384)
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(options, *images(Path(folder), options.rows))
    write(options, rows)


def measured(options, x: np.ndarray, y: np.ndarray) -> dict:
    """Seconds of each way, warm, and their ratio to the first."""
    train, valid = len(x) - 1024, (np.array(x[-1024:]), y[-1024:])

    def source(epoch):
        del epoch
        for first in range(0, train, BATCH):
            last = min(first + BATCH, train)
            yield x[first:last], y[first:last]

    model = jt.models.MLP(classes=10, max_units=128)
    own = {"valid": valid, "batch_size": 128}
    ways = {
        "on the device": jt.classification(
            model, train=(np.array(x[:train]), y[:train]), shuffle=False, **own
        )
    }
    for part in (train, 4096, 1024):
        rows = jt.data.stream(source, examples=train, rows=part)
        ways[f"stream, {part} rows at once"] = jt.classification(
            model, train=rows, **own
        )
    space = jt.Space(learning_rate=jt.log_uniform(1e-3, 0.3))
    budget = {"key": jax.random.key(0), "trials": options.trials, "epochs": 2}
    seconds: dict = {name: [] for name in ways}
    scores = {}
    for turn in range(options.repeats + 1):
        for name, task in ways.items():
            begin = time.perf_counter()
            found = jt.search(task, space, **budget, verbose=0)
            if turn:  # the first one compiles
                seconds[name].append(time.perf_counter() - begin)
            scores[name] = found.trials.scores
    first = scores["on the device"]
    found = {}
    print(f"{'':32}seconds   ratio   the same numbers")
    for name, took in seconds.items():
        ratios = [a / b for a, b in zip(took, seconds["on the device"], strict=True)]
        same = bool(np.array_equal(scores[name], first))
        found[name] = {
            "seconds": statistics.median(took),
            "ratio": statistics.median(ratios),
            "same": same,
        }
        row = found[name]
        print(f"{name:32}{row['seconds']:7.2f}{row['ratio']:8.2f}   {same}")
    return found


if __name__ == "__main__":
    main()
