"""Compare the time of the same trials in jaxtune and in other tools.

Every contender trains the digits network 64-128-10 by SGD with momentum for the same
configurations: 20 epochs of 1408 examples in batches of 64, then validation accuracy.
Each runs in a process of its own, in turns. *Cold* is the first search of a process,
with compilation and without imports; *warm* is the second one. Contenders that are not
installed are left out: ``pip install -r benchmarks/requirements.txt``.

    python benchmarks/peers.py [--trials 256] [--epochs 20] [--repeats 3] [--json FILE]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from record import processor, versions


def jaxtune_search(model):
    """Return a whole ``jt.search``, with its sampler and table."""
    import hand
    import jax

    import jaxtune as jt

    train, valid = hand.digits()
    network = jt.models.MLP(10, max_units=128) if model == "ours" else hand.Network()
    task = jt.classification(network, train=train, valid=valid, batch_size=hand.BATCH)
    space = jt.Space(
        learning_rate=jt.log_uniform(1e-3, 0.3),
        momentum=jt.reverse_log_uniform(0.5, 0.95),
    )

    def run(trials, epochs):
        key = jax.random.key(0)
        return jt.search(
            task, space, key=key, trials=trials, epochs=epochs, sampler="sobol"
        ).trials["accuracy"]

    return run


def by_hand():
    """Return one ``jit(vmap(train))`` over all trials."""
    import hand
    import jax
    import numpy as np

    programs = {}

    def run(trials, epochs):
        if epochs not in programs:
            programs[epochs] = jax.jit(jax.vmap(hand.training(epochs)))
        keys = jax.random.split(jax.random.key(0), trials)
        return np.asarray(programs[epochs](keys, *hand.configurations(trials)))

    return run


def by_hand_in_blocks(width=4):
    """Return the fastest one by hand: narrow blocks, and a CPU device for each core."""
    import jax

    # before JAX starts its devices, so nothing is computed above

    jax.config.update("jax_num_cpu_devices", os.cpu_count())
    import hand
    import numpy as np
    from jax.sharding import Mesh, PartitionSpec

    mesh = Mesh(jax.devices(), ("devices",))
    programs = {}

    def program(epochs):
        blocks = jax.vmap(hand.training(epochs))

        def each(keys, rates, momenta):
            return jax.lax.map(lambda block: blocks(*block), (keys, rates, momenta))

        spec = PartitionSpec("devices")
        shared = {"mesh": mesh, "in_specs": spec, "out_specs": spec, "check_vma": False}
        return jax.jit(jax.shard_map(each, **shared))

    def run(trials, epochs):
        if epochs not in programs:
            programs[epochs] = program(epochs)
        keys = jax.random.split(jax.random.key(0), trials).reshape(-1, width)
        rest = [part.reshape(-1, width) for part in hand.configurations(trials)]
        return np.asarray(programs[epochs](keys, *rest)).ravel()

    return run


def optuna_study(objective):
    """Return Optuna over the given configurations: its loop, and the training."""
    import hand
    import numpy as np
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def run(trials, epochs):
        study = optuna.create_study(direction="maximize")
        for rate, momentum in zip(*hand.configurations(trials), strict=True):
            study.enqueue_trial({"rate": float(rate), "momentum": float(momentum)})

        def one(trial):
            # slightly wider than the configurations: no queued value is out of range
            rate = trial.suggest_float("rate", 9e-4, 0.31, log=True)
            momentum = trial.suggest_float("momentum", 0.49, 0.951)
            return objective(trial.number, rate, momentum, epochs)

        study.optimize(one, n_trials=trials)
        return np.asarray([trial.value for trial in study.trials])

    return run


def optuna_flax(grade):
    """Return Optuna and Flax, written with one of three grades of care."""
    import hand
    import jax
    import numpy as np
    import optax
    from flax.training.train_state import TrainState

    (train_x, train_y), (valid_x, valid_y) = hand.digits()
    network = hand.Network()

    def mean_loss(params, x, y):
        logits = network.apply(params, x)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    @jax.jit
    def accuracy(params, x, y):
        return (network.apply(params, x).argmax(-1) == y).mean()

    def batches(rng, epochs):
        for _ in range(epochs):
            for rows in rng.permutation(hand.EXAMPLES).reshape(-1, hand.BATCH):
                yield train_x[rows], train_y[rows]

    def params_of(number):
        return network.init(jax.random.key(number), train_x[:1])

    def as_the_docs_show(number, rate, momentum, epochs):
        """Train with a new optimiser, so that the step compiles for each trial."""

        @jax.jit
        def step(state, x, y):
            gradients = jax.grad(mean_loss)(state.params, x, y)
            return state.apply_gradients(grads=gradients)

        tx = optax.sgd(rate, momentum)
        state = TrainState.create(
            apply_fn=network.apply, params=params_of(number), tx=tx
        )
        for x, y in batches(np.random.default_rng(number), epochs):
            state = step(state, x, y)
        return float(accuracy(state.params, valid_x, valid_y))

    @jax.jit
    def traced_step(params, moments, x, y, rate, momentum):
        gradients = jax.grad(mean_loss)(params, x, y)
        updates, moments = optax.sgd(rate, momentum).update(gradients, moments)
        return optax.apply_updates(params, updates), moments

    def one_step_for_all(number, rate, momentum, epochs):
        params = params_of(number)
        moments = optax.sgd(rate, momentum).init(params)
        for x, y in batches(np.random.default_rng(number), epochs):
            params, moments = traced_step(params, moments, x, y, rate, momentum)
        return float(accuracy(params, valid_x, valid_y))

    scans = {}

    def one_scan(number, rate, momentum, epochs):
        if epochs not in scans:
            scans[epochs] = jax.jit(hand.training(epochs))
        return float(scans[epochs](jax.random.key(number), rate, momentum))

    grades = {"docs": as_the_docs_show, "step": one_step_for_all, "scan": one_scan}
    return optuna_study(grades[grade])


def optuna_torch():
    """Return Optuna and PyTorch with one thread, which is faster here than two."""
    import hand
    import torch

    torch.set_num_threads(1)
    (x, y), (valid_x, valid_y) = [
        (torch.from_numpy(x), torch.from_numpy(y).long()) for x, y in hand.digits()
    ]

    def objective(number, rate, momentum, epochs):
        torch.manual_seed(number)
        network = torch.nn.Sequential(
            torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10)
        )
        optimizer = torch.optim.SGD(network.parameters(), rate, momentum)
        loss = torch.nn.CrossEntropyLoss()
        for _ in range(epochs):
            for rows in torch.randperm(hand.EXAMPLES).split(hand.BATCH):
                optimizer.zero_grad()
                loss(network(x[rows]), y[rows]).backward()
                optimizer.step()
        with torch.no_grad():
            return (network(valid_x).argmax(1) == valid_y).float().mean().item()

    return optuna_study(objective)


def mle_hyperopt():
    """Return the random search of mle-hyperopt around one jitted training."""
    import hand
    import jax
    import numpy as np
    from mle_hyperopt import RandomSearch

    scans = {}

    def run(trials, epochs):
        if epochs not in scans:
            scans[epochs] = jax.jit(hand.training(epochs))
        real = {
            "rate": {"begin": 1e-3, "end": 0.3, "prior": "log-uniform"},
            "momentum": {"begin": 0.5, "end": 0.95, "prior": "uniform"},
        }
        strategy = RandomSearch(real=real, seed_id=0, verbose=False)
        found = []
        for number in range(trials):
            chosen = strategy.ask()
            key = jax.random.key(number)
            rate, momentum = chosen["rate"], chosen["momentum"]
            found.append(float(scans[epochs](key, rate, momentum)))
            strategy.tell([chosen], [-found[-1]])
        return np.asarray(found)

    return run


def hyperoptax(parallel, loop):
    """Return the random search of hyperoptax around one jitted training."""
    import hand
    import jax
    import numpy as np
    from hyperoptax import LinearSpace, LogSpace, RandomSearch

    scans = {}

    def run(trials, epochs):
        if epochs not in scans:
            train = jax.jit(hand.training(epochs))
            scans[epochs] = lambda key, p: train(key, p["rate"], p["momentum"])
        space = {"rate": LogSpace(1e-3, 0.3), "momentum": LinearSpace(0.5, 0.95)}
        state, optimizer = RandomSearch.init(space, n_parallel=parallel)
        search = getattr(optimizer, loop)
        steps = trials // parallel
        found = search(state, jax.random.key(0), scans[epochs], steps)
        return np.asarray(found[1][1]).ravel()

    return run


def products():
    """Return the machine's rate of matrix products, in GFLOP/s."""
    import jax
    import jax.numpy as jnp

    size = 2048
    square = jnp.ones((size, size))
    multiply = jax.jit(jnp.matmul)
    jax.block_until_ready(multiply(square, square))
    times = []
    for _ in range(7):
        begin = time.perf_counter()
        jax.block_until_ready(multiply(square, square))
        times.append(time.perf_counter() - begin)
    return 2 * size**3 / min(times) / 1e9


OURS = "jaxtune, jt.models.MLP"
CONTENDERS = {
    OURS: (partial(jaxtune_search, "ours"), 256),
    "jaxtune, the user's Linen network": (partial(jaxtune_search, "linen"), 256),
    "by hand, blocks of 4 on all cores": (by_hand_in_blocks, 256),
    "by hand, jit(vmap(train))": (by_hand, 256),
    "Optuna + Flax, whole training in one scan": (partial(optuna_flax, "scan"), 64),
    "Optuna + Flax, a step for all trials": (partial(optuna_flax, "step"), 32),
    "Optuna + Flax, a step for each trial": (partial(optuna_flax, "docs"), 16),
    "Optuna + PyTorch": (optuna_torch, 32),
    "mle-hyperopt over one scan": (mle_hyperopt, 64),
    "hyperoptax, 16 in parallel, its loop": (partial(hyperoptax, 16, "optimize"), 256),
    "hyperoptax, 64 in parallel, its loop": (partial(hyperoptax, 64, "optimize"), 256),
    "hyperoptax, 4 in parallel, its scan": (
        partial(hyperoptax, 4, "optimize_scan"),
        256,
    ),
}


def measure(name, trials, epochs):
    """Return milliseconds a trial of one contender in this process, cold and warm."""
    # a slow contender has fewer trials in its second search; figures are per trial
    make, enough = CONTENDERS[name]
    begin = time.perf_counter()
    run = make()
    made = time.perf_counter() - begin
    begin = time.perf_counter()
    run(trials, epochs)
    cold = (time.perf_counter() - begin) / trials
    count = min(trials, enough)
    begin = time.perf_counter()
    accuracy = run(count, epochs)
    warm = (time.perf_counter() - begin) / count
    return {
        "imports_s": made,
        "cold_ms": 1e3 * cold,
        "warm_ms": 1e3 * warm,
        "accuracy": float(accuracy.mean()),
        "trials_warm": count,
    }


def child(arguments):
    """Return what another process prints, or ``None`` if a library is missing."""
    # with a cache the first search of a process would not compile
    environment = {**os.environ, "JAXTUNE_CACHE": "off"}
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    if "ModuleNotFoundError" in done.stderr:
        return None
    raise RuntimeError(done.stderr)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=256, help="trials of a search")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of a trial")
    parser.add_argument("--repeats", type=int, default=3, help="the median is shown")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only == "products":
        print(json.dumps(products()))
        return
    if options.only:
        print(json.dumps(measure(options.only, options.trials, options.epochs)))
        return
    size = ["--trials", str(options.trials), "--epochs", str(options.epochs)]
    rows, rates = {name: [] for name in CONTENDERS}, []
    for _ in range(options.repeats):
        rates.append(child(["--only", "products"]))
        for name in CONTENDERS:
            found = child([*size, "--only", name])
            if found is not None:
                rows[name].append(found)
                print(".", end="", flush=True, file=sys.stderr)
    table = {
        name: {k: statistics.median(row[k] for row in found) for k in found[0]}
        for name, found in rows.items()
        if found
    }
    ours = table[OURS]
    for row in table.values():
        row["warm_ratio"] = row["warm_ms"] / ours["warm_ms"]
        row["cold_ratio"] = row["cold_ms"] / ours["cold_ms"]
    print(f"\n{'':42}warm, ms   ratio  cold, ms   ratio  accuracy")
    for name, row in table.items():
        print(
            f"{name:42}{row['warm_ms']:8.1f}{row['warm_ratio']:8.2f}"
            f"{row['cold_ms']:10.1f}{row['cold_ratio']:8.2f}{row['accuracy']:10.4f}"
        )
    limit = limits(ours["warm_ms"], statistics.median(rates), options.epochs)
    print(
        "matrix products: {products_gflops:.0f} GFLOP/s; training: {gflops:.0f} "
        "GFLOP/s, which is {share:.0%}. Without the gradient of the inputs, which is "
        "not computed, it is {share_computed:.0%}.".format(**limit)
    )
    if options.json:
        setting = {
            "trials": options.trials,
            "epochs": options.epochs,
            "repeats": options.repeats,
            "versions": versions(),
            "python": sys.version.split()[0],
            "processor": processor(),
            "cores": os.cpu_count(),
        }
        text = json.dumps({**setting, "limit": limit, "rows": table}, indent=2)
        options.json.write_text(text + "\n")


def limits(warm_ms, rate, epochs):
    """Return the arithmetic of a training as a share of the machine's products."""
    first, last, examples = 64 * 128, 128 * 10, 1408 * epochs
    # two for each weight: forward, gradient of the inputs, gradient of the weights
    usual = 6 * (first + last) * examples
    computed = usual - 2 * first * examples
    return {
        "products_gflops": rate,
        "gflops": usual / warm_ms / 1e6,
        "share": usual / warm_ms / 1e6 / rate,
        "share_computed": computed / warm_ms / 1e6 / rate,
    }


if __name__ == "__main__":
    main()
