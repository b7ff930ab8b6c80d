"""Measure what a process keeps that searches one new task after another.

Each search has functions of its own, made for it: in turn a task with a closure, a model
of Flax whose class is new, a plain function with the sampler that learns, and a task
under a scheduler in a run directory, which is loaded, and of which a trial is trained
again. After each, what is left is counted: memory, memory maps, threads, open files,
executables and arrays of JAX.

    python benchmarks/soak.py [--searches 500] [--kinds task network] [--json FILE]
"""

import argparse
import gc
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen

import jaxtune as jt

RATES = {"learning_rate": jt.log_uniform(1e-3, 0.3)}
USUAL = {"sampler": "sobol", "trials": 8, "block": 4, "verbose": 0}
X = np.random.default_rng(0).normal(size=(96, 3)).astype(np.float32)
Y = (X @ np.float32([1.0, -2.0, 0.5]) > 0).astype(int)


def fresh_task(number):
    """Return a task whose functions are new, and close over an array."""
    offset = jnp.full(3, number * 1e-6)

    def error(params, batch):
        return jnp.mean((batch["x"] @ (params["w"] + offset) - batch["y"]) ** 2)

    data = {"x": X, "y": Y.astype(np.float32)}
    return jt.Task(
        init=lambda key, hparams: {"w": jax.random.normal(key, (3,))},
        loss=lambda params, batch, key, hparams: error(params, batch),
        evaluate=lambda params, split, hparams: {"mse": error(params, split)},
        optimizer=lambda hparams: optax.sgd(hparams["learning_rate"]),
        train=data,
        valid=data,
        batch_size=32,
        metrics=(("mse", "min"),),
    )


def search_task(number):
    """Search over a task with functions of its own."""
    return jt.search(
        fresh_task(number), RATES, key=jax.random.key(number), epochs=2, **USUAL
    )


def search_network(number):
    """Search over a model whose class is new."""

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x):
            return linen.Dense(2)(linen.relu(linen.Dense(5)(x)))

    task = jt.classification(Net(), train=(X, Y), valid=(X, Y), batch_size=32)
    key = jax.random.key(number)
    result = jt.search(task, RATES, key=key, epochs=2, **USUAL)
    result.train().predict(X[:4])
    return result


def search_function(number):
    """Search a plain function with the sampler that learns."""

    def valley(hparams):
        return (hparams["x"] - number * 1e-3) ** 2 + hparams["y"]

    space = {"x": jt.uniform(0.0, 1.0), "y": jt.uniform(0.0, 1.0)}
    own = {"trials": 16, "block": 8, "mode": "min", "verbose": 0}
    return jt.search(valley, space, key=jax.random.key(number), **own)


def search_run(number):
    """Search in a run directory under a scheduler; load it, train a trial again."""
    folder = Path(tempfile.mkdtemp())
    try:
        task, key = fresh_task(number), jax.random.key(number)
        own = {"epochs": 4, "scheduler": "successive_halving", "directory": folder}
        jt.search(task, RATES, key=key, **USUAL, **own)
        assert jt.rerun(folder, 1, task).same
        return jt.load(folder, task)
    finally:
        shutil.rmtree(folder)


KINDS = {
    "task": search_task,
    "network": search_network,
    "function": search_function,
    "run": search_run,
}


def left():
    """Return what the process holds now, after a collection."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "megabytes": pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        "maps": len(Path("/proc/self/maps").read_text().splitlines()),
        "threads": threading.active_count(),
        "tasks": len(os.listdir("/proc/self/task")),
        "files": len(os.listdir("/proc/self/fd")),
        "executables": len(jax.devices()[0].client.live_executables()),
        "arrays": len(jax.live_arrays()),
        "objects": len(gc.get_objects()),
    }


def main() -> None:
    """Search again and again, and print what is left."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--searches", type=int, default=500)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--every", type=int, default=25, help="print each so many")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    rows, begin = [], time.perf_counter()
    for number in range(options.searches):
        KINDS[options.kinds[number % len(options.kinds)]](number)
        row = {"searches": number + 1, **left()}
        row["seconds"] = time.perf_counter() - begin
        if number == 0:
            print("".join(f"{name:>12}" for name in row))
        if number == 0 or (number + 1) % options.every == 0:
            rows.append(row)
            print("".join(f"{value:12.0f}" for value in row.values()), flush=True)


if __name__ == "__main__":
    main()
