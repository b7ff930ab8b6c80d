"""Jobs of one network that differ in the learning rate, trained in six ways.

The kind of work of horizontally fused training arrays (Wang et al., 2021): jobs that a
cluster would run one by one are lanes of one program. Two networks on scikit-learn's
digits: a perceptron, and a convolutional network as its user writes it.

    python -m benchmarks.published.jobs NETWORK RATE EPOCHS

is one job in a process of its own, and prints its accuracy.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import jaxtune as jt

ROOT = Path(__file__).parents[2]
EXAMPLES, BATCH, MOMENTUM = 1408, 64, 0.9


class Perceptron(nn.Module):
    """Two hidden layers of 128 units."""

    @nn.compact
    def __call__(self, x):
        """Return logits ``[batch, 10]``."""
        x = x.reshape(len(x), -1)
        for _ in range(2):
            x = nn.relu(nn.Dense(128)(x))
        return nn.Dense(10)(x)


class Convolutional(nn.Module):
    """Two convolutions of 16 and 32 channels, each with a pool."""

    @nn.compact
    def __call__(self, x):
        """Return logits ``[batch, 10]``."""
        for channels in (16, 32):
            x = nn.relu(nn.Conv(channels, (3, 3))(x))
            x = nn.max_pool(x, (2, 2), strides=(2, 2))
        return nn.Dense(10)(x.reshape(len(x), -1))


NETWORKS: dict[str, nn.Module] = {"mlp": Perceptron(), "cnn": Convolutional()}


def digits() -> tuple:
    """Return training and validation images ``[n, 8, 8, 1]`` with their digits."""
    x, y = load_digits(return_X_y=True)
    x, y = (x / 16).astype(np.float32).reshape(-1, 8, 8, 1), y.astype(np.int32)
    return (x[:EXAMPLES], y[:EXAMPLES]), (x[EXAMPLES:], y[EXAMPLES:])


def rates(jobs: int) -> list[float]:
    """Return the learning rates of the jobs."""
    return np.geomspace(1e-3, 0.1, jobs).astype(np.float32).tolist()


def make_step(network: nn.Module) -> Callable:
    """Return a training step, ``(carry, x, y, rate) -> carry``."""

    def step(carry, x, y, rate):
        def loss(params):
            logits = network.apply(params, x)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        params, moments = carry
        optimizer = optax.sgd(rate, MOMENTUM)
        updates, moments = optimizer.update(jax.grad(loss)(params), moments)
        return optax.apply_updates(params, updates), moments

    return step


def make_start(network: nn.Module, x: np.ndarray) -> Callable:
    """Return what gives the first carry of a key."""

    def start(key):
        params = network.init(key, x[:1])
        return params, optax.sgd(1.0, MOMENTUM).init(params)

    return start


def loop(name: str, epochs: int) -> Callable[[float], float]:
    """Return one job as guides write it: a jitted step, called for each batch."""
    (x, y), (vx, vy) = digits()
    network = NETWORKS[name]
    step, start = jax.jit(make_step(network)), jax.jit(make_start(network, x))
    predict = jax.jit(network.apply)

    def train(rate):
        carry, generator = start(jax.random.key(0)), np.random.default_rng(0)
        for _ in range(epochs):
            for rows in generator.permutation(EXAMPLES).reshape(-1, BATCH):
                carry = step(carry, x[rows], y[rows], rate)
        return float((np.asarray(predict(carry[0], vx)).argmax(-1) == vy).mean())

    return train


def scan(name: str, epochs: int) -> Callable:
    """Return one job as one function: ``(key, rate) -> accuracy``."""
    (x, y), (vx, vy) = jax.tree.map(jnp.asarray, digits())
    network = NETWORKS[name]
    step, start = make_step(network), make_start(network, x)

    def train(key, rate):
        def epoch(carry, key):
            order = jax.random.permutation(key, EXAMPLES).reshape(-1, BATCH)
            one = lambda c, rows: (step(c, x[rows], y[rows], rate), None)  # noqa: E731
            return jax.lax.scan(one, carry, order)[0], None

        first, shuffle = jax.random.split(key)
        (params, _), _ = jax.lax.scan(
            epoch, start(first), jax.random.split(shuffle, epochs)
        )
        return (network.apply(params, vx).argmax(-1) == vy).mean()

    return train


def process(name: str, epochs: int, rate: float) -> float:
    """Return the accuracy of one job in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.published.jobs", name]
    command += [str(rate), str(epochs)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def in_processes(name: str, epochs: int, jobs: int, at_once: int) -> Callable:
    """Return jobs that are a process each, so many at a time."""

    def run():
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(partial(process, name, epochs), rates(jobs)))

    return run


def in_a_loop(train: Callable, jobs: int) -> Callable:
    """Return jobs one after another in this process."""
    return lambda: [float(train(rate)) for rate in rates(jobs)]


def by_vmap(name: str, epochs: int, jobs: int) -> Callable:
    """Return jobs as one program by hand."""
    program = jax.jit(jax.vmap(scan(name, epochs)))
    keys = jax.random.split(jax.random.key(0), jobs)
    return lambda: np.asarray(program(keys, jnp.asarray(rates(jobs)))).tolist()


def in_a_search(name: str, epochs: int, jobs: int) -> Callable:
    """Return jobs as the trials of one search."""
    train, valid = digits()
    task = jt.classification(
        NETWORKS[name],
        train=train,
        valid=valid,
        batch_size=BATCH,
        optimizer=lambda h: optax.sgd(h["rate"], MOMENTUM),
    )
    arguments = {
        "key": jax.random.key(0),
        "trials": jobs,
        "epochs": epochs,
        "sampler": jt.samplers.grid(jobs),
        "confirm": 0,
        "verbose": 0,
    }
    space = jt.Space(rate=jt.log_uniform(1e-3, 0.1))
    return lambda: jt.search(task, space, **arguments).trials["accuracy"].tolist()


def ways(name: str, epochs: int, jobs: int, few: int) -> dict[str, tuple]:
    """Return name to ``(run, jobs that it trains)``; the slow ones train a few.

    Convolutions by ``vmap`` are among the slow ones on a CPU.
    """
    one = jax.jit(partial(scan(name, epochs), jax.random.key(0)))
    lanes = jobs if name == "mlp" else min(jobs, 2 * few)
    return {
        "processes": (in_processes(name, epochs, few, 1), few),
        "processes at once": (in_processes(name, epochs, few, 2), few),
        "steps": (in_a_loop(loop(name, epochs), few), few),
        "scans": (in_a_loop(one, few), few),
        "vmap": (by_vmap(name, epochs, lanes), lanes),
        "search": (in_a_search(name, epochs, jobs), jobs),
    }


if __name__ == "__main__":
    print(loop(sys.argv[1], int(sys.argv[3]))(float(sys.argv[2])))
