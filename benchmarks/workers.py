"""Measure Ray's workers and pods: time by workers, overhead of a block, cost of kills.

Digits, network 64-128-10, 20 epochs, blocks of 8. All runs on this machine, in
processes that have started and compiled before. Blocks of one lane of a function that
does nothing show the overhead of a block.

    python benchmarks/workers.py [--trials 512] [--repeats 3] [--json FILE]
"""

import argparse
import json
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import jax
import numpy as np
import psutil
from record import write

import jaxtune as jt
from jaxtune.executors import serialization
from jaxtune.programs import block as block_program

TINY = 512  # blocks of the function that does nothing
KILL_EVERY = 3.0  # seconds
EXCHANGES = 200


def task():
    """Return the digits as a task."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    return jt.classification(
        jt.models.MLP(10, max_units=128),
        train=(x[:1408], y[:1408]),
        valid=(x[1408:], y[1408:]),
    )


def nothing(key, hparams):
    """Return a hyperparameter: a block of this function is all overhead."""
    return hparams["x"]


def timed(call):
    """Return the seconds of a call, and its result."""
    begin = time.perf_counter()
    result = call()
    return time.perf_counter() - begin, result


def median(call, repeats):
    """Return the median seconds of some calls, after one that compiles."""
    call()
    return statistics.median(timed(call)[0] for _ in range(repeats))


class Killer(threading.Thread):
    """A thread that kills a busy worker every few seconds, until ``over`` is set."""

    def __init__(self):
        super().__init__(daemon=True)
        self.kills, self.over = 0, threading.Event()

    def run(self):
        while not self.over.wait(KILL_EVERY):
            # Ray names a process after the function that it runs
            names = ((p, p.info["name"]) for p in psutil.process_iter(["name"]))
            busy = [p for p, name in names if name == "ray::work"]
            if busy:
                busy[0].send_signal(signal.SIGKILL)
                self.kills += 1


def measure_ray(trials: int, repeats: int) -> dict:
    """Return time by number of workers, the overhead of a block, and cost of kills."""
    digits, at = task(), tempfile.mkdtemp()
    space = jt.Space(learning_rate=jt.log_uniform(1e-3, 0.3))
    unit = jt.Space(x=jt.uniform(0.0, 1.0))

    def search(executor=None, **more):
        arguments = {
            "trials": trials,
            "epochs": 20,
            "block": 8,
            "verbose": 0,
            "sampler": "sobol",
        }
        arguments |= {"key": jax.random.key(0), "executor": executor, **more}
        return jt.search(digits, space, **arguments)

    def tiny(executor=None, **more):
        arguments = {
            "trials": TINY,
            "mode": "min",
            "block": 1,
            "verbose": 0,
            "sampler": "sobol",
        }
        arguments |= {"key": jax.random.key(0), "executor": executor, **more}
        return jt.search(nothing, unit, **arguments)

    found = {"search_seconds": {}, "overhead_ms_per_block": {}}
    seconds, local = found["search_seconds"], search()
    seconds["local"] = median(search, repeats)
    found["overhead_ms_per_block"]["local"] = 1e3 * median(tiny, repeats) / TINY
    runs = iter(range(99))
    run = median(lambda: tiny(directory=f"{at}/{next(runs)}"), repeats)
    found["overhead_ms_per_block"]["local, in a run directory"] = 1e3 * run / TINY
    found["run_directory"] = directory_costs(search, f"{at}/states", f"{at}/0")
    first, _ = timed(lambda: search(jt.executors.ray(workers=2)))
    found["first_search_seconds_with_a_cluster_of_its_own"] = first
    import ray

    # one cluster for all searches below, so that its start is not timed again
    ray.init("local", num_cpus=2, include_dashboard=False, logging_level="error")
    for workers in (1, 2):
        executor = jt.executors.ray(cpus=2 // workers)
        seconds[f"Ray, {workers} workers"] = median(
            lambda e=executor: search(e), repeats
        )
        per_block = 1e3 * median(lambda e=executor: tiny(e), repeats) / TINY
        found["overhead_ms_per_block"][f"Ray, {workers} workers"] = per_block
    found["block_seconds"] = block_seconds(search, jt.executors.ray(cpus=2))
    found["worker_start_seconds"] = worker_start(search, jt.executors.ray(cpus=2))
    executor = jt.executors.ray(tries=50)
    long = {"trials": 4 * trials}
    straight, whole = timed(lambda: search(executor, **long))
    killer = Killer()
    killer.start()
    disturbed, again = timed(lambda: search(executor, **long))
    killer.over.set()
    ray.shutdown()
    same = np.array_equal(whole.trials.scores, again.trials.scores, equal_nan=True)
    found["kills"] = {
        "every_seconds": KILL_EVERY,
        "trials": 4 * trials,
        "kills": killer.kills,
        "seconds": disturbed,
        "undisturbed_seconds": straight,
        "seconds_per_kill": (disturbed - straight) / max(1, killer.kills),
        "same_table": bool(same),
    }
    found["bytes"] = sizes(digits, local)
    return found


def directory_costs(search, at: str, tiny_run: str) -> dict:
    """Return the cost of a run directory: a block with states, and a trial without."""
    often = {"scheduler": jt.schedulers.pbt(interval=2)}
    search(**often)
    without, result = timed(lambda: search(**often))
    with_run, _ = timed(lambda: search(**often, directory=at))
    count = result.cost.epochs // (8 * 2)
    return {
        "ms_per_block_with_states": 1e3 * (with_run - without) / count,
        "bytes_per_trial": Path(tiny_run, "run.sqlite").stat().st_size / TINY,
        "load_ms_per_trial": 1e3 * timed(lambda: jt.load(tiny_run))[0] / TINY,
    }


def worker_start(search, executor) -> float:
    """Return the seconds that a new worker process needs before its first block."""
    warm, _ = timed(lambda: search(executor, trials=8))
    for process in psutil.process_iter(["name"]):
        if process.info["name"] in ("ray::work", "ray::IDLE"):
            process.kill()
    time.sleep(1.0)
    return timed(lambda: search(executor, trials=8))[0] - warm


def block_seconds(search, executor) -> list[float]:
    """Return the seconds of every block, with one worker that runs them in turn."""
    times = []

    class Clock(jt.Callback):
        def on_block(self, round, measured):
            times.append(time.perf_counter())

    search(executor, callbacks=[Clock()])
    return np.diff(times).round(4).tolist()


def sizes(digits, result) -> dict:
    """Return the bytes that are sent: the data once, and those of every block."""
    workload = result.setup.workload
    block = block_program.Block(
        np.zeros(8, np.uint32), np.zeros(8, np.uint32), {"learning_rate": np.zeros(8)}
    )
    state = block_program.start_program().eval_shape(
        digits,
        workload.key,
        block,
        block_program.Static(batching=workload.layout.batching),
    )
    leaves = jax.tree.leaves(state)
    return {
        "data_once_per_machine": len(serialization.dumps((digits, workload.key))),
        "job_without_states": len(serialization.dumps(block)),
        "states_of_a_block": sum(leaf.size * leaf.dtype.itemsize for leaf in leaves),
    }


POD = """
import sys, time, jax
from jaxtune.executors._pod import exchanged
port, count, index, size = map(int, sys.argv[1:5])
jax.distributed.initialize(f"127.0.0.1:{port}", count, index)
message = bytes(size)
exchanged(message)
begin = time.perf_counter()
for _ in range(int(sys.argv[5])):
    exchanged(message)
print((time.perf_counter() - begin) / int(sys.argv[5]) * 1e3)
"""


def measure_pod(count: int, size: int) -> float:
    """Return the milliseconds of an exchange of ``size`` bytes from each process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", POD, *map(str, (port, count, i, size, EXCHANGES))],
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(count)
    ]
    return max(float(p.communicate()[0].split()[-1]) for p in processes)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=512, help="trials of a search")
    parser.add_argument("--repeats", type=int, default=3, help="the median is shown")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    rows = measure_ray(options.trials, options.repeats)
    rows["pod_exchange_ms"] = {
        f"{count} processes, {size} bytes each": measure_pod(count, size)
        for count in (2, 4)
        for size in (1000, 1_000_000)
    }
    print(json.dumps(rows, indent=1))
    write(options, rows)


if __name__ == "__main__":
    main()
