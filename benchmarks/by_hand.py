"""Time per trial: jaxtune's blocks beside a hand-written ``jit(vmap(train))``.

Both train the network 64-128-10 on scikit-learn's digits by SGD with momentum, each
trial with its own learning rate, momentum, initial weights and order of the data. The
two are timed in turns, after compiling, and the medians compared.

    python benchmarks/by_hand.py [--trials 64] [--epochs 20] [--repeats 5] [--json FILE]
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import jaxtune as jt
from jaxtune.population import evaluate, prepare

EXAMPLES, BATCH = 1408, 64


class Network(nn.Module):
    """The usual Flax network: 128 hidden units."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(10)(nn.relu(nn.Dense(128)(x)))


def by_hand(x, y, epochs):
    """What a careful user writes: the whole training in one vmapped program."""
    network = Network()
    train_x, train_y = jnp.asarray(x[:EXAMPLES]), jnp.asarray(y[:EXAMPLES])
    valid_x, valid_y = jnp.asarray(x[EXAMPLES:]), jnp.asarray(y[EXAMPLES:])

    def train(key, rate, momentum):
        start, shuffle = jax.random.split(key)
        params = network.init(start, train_x[:1])
        optimizer = optax.sgd(rate, momentum)

        def loss(params, batch):
            logits = network.apply(params, train_x[batch])
            return optax.softmax_cross_entropy_with_integer_labels(
                logits, train_y[batch]
            ).mean()

        def step(carry, batch):
            params, moments = carry
            updates, moments = optimizer.update(jax.grad(loss)(params, batch), moments)
            return (optax.apply_updates(params, updates), moments), None

        def epoch(carry, key):
            order = jax.random.permutation(key, EXAMPLES).reshape(-1, BATCH)
            return jax.lax.scan(step, carry, order)[0], None

        carry = (params, optimizer.init(params))
        (params, _), _ = jax.lax.scan(epoch, carry, jax.random.split(shuffle, epochs))
        logits = network.apply(params, valid_x)
        return (jnp.argmax(logits, -1) == valid_y).mean()

    return jax.jit(jax.vmap(train))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    x, y = load_digits(return_X_y=True)
    x, n = (x / 16).astype(np.float32), options.trials
    splits = {
        "train": (x[:EXAMPLES], y[:EXAMPLES]),
        "valid": (x[EXAMPLES:], y[EXAMPLES:]),
    }
    space = jt.Space(
        learning_rate=jt.log_uniform(1e-3, 0.3),
        momentum=jt.reverse_log_uniform(0.5, 0.95),
    )
    points = np.random.default_rng(0).random((n, 2), dtype=np.float32)
    hparams = space.decode(points)
    keys = jax.random.split(jax.random.key(0), n)
    hand = by_hand(x, y, options.epochs)

    def run_hand():
        rates = hparams["learning_rate"], hparams["momentum"]
        return np.asarray(hand(keys, *rates)).mean()

    def run_blocks(model):
        task = jt.classification(model, **splits, batch_size=BATCH)
        workload = prepare(task, space, jax.random.key(0), options.epochs)

        def run():
            ids, seeds = np.arange(n), np.arange(1)
            got = evaluate(workload, space, ids, hparams, seeds)
            return got.metrics["accuracy"].mean()

        return run

    runs = {
        "jit(vmap(train)) by hand": run_hand,
        "jaxtune, the same network": run_blocks(Network()),
        "jaxtune, jt.models.MLP": run_blocks(jt.models.MLP(10, max_units=128)),
    }
    cold, warm, accuracy = {}, {name: [] for name in runs}, {}
    for name, run in runs.items():
        begin = time.perf_counter()
        run()
        cold[name] = time.perf_counter() - begin
    for _ in range(options.repeats):
        for name, run in runs.items():
            begin = time.perf_counter()
            accuracy[name] = float(run())
            warm[name].append((time.perf_counter() - begin) / n)
    first = statistics.median(warm["jit(vmap(train)) by hand"])
    rows = {
        name: {
            "ms_per_trial": 1e3 * statistics.median(times),
            "ratio_to_by_hand": statistics.median(times) / first,
            "first_run_s": cold[name],
            "mean_accuracy": accuracy[name],
        }
        for name, times in warm.items()
    }
    print(f"{'':28}ms/trial   ratio  first run  mean accuracy")
    for name, row in rows.items():
        print(
            f"{name:28}{row['ms_per_trial']:8.1f}{row['ratio_to_by_hand']:8.2f}"
            f"{row['first_run_s']:9.1f} s{row['mean_accuracy']:15.4f}"
        )
    if options.json:
        setting = {
            "trials": n,
            "epochs": options.epochs,
            "repeats": options.repeats,
            "jax": jax.__version__,
            "device": jax.devices()[0].device_kind,
            "cores": os.cpu_count(),
        }
        options.json.write_text(json.dumps({**setting, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
