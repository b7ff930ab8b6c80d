"""Compare batch size, width, depth and choices as data, in buckets, or static.

Each row is one search on scikit-learn's digits, timed twice: first with nothing
compiled, then with everything compiled. Static rows compile a program for each value.

    python benchmarks/shapes.py [--trials 64] [--epochs 20] [--only NAME] [--json FILE]
"""

import argparse
import dataclasses
import json
import os
import time
from pathlib import Path

import jax
import numpy as np
from sklearn.datasets import load_digits

import jaxtune as jt

NINE = jt.presets.standard()
RATE = jt.log_uniform(1e-3, 0.3)
ACTIVATION = jt.choice(["relu", "tanh", "gelu"])


def static(space: jt.Space, *names: str) -> jt.Space:
    """Return the space with some dimensions compiled value by value."""
    changed = {n: dataclasses.replace(space[n], static=True) for n in names}
    return space.replace(**changed)


def cases() -> dict[str, list[tuple[str, jt.Space, int | None]]]:
    """Return name of a comparison to its rows: label, space, limit of programs."""
    batch = jt.Space(learning_rate=RATE, batch_size=NINE["batch_size"])
    width = jt.Space(learning_rate=RATE, hidden_units=NINE["hidden_units"])
    depth = jt.Space(learning_rate=RATE, layers=NINE["layers"])
    optimizer = jt.Space(learning_rate=RATE, optimizer=NINE["optimizer"])
    activation = jt.Space(learning_rate=RATE, activation=ACTIVATION)
    shapes = ("batch_size", "hidden_units", "layers")
    return {
        "batch size 16-256": [
            ("data", batch, None),
            ("static", static(batch, "batch_size"), None),
        ],
        "hidden units 16-256": [
            ("data, one program", width, 1),
            ("data, planned", width, None),
            ("static", static(width, "hidden_units"), None),
        ],
        "layers 1-3": [
            ("data, one program", depth, 1),
            ("data, planned", depth, None),
            ("static", static(depth, "layers"), None),
        ],
        "optimizer of 2": [
            ("data", optimizer, None),
            ("static", static(optimizer, "optimizer"), None),
        ],
        "activation of 3": [
            ("data", activation, None),
            ("static", static(activation, "activation"), None),
        ],
        "all nine": [
            ("data, one program", NINE, 1),
            ("data, planned", NINE, None),
            ("static shapes and optimizer", static(NINE, *shapes, "optimizer"), None),
        ],
    }


def measure(space: jt.Space, programs: int | None, trials: int, epochs: int) -> dict:
    """Time a search with nothing compiled and once more, and return its plan too."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    deep = "layers" in space.names
    task = jt.classification(
        jt.models.MLP(classes=10, max_units=256, max_layers=3 if deep else 1),
        train=(x[:1200], y[:1200]),
        valid=(x[1200:1500], y[1200:1500]),
    )
    plan = jt.plan(task, space, trials=trials, programs=programs, memory=False)
    jax.clear_caches()  # so that the first search compiles everything
    seconds = []
    for _ in range(2):
        begin = time.perf_counter()
        result = jt.search(
            task,
            space,
            key=jax.random.key(0),
            trials=trials,
            epochs=epochs,
            programs=programs,
            sampler="sobol",
        )
        seconds.append(time.perf_counter() - begin)
    return {
        "programs": plan.programs,
        "padding": plan.padding,
        "empty_lanes": plan.empty,
        "first_s": seconds[0],
        "again_ms_per_trial": 1e3 * seconds[1] / trials,
        "best": float(result.best.score),
    }


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=64, help="trials of a search")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of a trial")
    parser.add_argument("--only", help="name of the only comparison to run")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    head = f"{'':28}programs  padding  empty  first run  again, ms/trial   best"
    rows: dict[str, dict[str, dict]] = {}
    for name, compared in cases().items():
        if options.only not in (None, name):
            continue
        print(f"{name}\n{head}")
        rows[name] = {}
        for what, space, programs in compared:
            row = measure(space, programs, options.trials, options.epochs)
            rows[name][what] = row
            print(
                f"  {what:26}{row['programs']:8}{row['padding']:9.0%}"
                f"{row['empty_lanes']:7.0%}{row['first_s']:9.1f} s"
                f"{row['again_ms_per_trial']:17.1f}{row['best']:7.3f}",
                flush=True,
            )
    if options.json:
        setting = {
            "trials": options.trials,
            "epochs": options.epochs,
            "jax": jax.__version__,
            "device": jax.devices()[0].device_kind,
            "cores": os.cpu_count(),
        }
        options.json.write_text(json.dumps({**setting, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
