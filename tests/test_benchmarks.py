"""The benchmarks run, their operations are steps, and their networks train equally."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import children
import jax
import psutil
import pytest

import jaxtune as jt
from jaxtune.random import INIT, NOISE, lane_key

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # after the tests' own modules

import accelerator  # noqa: E402
import cases  # noqa: E402
import families  # noqa: E402
from accelerators import marked  # noqa: E402

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


def measure(tmp_path, *options):
    """Return what the measurement of an accelerator leaves: state, figures, table."""
    command = [sys.executable, str(BENCHMARKS / "accelerator.py"), "--small"]
    command += ["--minutes", "30", "--out", str(tmp_path), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "accelerator.json").read_text())
    table = (tmp_path / "accelerator.md").read_text()
    assert table in done.stdout
    return found, table


def test_an_accelerator_is_measured_with_one_command(tmp_path):
    found, table = measure(tmp_path, "--only", "card,tests,a million")
    assert found["settings"]["only"] == ["card", "tests", "a million"]
    # the tests run last, and are shown where they are important
    assert list(found["parts"]) == ["card", "a million", "tests"]
    shown = [line.split(" | ")[0] for line in table.splitlines()[2:]]
    assert list(dict.fromkeys(shown)) == ["| card", "| tests", "| a million"]
    for one in found["parts"].values():
        assert one["state"] == "done"
        assert all({"what", "value", "unit"} <= set(row) for row in one["rows"])
    versions = {row["what"]: row["value"] for row in found["parts"]["card"]["rows"]}
    assert versions["jax"] == jax.__version__
    counts = found["parts"]["tests"]["rows"][-1]["counts"]
    assert set(counts) == {"PASSED"}


@pytest.mark.slow
def test_every_part_of_an_accelerators_measurement_runs(tmp_path):
    found, _ = measure(tmp_path)
    assert list(found["parts"]) == [
        *(p for p in accelerator.PARTS if p != "tests"),
        "tests",
    ]
    assert {one["state"] for one in found["parts"].values()} == {"done"}


def part(weight, script):
    """Return a part that runs some lines of a shell."""
    return weight, ["sh", "-c", script]


ROW = """echo noise; echo '{"what": "w", "unit": "s", "value": '%s}; """


def has_ended(process):
    """Return whether a process has ended; it may not have been waited for."""
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_part_that_fails_or_hangs_is_named_and_the_others_go_on(tmp_path, capsys):
    # one waits for its own child, and the row has the child's number
    parts = {
        "fails": part(1000, ROW % 1 + "echo 'no memory | left' >&2; exit 1"),
        "hangs": part(1, "sleep 100000 & " + ROW % "$!" + "wait"),
        "fine": part(999, ROW % 3),
    }
    order = ["fine", "hangs", "fails"]
    written = partial(accelerator.write, tmp_path, {}, order)
    found = accelerator.measured(parts, 2000, written)
    states = {name: one["state"] for name, one in found.items()}
    assert states == {"fails": "failed", "hangs": "cut off", "fine": "done"}
    values = {name: one["rows"][0]["value"] for name, one in found.items()}
    child = values.pop("hangs")
    assert values == {"fails": 1, "fine": 3}
    # killed, but perhaps not gone yet; where it is not killed, it sleeps for a day
    assert any(has_ended(child) for _ in range(10_000))
    assert json.loads((tmp_path / "accelerator.json").read_text())["parts"] == found
    lines = (tmp_path / "accelerator.md").read_text().splitlines()[2:]
    assert lines[:2] == [
        "| fine | w | 3 s |  |",
        f"| hangs | **cut off** after {found['hangs']['limit_s']:.0f} s |  |  |",
    ]
    assert lines[3].startswith("| fails | **failed** after ")
    assert lines[3].endswith(": no memory \\| left |  |  |")
    assert "hangs: at most 2 s" in capsys.readouterr().err


def test_a_part_leaves_the_card_to_its_pieces():
    files = "bits", "functions", "marked", "searches"
    code = "".join(f"import accelerators.{name}; " for name in files)
    code += "from jax._src import xla_bridge; assert not xla_bridge._backends"
    own = children.environment()
    own["PYTHONPATH"] = os.pathsep.join([str(BENCHMARKS), own["PYTHONPATH"]])
    subprocess.run([sys.executable, "-c", code], env=own, check=True)


def test_what_one_part_leaves_of_its_time_is_the_others():
    parts = {name: part(1, ROW % 1) for name in "abc"}
    found = accelerator.measured(parts, 300, lambda found: None)
    limits = [one["limit_s"] for one in found.values()]
    assert limits[0] == pytest.approx(100, abs=1)
    assert sorted(limits) == limits
    assert limits[-1] > 150


def test_a_test_that_failed_has_a_name():
    with_one = """
        collected 3 items
        tests/test_a.py::test_b[x - y] PASSED                          [ 33%]
        tests/test_a.py::test_c FAILED                                 [ 66%]
        tests/test_a.py::test_d SKIPPED (needs a CPU: cores)           [100%]
        FAILED tests/test_a.py::test_c - assert 1 == 2
    """
    with_several = """
        [gw0] [ 33%] PASSED tests/test_a.py::test_b[x - y]
        [gw1] [ 66%] FAILED tests/test_a.py::test_c
        [gw1] [100%] SKIPPED tests/test_a.py::test_d
        FAILED tests/test_a.py::test_c - assert 1 == 2
    """
    for printed in (with_one, with_several):
        lines = [line.strip() + "\n" for line in printed.splitlines()]
        found = {row["what"]: row for row in marked.read(lines)}
        assert found["tests/test_a.py::test_c"]["value"] == "failed: assert 1 == 2"
        counts = {"PASSED": 1, "FAILED": 1, "SKIPPED": 1}
        assert found["tests that ended"]["counts"] == counts
