"""The benchmarks run, their operations are steps, and their networks train equally."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import jaxtune as jt
from jaxtune.random import INIT, NOISE, lane_key

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # after the tests' own modules

import cases  # noqa: E402
import families  # noqa: E402

KEY, EXAMPLES, BATCH, EPOCHS = jax.random.key(3), 24, 8, 2

# every family once, and what the other libraries do otherwise
NETWORKS = [(name, "linen") for name in families.FAMILIES]
NETWORKS += [("cnn", "nnx"), ("gru", "nnx"), ("cnn", "equinox"), ("cnn1d", "equinox")]
SLOW = [
    pytest.param(name, library, marks=pytest.mark.slow)
    for library in ("nnx", "equinox")
    for name in families.FAMILIES
    if (name, library) not in NETWORKS
]


@pytest.mark.parametrize("name", cases.CASES)
def test_an_operation_is_a_step(name):
    step, arrays = cases.CASES[name](2)
    shapes = jax.eval_shape(lambda *a: a, *arrays)
    assert jax.eval_shape(step, *arrays) == shapes


@pytest.mark.parametrize(("name", "library"), [*NETWORKS, *SLOW])
@pytest.mark.usefixtures("exact_products")
def test_a_lane_equals_a_plain_training(name, library):
    train, valid = families.splits(name, EXAMPLES, BATCH)
    task = families.task(name, library, train, valid, BATCH, shuffle=False)
    budget = {"trials": 2, "epochs": EPOCHS, "block": 2}
    found = jt.search(task, families.SPACE, key=KEY, verbose=0, **budget)
    # a loss, as a share of right answers hardly moves
    loss = families.GOALS[families.FAMILIES[name].goal].loss
    network = families.network(name, library)
    own = families.plain.training(network, loss, loss, families.optimizer)
    start, step, score = jax.jit(own.start), jax.jit(own.step), jax.jit(own.score)
    column = found.trials[task.metrics[-1][0] if loss is families.entropy else "mse"]
    for trial in range(2):
        key = lane_key(KEY, trial, 0)
        hparams = {d: found.trials[d][trial] for d in families.SPACE.names}
        carry = start(jax.random.fold_in(key, INIT), train[0], hparams)
        for number in range(EPOCHS * EXAMPLES // BATCH):
            begin = number * BATCH % EXAMPLES
            x, y = (part[begin : begin + BATCH] for part in train)
            noise = jax.random.fold_in(key, NOISE)
            carry = step(carry, x, y, noise, number, hparams)
        plain = float(score(carry, *valid))
        # Adam turns gradients that are zero but for rounding into whole steps: with jax
        # 0.12 the CNN of Equinox differs by .0033, also as it is written
        assert column[trial] == pytest.approx(plain, rel=5e-3)


def run(script, file, *options):
    """Return the rows that the small form of a benchmark writes."""
    command = [sys.executable, str(BENCHMARKS / script), "--small", "--json", str(file)]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text()), done.stdout


def test_the_benchmark_of_networks_runs(tmp_path):
    written, shown = run("networks.py", tmp_path / "networks.json", "--only", "mlp")
    (row,) = written["rows"]
    assert row["step"]["default"]["lane_ms"] > 0
    trials = row["trial"]
    assert set(trials) == {"jaxtune", "plain loop", "Optuna + Flax"}
    assert all(trial["cold_s"] > 0 and trial["warm_s"] > 0 for trial in trials.values())
    assert shown.count("| MLP 784-512-512 | linen |") == 2
    assert written["settings"]["versions"]["jax"] == jax.__version__


def test_the_benchmark_of_operations_runs(tmp_path):
    only = "conv 14x14 16 to 32 3x3,top_k"
    written, shown = run("operations.py", tmp_path / "written.json", "--only", only)
    assert len(written["rows"]) == 2
    for name, row in written["rows"].items():
        lanes = {f"{form}, {n}" for form in ("as written", "fast") for n in (1, 2)}
        assert set(row) == {"alone", "alone, at once"} | lanes
        assert all(column["ms"] > 0 for column in row.values())
        assert f"| {name} |" in shown
