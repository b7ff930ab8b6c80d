"""Measure how time and memory grow with the population, the width and the model.

Each part is measured in one run, and its ratios compare figures of that run.

    python benchmarks/scaling.py [--trials 100000] [--json FILE]
"""

import argparse
import json
import resource
import time
from functools import partial
from pathlib import Path

import flax.linen as nn
import hand
import jax
import jax.numpy as jnp
import numpy as np
import optax
from record import processor, versions

import jaxtune as jt
from jaxtune.planning.preparation import prepare
from jaxtune.planning.width import measure_widths

KEY = jax.random.key(0)
SPACE = jt.Space(
    learning_rate=jt.log_uniform(1e-3, 0.3),
    momentum=jt.reverse_log_uniform(0.5, 0.95),
)


def seconds(function, repeats=3):
    """Return the median seconds of some calls of a function that waits for results."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return sorted(times)[repeats // 2]


def tiny():
    """Return linear regression with three weights, which is almost all overhead."""
    x = np.random.default_rng(0).normal(size=(96, 3)).astype(np.float32)
    data = {"x": x, "y": x @ np.float32([1.0, -2.0, 0.5])}

    def error(params, batch):
        return jnp.mean((batch["x"] @ params - batch["y"]) ** 2)

    return jt.Task(
        init=lambda key, hparams: jax.random.normal(key, (3,)),
        loss=lambda params, batch, key, hparams: error(params, batch),
        evaluate=lambda params, split, hparams: {"mse": error(params, split)},
        optimizer=lambda h: optax.sgd(h["learning_rate"], h["momentum"]),
        train=data,
        valid=data,
        batch_size=32,
        metrics=(("mse", "min"),),
    )


def populations(most):
    """Time whole searches of one to ``most`` trials, two epochs each, blocks of 64."""
    task, rows = tiny(), []
    counts = [10**k for k in range(7) if 10**k <= most]
    for trials in counts:
        budget = {"trials": trials, "epochs": 2, "sampler": "sobol"}
        run = partial(jt.search, task, SPACE, key=KEY, block=64, verbose=0, **budget)
        run()  # compiles
        taken = seconds(run)
        # the peak of the process until now, so the counts must grow
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        per = {"us_per_trial": 1e6 * taken / trials, "host_mib": peak}
        rows.append({"trials": trials, "seconds": taken, **per})
        print(
            "{trials:8} trials {seconds:8.2f} s {us_per_trial:12.1f} us a trial "
            "{host_mib:6.0f} MiB".format(**rows[-1])
        )
    return rows


def samplers():
    """Time a million points of nine dimensions for each sampler."""
    space, rows = jt.presets.standard(), []
    made = {
        "uniform": jt.samplers.uniform(),
        "sobol": jt.samplers.sobol(),
        "halton": jt.samplers.halton(),
        "latin_hypercube": jt.samplers.latin_hypercube(10**6),
    }
    for name, sampler in made.items():

        def run(sampler=sampler):
            state = sampler.init(KEY, space)
            jax.block_until_ready(sampler.ask(state, 10**6)[1])

        run()
        rows.append({"sampler": name, "seconds": seconds(run)})
        print("{sampler:16} {seconds:6.2f} s for 1 000 000 points".format(**rows[-1]))
    return rows


class Convolutional(nn.Module):
    """A plain Flax CNN, with the given function as its convolution."""

    convolve: object = None

    @nn.compact
    def __call__(self, x):
        for channels in (16, 16):
            conv = nn.Conv(channels, (3, 3), conv_general_dilated=self.convolve)
            x = nn.max_pool(nn.relu(conv(x)), (2, 2), (2, 2))
        x = nn.relu(nn.Dense(64)(x.reshape(len(x), -1)))
        return nn.Dense(10)(x)


def models():
    """Measure lane-epochs a second by width, for small to large networks."""
    train, valid = hand.digits()
    images = [(x.reshape(-1, 8, 8, 1), y) for x, y in (train, valid)]
    unfolded = jt.models.unfolded_convolution
    tasks = {
        "MLP 64-16-10": (jt.models.MLP(10, max_units=16), (train, valid)),
        "MLP 64-128-10": (jt.models.MLP(10, max_units=128), (train, valid)),
        "MLP 64-512-512-10": (
            jt.models.MLP(10, max_units=512, max_layers=2),
            (train, valid),
        ),
        "CNN of Flax": (Convolutional(), images),
        "CNN of Flax, unfolded": (Convolutional(unfolded), images),
        "jt.models.CNN": (jt.models.CNN(10), images),
    }
    rows = []
    for name, (model, (train, valid)) in tasks.items():
        task = jt.classification(model, train=train, valid=valid, batch_size=64)
        workload = prepare(task, SPACE, KEY, 20)
        found = measure_widths(workload, SPACE, [1, 4, 16, 64])
        rates = dict(found.rates)
        rows.append({"model": name, "chosen": found.width, "rates": rates})
        shown = "  ".join(f"{width}: {rate:.0f}" for width, rate in rates.items())
        print(f"{name:24} chosen {found.width:3}   lane-epochs a second {shown}")
    return rows


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--trials", type=int, default=100_000, help="trials of the largest search"
    )
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    found = {
        "population": populations(options.trials),
        "samplers": samplers(),
        "models": models(),
    }
    if options.json:
        setting = {
            "versions": versions(),
            "processor": processor(),
            "device": jax.devices()[0].device_kind,
        }
        options.json.write_text(json.dumps({**setting, **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
