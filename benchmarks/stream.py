"""Measure what a stream costs: the same rows from a source and on the device, in turns.

An MLP 784-128-10 on generated images. The source is a file that is mapped into memory;
streams with parts of several lengths are compared.

    python benchmarks/stream.py [--rows 16384] [--trials 32] [--json FILE]
"""

import argparse
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
from record import write

import jaxtune as jt

BATCH = 1024  # rows that the source yields at once


def images(folder: Path, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images in a file, and their labels: ten prototypes with noise."""
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
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=16384, help="number of images")
    parser.add_argument("--trials", type=int, default=32, help="trials of a search")
    parser.add_argument("--repeats", type=int, default=3, help="the median is shown")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(options, *images(Path(folder), options.rows))
    write(options, rows)


def measured(options, x: np.ndarray, y: np.ndarray) -> dict:
    """Return the warm seconds of each way, and their ratio to the first."""
    train, valid = len(x) - 1024, (np.array(x[-1024:]), y[-1024:])

    def source(epoch):
        del epoch
        for first in range(0, train, BATCH):
            last = min(first + BATCH, train)
            yield x[first:last], y[first:last]

    model = jt.models.MLP(classes=10, max_units=128)
    classification = partial(jt.classification, model, valid=valid, batch_size=128)
    held = np.array(x[:train]), y[:train]
    # a stream keeps the order of its source, so the rows on the device are not shuffled
    ways = {"on the device": classification(train=held, shuffle=False)}
    for part in (train, 4096, 1024):
        rows = jt.data.stream(source, examples=train, rows=part)
        ways[f"stream, {part} rows at once"] = classification(train=rows)
    space = jt.Space(learning_rate=jt.log_uniform(1e-3, 0.3))
    budget = {
        "key": jax.random.key(0),
        "trials": options.trials,
        "epochs": 2,
        "sampler": "sobol",
    }
    seconds: dict = {name: [] for name in ways}
    scores = {}
    for turn in range(options.repeats + 1):
        for name, task in ways.items():
            begin = time.perf_counter()
            found = jt.search(task, space, **budget, verbose=0)
            if turn:  # the first turn compiles
                seconds[name].append(time.perf_counter() - begin)
            scores[name] = found.trials.scores
    first = scores["on the device"]
    found = {}
    print(f"{'':32}seconds   ratio   equal to the bit")
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
