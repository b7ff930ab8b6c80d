"""A process that goes on: searches of ever new tasks leave nothing behind."""

import gc
import json
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import jax
import pytest
from children import QUIET, environment
from compiled import compilations
from killed import digest

import jaxtune as jt
from jaxtune import recent

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # after the tests' own modules

import soak  # noqa: E402


@pytest.fixture
def few(monkeypatch):
    """Keep what belongs to two tasks, so that few searches show what is released."""
    monkeypatch.setattr(recent, "MOST", 2)


def alive(functions):
    gc.collect()
    return [number for number, one in enumerate(functions) if one() is not None]


@pytest.mark.usefixtures("few")
def test_thirty_new_tasks_leave_what_the_last_two_need():
    # all have one program, which the folder of programs holds after the first search
    functions, counts = [], []
    for number in range(30):
        kind = "task" if (number + 1) % 6 else "run"
        functions.append(weakref.ref(soak.KINDS[kind](0)))
        if kind == "run":
            counts.append(soak.left())
    assert alive(functions) == [28, 29]
    before, after = counts[0], counts[-1]
    for name in ("executables", "arrays", "files"):
        assert after[name] <= before[name], name
    # a task that stays takes 200 maps and 14 MB, and so 24 of them 5000 and 330
    assert after["maps"] <= before["maps"] + 500
    assert after["in_use"] <= before["in_use"] + 20
    assert after["megabytes"] <= before["megabytes"] + 150
    assert after["threads"] <= before["threads"] + 4


@pytest.mark.usefixtures("few")
def test_values_of_choices_are_released_as_functions_are():
    seen = []
    for _ in range(6):

        def half(x):
            return 0.5 * x

        def constant(x):
            return 0 * x

        forms = jt.choice([half, constant], static=True)
        space = {"x": jt.uniform(0.0, 1.0), "form": forms}
        seen.append(weakref.ref(half))
        jt.search(
            lambda hparams: hparams["form"](hparams["x"]),
            space,
            key=jax.random.key(0),
            mode="min",
            **soak.USUAL,
        )
        del half, constant, forms, space
    assert len(alive(seen)) <= 2


@pytest.mark.usefixtures("few")
def test_a_task_compiles_again_only_when_it_is_one_of_the_older():
    def search(task):
        return jt.search(
            task, soak.RATES, key=jax.random.key(1), epochs=2, **soak.USUAL
        )

    first, second, third = (soak.plain_task(number) for number in range(3))
    table = digest(search(first))
    search(second)
    with compilations() as compiled:
        assert digest(search(first)) == table
    assert not compiled
    before = jt.testing.compilations()
    search(third)  # the second one is released, which was used before the first
    with compilations() as compiled:
        search(first)
    assert not compiled
    with compilations() as compiled:
        search(second)
    assert compiled
    # start, advance and score, twice; no program is uncounted where it is released
    assert jt.testing.compilations() - before == 6


def test_what_is_kept_is_shared_by_equal_owners_and_threads():
    made, same = [], threading.Barrier(8)
    kept = recent.Recent(lambda _: made.append(None) or object())

    def ask():
        same.wait()
        got.append(kept.of({"a": (len, 1.0)}))

    got = []
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, got))) == len(made) == 1
    assert kept.of({"a": (max, 2.0)}) is got[0]  # leaves are data
    assert kept.of({"b": (len, 1.0)}) is not got[0]


@pytest.mark.slow
def test_five_hundred_new_tasks_leave_what_fifty_do(tmp_path):
    """About a quarter of an hour."""
    figures = tmp_path / "soak.json"
    subprocess.run(
        [sys.executable, BENCHMARKS / "soak.py", "--every", "10", "--json", figures],
        env=environment(**QUIET),
        check=True,
    )
    rows = json.loads(figures.read_text())["rows"]
    by = {row["searches"]: row for row in rows}
    first, rest = by[50], [row for row in rows if row["searches"] > 50]
    assert rest[-1]["searches"] == 500
    for name in ("executables", "arrays", "files", "functions", "maps", "in_use"):
        assert max(row[name] for row in rest) <= 1.1 * first[name], name
    assert max(row["threads"] for row in rest) <= first["threads"] + 4
    # the allocator keeps pages that it once had to give out at the same time
    assert max(row["megabytes"] for row in rest) <= 1.3 * first["megabytes"]
