"""Measure what a process keeps that searches one new task after another.

Each search has functions of its own, made for it: in turn a task with a closure, a
model of Flax whose class is new, a plain function with the sampler that learns, and a
task under a scheduler in a run directory, which is loaded, and of which a trial is
trained again. After each, what is left is counted: memory, that of it which is in use
(the rest is what the allocator keeps for later), memory maps, threads, open files,
executables and arrays of JAX, and functions of tasks that are gone.

    python benchmarks/soak.py [--searches 500] [--kinds task network] [--json FILE]
"""

import argparse
import ctypes
import gc
import os
import shutil
import tempfile
import time
import weakref
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen
from record import write

import jaxtune as jt

RATES = {"learning_rate": jt.log_uniform(1e-3, 0.3)}
USUAL = {"sampler": "sobol", "trials": 8, "block": 4, "verbose": 0}
X = np.random.default_rng(0).normal(size=(96, 3)).astype(np.float32)
Y = (X @ np.float32([1.0, -2.0, 0.5]) > 0).astype(int)


def plain_task(number):
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
    task = plain_task(number)
    jt.search(task, RATES, key=jax.random.key(number), epochs=2, **USUAL)
    return task.loss


def search_network(number):
    """Search over a model whose class is new, train it again and predict."""

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x):
            return linen.Dense(2)(linen.relu(linen.Dense(5)(x)))

    task = jt.classification(Net(), train=(X, Y), valid=(X, Y), batch_size=32)
    key = jax.random.key(number)
    result = jt.search(task, RATES, key=key, epochs=2, **USUAL)
    result.train().predict(X[:4])
    return task.loss


def search_function(number):
    """Search a plain function with the sampler that learns."""

    def valley(hparams):
        return (hparams["x"] - number * 1e-3) ** 2 + hparams["y"]

    space = {"x": jt.uniform(0.0, 1.0), "y": jt.uniform(0.0, 1.0)}
    own = {"trials": 16, "block": 8, "mode": "min", "verbose": 0}
    jt.search(valley, space, key=jax.random.key(number), **own)
    return valley


def search_run(number):
    """Search in a run directory under a scheduler; load it, train a trial again."""
    folder = Path(tempfile.mkdtemp())
    try:
        task, key = plain_task(number), jax.random.key(number)
        own = {"epochs": 6, "scheduler": "successive_halving", "directory": folder}
        jt.search(task, RATES, key=key, **USUAL, **own)
        assert jt.rerun(folder, 1, task).same
        assert jt.load(folder, task).finished
        return task.loss
    finally:
        shutil.rmtree(folder)


KINDS = {
    "task": search_task,
    "network": search_network,
    "function": search_function,
    "run": search_run,
}
"""Name to a search with a number of its own; it returns a function of its task."""


def left(functions=()):
    """Return what the process holds now, and how many of the functions still live."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "megabytes": round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6),
        "in_use": round(in_use() / 1e6),
        "maps": len(Path("/proc/self/maps").read_text().splitlines()),
        "threads": len(os.listdir("/proc/self/task")),
        "files": len(os.listdir("/proc/self/fd")),
        "executables": len(jax.devices()[0].client.live_executables()),
        "arrays": len(jax.live_arrays()),
        "functions": sum(function() is not None for function in functions),
    }


class Allocator(ctypes.Structure):
    """The numbers of the C library, see ``man mallinfo2``."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def in_use():
    """Return the bytes that the allocator has given out; 0 where it does not say."""
    asked = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if asked is None:
        return 0
    asked.restype = Allocator
    found = asked()
    return found.uordblks + found.hblkhd


def main() -> None:
    """Search again and again, and print what is left."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--searches", type=int, default=500)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--every", type=int, default=25, help="a row each so many")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    rows, functions, begin = [], [], time.perf_counter()
    for number in range(options.searches):
        kind = options.kinds[number % len(options.kinds)]
        functions.append(weakref.ref(KINDS[kind](number)))
        if number and (number + 1) % options.every:
            continue
        seconds = round(time.perf_counter() - begin)
        rows.append({"searches": number + 1, **left(functions), "seconds": seconds})
        if not number:
            print("".join(f"{name:>12}" for name in rows[0]))
        print("".join(f"{value:12}" for value in rows[-1].values()), flush=True)
    write(options, rows)


if __name__ == "__main__":
    main()
