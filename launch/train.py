"""Start a search on one machine, a Ray cluster or a pod, or resume it.

python train.py DIRECTORY [--on local|ray|pod] [--trials 256] [--epochs 20]
"""

import argparse
import os

import jax
import numpy as np
from sklearn.datasets import load_digits

import jaxtune as jt


def task():
    """Return a classifier of the digits that come with scikit-learn."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    return jt.classification(
        jt.models.MLP(classes=10, max_units=128),
        train=(x[:1408], y[:1408]),
        valid=(x[1408:], y[1408:]),
    )


def executor(on: str):
    """Return the executor for ``on``."""
    if on == "ray":  # the cluster of RAY_ADDRESS, or a new one on this machine
        return jt.executors.ray(os.environ.get("RAY_ADDRESS"))
    if on == "pod":  # on Slurm and TPU pods, JAX finds the processes itself
        where = {}
        if "COORDINATOR" in os.environ:
            where["coordinator_address"] = os.environ["COORDINATOR"]
            where["num_processes"] = int(os.environ["PROCESSES"])
            where["process_id"] = int(os.environ["JOB_COMPLETION_INDEX"])
        jax.distributed.initialize(**where)
        return jt.executors.pod()
    return jt.executors.local()


def main() -> None:
    """Run the search, and print the best trial."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("directory")
    parser.add_argument("--on", choices=["local", "ray", "pod"], default="local")
    parser.add_argument("--trials", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    # the processes of a pod must connect before JAX computes anything
    chosen = executor(options.on)
    space = jt.Space(
        learning_rate=jt.log_uniform(1e-3, 1.0, tier=1),
        momentum=jt.reverse_log_uniform(0.5, 0.99),
        hidden_units=jt.integer(16, 128, scale="log"),
    )
    result = jt.search(
        task(),
        space,
        key=jax.random.key(0),
        trials=options.trials,
        rounds=2,
        epochs=options.epochs,
        block=8,
        scheduler=jt.schedulers.successive_halving(),
        directory=options.directory,
        executor=chosen,
    )
    if jax.process_index() == 0:
        print(result.best)


if __name__ == "__main__":
    main()
