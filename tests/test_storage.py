"""Runs that are cut off, gone on with, damaged, foreign, or opened twice."""

import dataclasses
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import moments
import numpy as np
import optax
import pytest
from children import environment, interruptible
from editing import edit_settings, without_sums
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxtune as jt
from jaxtune.storage import writer
from jaxtune.storage.arrays import from_bytes, to_bytes
from jaxtune.storage.directory import locked, settings_of
from jaxtune.storage.documents import (
    box_document,
    box_of,
    hparams_documents,
    hparams_of,
    space_document,
    space_of,
)
from jaxtune.storage.durable import Durable
from jaxtune.storage.settings import EARLIER
from jaxtune.storage.store import Store
from jaxtune.testing import mixed_space

SCHEDULERS = {
    "none": None,
    "halving": jt.schedulers.successive_halving(),
    "hyperband": jt.schedulers.hyperband(),
    "asha": jt.schedulers.asha(),
    "median": jt.schedulers.median_stopping(),
    "pbt": jt.schedulers.pbt(interval=2),
}


def assert_same(one, other):
    """Two results are equal to the last bit."""
    assert one.trials.names == other.trials.names
    for name in one.trials.names:
        np.testing.assert_array_equal(one.trials[name], other.trials[name], name)
    np.testing.assert_array_equal(one.trials.scores, other.trials.scores)
    np.testing.assert_array_equal(one.trials.points, other.trials.points)
    assert one.cost[:3] == other.cost[:3]  # and not the seconds
    for first, second in zip(one.rounds, other.rounds, strict=True):
        for a, b in zip(first.rungs, second.rungs, strict=True):
            np.testing.assert_array_equal(a, b)
        assert first.lineage.trial.tolist() == second.lineage.trial.tolist()
    for a, b in zip(one.spaces, other.spaces, strict=True):
        assert a.bounds == b.bounds


@pytest.fixture
def cut(monkeypatch):
    """Cut a search off after some blocks, again and again."""
    keep, left = Durable.keep, [10**9]

    def stopping(self, *args):
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        keep(self, *args)

    monkeypatch.setattr(Durable, "keep", stopping)

    def after(blocks):
        left[0] = blocks

    return after


def run(task, space, directory=None, **changes):
    arguments = {
        "key": jax.random.key(1),
        "trials": 30,
        "rounds": 2,
        "epochs": 6,
        "sampler": "sobol",
    }
    arguments |= {"block": 4, "directory": directory}
    return jt.search(task, space, **(arguments | changes))


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("seeds", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_a_run_cut_off_again_and_again_ends_in_the_same_table(
    name, seeds, small_task, small_space, tmp_path, cut
):
    own = {"scheduler": SCHEDULERS[name], "seeds": seeds}
    straight, rng = run(small_task, small_space, **own), np.random.default_rng(seeds)
    cuts, at, checked = 0, tmp_path / "run", 0
    while True:
        cut(int(rng.choice([1, 2, 5, 11])))
        try:
            if cuts % 2:
                found = jt.resume(at)
            else:
                found = run(small_task, small_space, at, **own)
            break
        except KeyboardInterrupt as error:
            cuts += 1
            said = str(error)
        partial = jt.load(at)
        assert not partial.finished
        known = np.flatnonzero(partial.trials.done)
        same = partial.trials["status"][known] == straight.trials["status"][known]
        assert same.all() or name == "pbt"  # whose members come back from failures
        scored = np.flatnonzero(np.isfinite(partial.trials["score"]))
        if scored.size and checked < 4:
            checked += 1
            assert jt.rerun(at, int(rng.choice(scored))).same
    assert f"jaxtune resume {at}" in said
    assert cuts > 1
    assert_same(found, straight)
    assert_same(jt.load(at), straight)
    assert jt.load(at).finished
    assert jt.load(at).test() == straight.test()
    for trial in rng.choice(30, 4, replace=False).tolist():
        assert jt.rerun(at, trial).same


def test_a_finished_run_is_read_and_not_trained(small_task, small_space, tmp_path, cut):
    first = run(small_task, small_space, tmp_path / "run")
    cut(0)
    assert_same(run(small_task, small_space, tmp_path / "run"), first)
    assert_same(jt.resume(tmp_path / "run"), first)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "data.npz",
        "run.json",
        "run.lock",
        "run.sqlite",
    ]


def bowl(key, hparams):
    noise = 0.1 * jax.random.normal(key)
    return (jnp.log10(hparams["learning_rate"]) + 2) ** 2 + noise


def test_a_function_of_the_users_own_must_be_given_again(tmp_path, cut):
    space = jt.Space(learning_rate=jt.log_uniform(1e-4, 1.0))
    own = {"epochs": None, "mode": "min", "seeds": 2}
    straight = run(bowl, space, **own)
    cut(7)
    with pytest.raises(KeyboardInterrupt):
        run(bowl, space, tmp_path / "run", **own)
    with pytest.raises(jt.RunError, match=r"bowl.*--task FILE.py:NAME"):
        jt.resume(tmp_path / "run")
    with pytest.raises(jt.RunError, match="trial 14 has not been scored"):
        jt.rerun(tmp_path / "run", 14, bowl)
    cut(10**9)
    assert_same(jt.resume(tmp_path / "run", bowl), straight)
    assert jt.rerun(tmp_path / "run", 29, bowl).same
    with pytest.raises(jt.RunError, match="Give it"):
        jt.rerun(tmp_path / "run", 29)
    assert jt.resume(tmp_path / "run").finished  # nothing is left to be trained


def test_a_rerun_that_differs_says_so(small_task, small_space, tmp_path):
    run(small_task, small_space, tmp_path / "run", trials=8, rounds=1)
    db = sqlite3.connect(without_sums(tmp_path / "run") / "run.sqlite")
    blob = db.execute("SELECT ended FROM rounds").fetchone()[0]
    tree = from_bytes(blob)
    tree["outcome"]["metrics"]["loss"][3] += 1e-6
    db.execute("UPDATE rounds SET ended = ?", (to_bytes(tree),))
    db.commit()
    db.close()
    assert jt.rerun(tmp_path / "run", 2).same
    assert not jt.rerun(tmp_path / "run", 3).same


def other_bowl(key, hparams):
    return bowl(key, hparams) + 1.0


CHANGES = {
    "key.data": {"key": jax.random.key(2)},
    r"plan of rounds: trials=\d+ in \d rounds, now trials=31 in": {"trials": 31},
    "seeds": {"seeds": 2},
    "epochs": {"epochs": 7},
    "metric": {"metric": "loss"},
    "mode": {"mode": "min"},
    r"sampler: sobol\(\), now uniform\(\)": {"sampler": jt.samplers.uniform()},
    r"refine: zoom\(top=.* zoom\(top=5": {"refine": jt.zoom(top=5)},
    r"scheduler: in_full\(\), now asha\(": {"scheduler": jt.schedulers.asha()},
    "block": {"block": 8},
    "programs": {"programs": 1},
}


@pytest.mark.parametrize("path", CHANGES)
def test_another_search_is_refused_and_the_difference_named(
    path, small_task, tmp_path, cut
):
    space = jt.Space(learning_rate=jt.uniform(0.1, 0.8))
    cut(2)
    with pytest.raises(KeyboardInterrupt):
        run(small_task, space, tmp_path / "run")
    before = (tmp_path / "run" / "run.json").read_bytes()
    changes = dict(CHANGES[path])
    with pytest.raises(jt.RunError, match=rf"the run has another {path}") as told:
        run(small_task, changes.pop("space", space), tmp_path / "run", **changes)
    assert re.search(r"now .*\. (Use what|If different)", str(told.value))
    assert not re.search(r"[{}\"]", str(told.value))  # no JSON
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def make_task(rows=96, scale=1.0, width=3, bias=0.0, clip=None):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, width)).astype(np.float32)
    data = {"x": x, "y": (scale * x[:, 0]).astype(np.float32)}

    def optimizer(hparams):
        return optax.sgd(hparams["learning_rate"])

    def clipped(hparams):
        return optax.chain(optax.clip(1.0), optax.sgd(hparams["learning_rate"]))

    def error(params, batch):
        return jnp.mean((batch["x"] @ params["w"] + bias - batch["y"]) ** 2)

    return jt.Task(
        init=lambda key, hparams: {"w": jax.random.normal(key, (width,))},
        loss=lambda params, batch, key, hparams: error(params, batch),
        evaluate=lambda params, split, hparams: {"mse": error(params, split)},
        optimizer=clipped if clip else optimizer,
        train=data,
        valid=data,
        batch_size=16,
        metrics=(("mse", "min"),),
    )


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("task.data.train", {"scale": 2.0}),
        ("task.data.train", {"rows": 112}),
        ("task.parameters", {"width": 4}),
        ("task.optimizer", {"clip": True}),
        ("task.program", {"bias": 1.0}),
    ],
)
def test_another_task_is_refused(path, changes, tmp_path, cut):
    space = jt.Space(learning_rate=jt.log_uniform(1e-3, 0.1))
    cut(1)
    with pytest.raises(KeyboardInterrupt):
        run(make_task(), space, tmp_path / "run")
    cut(10**9)
    named = path if path != "task.parameters" else r"task\.(data|parameters)"
    with pytest.raises(jt.RunError, match=f"another {named}"):
        jt.resume(tmp_path / "run", make_task(**changes))
    with pytest.raises(jt.RunError, match=f"another {named}"):
        jt.load(tmp_path / "run", make_task(**changes))
    assert jt.resume(tmp_path / "run", make_task()).finished


@pytest.mark.parametrize("drop_last", [True, False])
def test_another_drop_last_is_refused_by_its_name(drop_last, tmp_path):
    space = jt.Space(learning_rate=jt.log_uniform(1e-3, 0.1))
    kept, other = (
        dataclasses.replace(make_task(rows=100), drop_last=given)
        for given in (drop_last, not drop_last)
    )
    run(kept, space, tmp_path / "run")
    told = f"another drop_last: {drop_last}, now {not drop_last}; an epoch"
    for again in (jt.resume, jt.load):
        with pytest.raises(jt.RunError, match=told):
            again(tmp_path / "run", other)
    assert jt.resume(tmp_path / "run", kept).finished


@pytest.mark.parametrize("word", ["version", "device", "flags"])
def test_what_changes_last_bits_may_be_allowed(
    word, small_task, small_space, tmp_path, cut
):
    cut(2)
    with pytest.raises(KeyboardInterrupt):
        run(small_task, small_space, tmp_path / "run")
    cut(10**9)
    name = next(iter(json.loads((tmp_path / "run" / "run.json").read_text())[word]))

    def change(settings):
        settings[word][name] = "something else"

    edit_settings(tmp_path / "run", change)
    with pytest.raises(
        jt.RunError, match=rf"another {word}\.{name}.*allow=\['{word}'\]"
    ):
        jt.resume(tmp_path / "run")
    assert jt.resume(tmp_path / "run", allow=[word]).finished


@pytest.mark.parametrize("name", ["none", "asha", "pbt"])
def test_another_block_width_may_be_allowed(
    name, small_task, small_space, tmp_path, cut
):
    cut(3)
    with pytest.raises(KeyboardInterrupt):
        run(small_task, small_space, tmp_path / "run", scheduler=SCHEDULERS[name])
    cut(10**9)
    with pytest.raises(jt.RunError, match="another block: 4, now 8"):
        jt.resume(tmp_path / "run", block=8)
    found = jt.resume(tmp_path / "run", block=8, allow=["block"])
    assert found.finished
    assert len(found.trials) == 30


def test_samplers_of_the_users_own_must_be_given_again(
    small_task, small_space, tmp_path, cut
):
    inner = jt.samplers.sobol()
    mine = inner._replace(tell=lambda state, points, scores: state)
    cut(2)
    with pytest.raises(KeyboardInterrupt):
        run(small_task, small_space, tmp_path / "run", sampler=mine)
    cut(10**9)
    with pytest.raises(jt.RunError, match="sampler is not one of jaxtune's own"):
        jt.resume(tmp_path / "run")
    assert jt.resume(tmp_path / "run", sampler=mine).finished


def test_objects_in_a_space_are_named_and_search_goes_on(tmp_path, cut):
    space = jt.Space(
        x=jt.uniform(0.0, 1.0), f=jt.choice([jnp.sin, jnp.cos], static=True)
    )

    def objective(key, hparams):
        return hparams["f"](hparams["x"])

    own = {"epochs": None, "mode": "max"}
    straight = run(objective, space, **own)
    cut(3)
    with pytest.raises(KeyboardInterrupt):
        run(objective, space, tmp_path / "run", **own)
    cut(10**9)
    assert {str(f) for f in jt.load(tmp_path / "run").trials["f"]} == {
        "jax.numpy.sin",
        "jax.numpy.cos",
    }
    with pytest.raises(
        jt.RunError, match=r"'f' has the value jax.numpy.*with the same"
    ):
        jt.resume(tmp_path / "run", objective)
    assert_same(run(objective, space, tmp_path / "run", **own), straight)


HOLD = """
import sys
from pathlib import Path
from jaxtune.storage.directory import RECORD, locked, note_writer
from jaxtune.storage.store import Store
at = Path(sys.argv[1])
with locked(at):
    store = Store(at / RECORD, write=True)
    note_writer(store)
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_and_a_dead_ones_lock_is_free(
    small_task, small_space, tmp_path, cut
):
    cut(2)
    with pytest.raises(KeyboardInterrupt):
        run(small_task, small_space, tmp_path)
    cut(10**9)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "held\n"
        before = (tmp_path / "run.sqlite").read_bytes()
        told = rf"in use by process {holder.pid} on .*this search changed nothing"
        with pytest.raises(jt.RunError, match=told):
            jt.resume(tmp_path)
        assert (tmp_path / "run.sqlite").read_bytes() == before
        assert not jt.load(tmp_path).finished  # looking is free
    finally:
        holder.kill()
        holder.communicate()
    assert jt.resume(tmp_path).finished


def test_one_process_cannot_open_a_run_twice(tmp_path):
    with locked(tmp_path), pytest.raises(jt.RunError, match="in use by"):  # noqa: SIM117
        with locked(tmp_path):
            pass


@pytest.mark.parametrize("pages", [15, 16, 20])
def test_a_full_disk_loses_nothing(
    pages, small_task, small_space, tmp_path, monkeypatch
):
    opening = Store.__init__

    def small(self, path, write, **options):
        opening(self, path, write, **options)
        if write:
            self._db.execute(f"PRAGMA max_page_count = {pages}")

    pbt = {"scheduler": SCHEDULERS["pbt"]}
    straight = run(small_task, small_space, **pbt)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "__init__", small)
        patch.setattr(writer, "PATIENCE", 0)  # later, nearly nothing is left to write
        with pytest.raises(jt.RunError, match=r"the disk is full.*jaxtune resume"):
            run(small_task, small_space, tmp_path, **pbt)
    assert_same(jt.resume(tmp_path), straight)


def finished_run(task, space, tmp_path):
    at = tmp_path / "run"
    run(task, space, at, trials=8, rounds=1, epochs=1)
    return at


def test_a_truncated_record_is_refused_wherever_it_was_cut(
    small_task, small_space, tmp_path
):
    at = finished_run(small_task, small_space, tmp_path)
    whole = (at / "run.sqlite").read_bytes()
    for size in [0, 1, 99, 100, 4000, *range(4096, len(whole), 8192), len(whole) - 1]:
        (at / "run.sqlite").write_bytes(whole[:size])
        told = r"run\.sqlite.*(copy|another directory)|damaged.*jaxtune check"
        for use in (jt.load, jt.resume):
            with pytest.raises(jt.RunError, match=told):
                use(at)
        assert (at / "run.sqlite").read_bytes() == whole[:size]
    (at / "run.sqlite").unlink()
    with pytest.raises(jt.RunError, match="is missing"):
        jt.load(at)


def foreign(path):
    path.unlink()
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE trials (trial_id INTEGER)")
    db.commit()
    db.close()


def newer(path):
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (foreign, "of some other program"),
        (newer, r"newer jaxtune \(schema 99.*pip install -U"),
        (lambda path: path.write_text("hello" * 999), "no database"),
        (lambda path: spoil_middle(path), "damaged"),
    ],
)
def test_a_record_that_is_not_ours_is_refused(
    spoil, told, small_task, small_space, tmp_path
):
    at = finished_run(small_task, small_space, tmp_path)
    spoil(at / "run.sqlite")
    for use in (jt.load, jt.resume):
        with pytest.raises(jt.RunError, match=told):
            use(at)


def spoil_middle(path):
    data = bytearray(path.read_bytes())
    data[16384 : 3 * 16384] = b"\xff" * (2 * 16384)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "cannot be read"),
        ('{"format": "jaxtune run", "schema": 99}', "newer jaxtune"),
        ('{"format": "jaxtune run", "schema": "x"}', "newer jaxtune"),
        ("[1, 2]", "not the file of a jaxtune run"),
        ('{"a": 1}', "not the file of a jaxtune run"),
        ('{"format": "jaxtune ru', "cannot be read"),
    ],
)
def test_settings_that_are_no_run_are_refused(text, told, tmp_path):
    (tmp_path / "run.json").write_text(text)
    for use in (jt.load, jt.resume, settings_of):
        with pytest.raises(jt.RunError, match=told):
            use(tmp_path)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda at: at / "missing", "is no directory"),
        (lambda at: at, "holds no run"),
        (lambda at: write(at / "file"), "is no directory"),
    ],
)
def test_a_directory_that_is_no_run_is_refused(make, told, tmp_path):
    where = make(tmp_path)
    for use in (jt.load, jt.resume, lambda at: jt.rerun(at, 0)):
        with pytest.raises(jt.RunError, match=told):
            use(where)


def write(path):
    path.write_text("x")
    return path


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda at: write(at / "file"), "cannot be written to"),
        (lambda at: write(at / "file") / "run", "cannot be written to"),
        (lambda at: write(at / "notes.txt").parent, "holds 'notes.txt' and no run"),
        (lambda at: Path("/sys/jaxtune"), "cannot be written to"),
    ],
)
def test_a_directory_that_cannot_hold_a_run_is_refused(make, told, tmp_path):
    space = jt.Space(learning_rate=jt.log_uniform(1e-4, 1.0))
    with pytest.raises(jt.RunError, match=told):
        run(bowl, space, make(tmp_path), epochs=None, mode="min")


@pytest.mark.parametrize("name", ["run.sqlite", "run.sqlite-journal", "data.npz.part"])
def test_a_beginning_that_was_cut_off_is_begun_again(name, tmp_path):
    write(tmp_path / name)
    if name == "run.sqlite":
        (tmp_path / name).unlink()
        Store.create(tmp_path / name).close()
    space = jt.Space(learning_rate=jt.log_uniform(1e-4, 1.0))
    with pytest.raises(jt.RunError, match="holds no run"):
        jt.load(tmp_path)
    assert run(bowl, space, tmp_path, epochs=None, mode="min").finished


def test_a_read_only_run_can_be_looked_at(small_task, small_space, tmp_path):
    at = finished_run(small_task, small_space, tmp_path)
    copy = Path(shutil.copytree(at, tmp_path / "copy"))
    for path in [*copy.iterdir(), copy]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert_same(jt.load(copy), jt.load(at))


@pytest.mark.parametrize(
    "recipe",
    [
        {"recipe": "system", "arguments": {"command": "touch /tmp/owned"}},
        {"recipe": "classification", "arguments": {"model": {"object": "os.system"}}},
        {
            "recipe": "classification",
            "arguments": {"model": {"recipe": "Module", "arguments": {}}},
        },
        {"recipe": "classification", "arguments": {"model": None, "batch_size": "x"}},
        {"object": "os.system"},
        "os.system",
    ],
)
def test_a_strangers_run_executes_nothing(recipe, small_task, small_space, tmp_path):
    at = finished_run(small_task, small_space, tmp_path)
    edit_settings(at, lambda settings: settings.update(recipe=recipe))
    with pytest.raises(jt.RunError, match="cannot be made again"):
        jt.load(at)


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickles_in_a_run_are_refused_and_not_opened(small_task, small_space, tmp_path):
    at = without_sums(finished_run(small_task, small_space, tmp_path))
    evil = np.asarray([Evil(tmp_path / "owned")], object)
    for arrays in ({"header": evil}, {"header": np.frombuffer(b"[]", "u1"), "0": evil}):
        np.savez(at / "data.npz", **arrays, allow_pickle=True)
        with pytest.raises(jt.RunError, match="cannot be made again"):
            jt.load(at)
    assert not (tmp_path / "owned").exists()


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_arrays_come_back_to_the_bit(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    shape = tuple(data.draw(st.lists(st.integers(0, 4), max_size=3)))
    tree = {"a/b:c": {}, "x": {"": {}}}
    for name in ("float32", "int8", "bool", "uint32", "float16"):
        words = rng.integers(0, 2 if name == "bool" else 256, (*shape, 8), np.uint8)
        tree["a/b:c"][name] = words.view(name)[..., 0]
    words = rng.integers(0, 2**16, shape, np.uint16)
    tree["x"][""]["bf16"] = words.view(ml_dtypes.bfloat16)
    back = from_bytes(to_bytes(tree))
    for path, array in jax.tree_util.tree_leaves_with_path(tree):
        here = back
        for step in path:
            here = here[step.key]
        assert here.dtype == array.dtype
        assert here.shape == array.shape
        assert here.tobytes() == array.tobytes()


def test_spaces_boxes_and_configurations_come_back_to_the_bit():
    for space in (
        mixed_space(),
        jt.presets.standard(),
        jt.presets.standard().keep("layers"),
    ):
        back = space_of(json.loads(json.dumps(space_document(space))))
        assert repr(back) == repr(space)
        assert jax.tree.structure(back) == jax.tree.structure(space)
        points = jax.random.uniform(jax.random.key(3), (500, space.dim))
        hparams = jax.device_get(space.decode(points))
        box = jt.zoom(top=8)(space, points, -points.sum(1))
        told = json.loads(json.dumps([hparams_documents(space, hparams)]))[0]
        again = hparams_of(back, told)
        for name, values in hparams.items():
            assert again[name].dtype == values.dtype
            np.testing.assert_array_equal(again[name], values)
        restored = box_of(back, json.loads(json.dumps(box_document(box))))
        for one, other in zip(
            jax.tree.leaves(restored), jax.tree.leaves(box), strict=True
        ):
            np.testing.assert_array_equal(one, other)


def test_values_that_json_has_no_word_for():
    choices = [(1, (2.0, None)), True, "a", float("inf"), -0.0]
    space = jt.Space(x=jt.choice(choices), y=jt.uniform(0.0, 1.0))
    back = space_of(json.loads(json.dumps(space_document(space), allow_nan=False)))
    assert back["x"].choices == tuple(choices)
    assert list(map(type, back["x"].choices)) == list(map(type, choices))


INTERRUPTED = """
import signal, sys
import jax, jaxtune as jt
from test_storage import make_task, run
from jaxtune.storage.durable import Durable
keep, kept = Durable.keep, []
def interrupted(self, block, *rest):
    keep(self, block, *rest)
    kept.append(block)
    if len(kept) == 3:
        signal.raise_signal(signal.SIGINT)
Durable.keep = interrupted
space = jt.Space(learning_rate=jt.log_uniform(1e-3, 0.1))
run(make_task(), space, sys.argv[1], trials=40, rounds=1)
"""


def test_control_c_keeps_what_is_done_and_says_how_to_go_on(tmp_path):
    child = subprocess.run(
        interruptible("-c", INTERRUPTED, str(tmp_path)),
        capture_output=True,
        text=True,
        env=environment(),
        timeout=moments.HANG,
    )
    assert child.returncode == -signal.SIGINT, child.stderr  # a shell says 130
    way_out = f"finished blocks are kept. Resume with: jaxtune resume {tmp_path}"
    assert way_out in child.stderr
    partial = jt.load(tmp_path)
    assert (partial.trials["status"] == "ok").sum() == 12


@pytest.mark.parametrize("name", ["pbt", "halving"])
def test_states_are_kept_while_a_lane_needs_them(
    name, small_task, small_space, tmp_path, monkeypatch
):
    keep, most = Durable.keep, []

    def checked(self, block, states):
        keep(self, block, states)
        self.flush()
        rows = self._store.ask("SELECT block FROM blocks WHERE state IS NOT NULL")
        kept = {number for (number,) in rows}
        blocks = range(block.number + 1)
        assert kept == {b for b in blocks if states.needed(b) is not None}
        most.append(len(kept))

    monkeypatch.setattr(Durable, "keep", checked)
    scheduler = jt.schedulers.pbt(interval=1) if name == "pbt" else SCHEDULERS[name]
    run(small_task, small_space, tmp_path, scheduler=scheduler, rounds=1, trials=16)
    if name == "pbt":
        assert len(most) == 24  # 4 blocks of 4 lanes at each of 6 rungs
        assert max(most) < 10
    else:
        assert most[-1] == 0  # who was left behind never goes on
        assert max(most) == 4
    store = Store(tmp_path / "run.sqlite", write=False)
    assert store.one("SELECT count(*) FROM blocks WHERE state IS NOT NULL") == 0
    store.close()


def test_states_that_nothing_needs_any_more_are_never_written(
    small_task, small_space, tmp_path, cut, monkeypatch
):
    monkeypatch.setattr(writer, "PATIENCE", 1e9)
    more = {
        "scheduler": SCHEDULERS["halving"],
        "rounds": 1,
        "trials": 24,
        "block": 4,
        "sampler": "sobol",
    }
    plan = more["scheduler"].plan(24, 6)
    assert plan.brackets[0].counts[:2] == (24, 8)
    cut(7)  # all blocks of the first rung, and the first of the two that follow
    with pytest.raises(KeyboardInterrupt):
        run(small_task, small_space, tmp_path, **more)
    store = Store(tmp_path / "run.sqlite", write=False)
    blobs = store.ask("SELECT state FROM blocks WHERE state IS NOT NULL AND block < 6")
    store.close()
    waiting = [len(from_bytes(blob)["places"]) for (blob,) in blobs]
    assert sum(waiting) == 4  # of the second block, which was interrupted
    cut(10**9)
    resumed = jt.resume(tmp_path)
    straight = run(small_task, small_space, **more)
    np.testing.assert_array_equal(resumed.trials.scores, straight.trials.scores)


@pytest.mark.parametrize("name", ["asha", "pbt"])
def test_blocks_written_one_by_one_are_resumed(
    name, small_task, small_space, tmp_path, cut, monkeypatch
):
    monkeypatch.setattr(writer, "PATIENCE", 0)
    straight = run(small_task, small_space, scheduler=SCHEDULERS[name])
    cut(7)
    with pytest.raises(KeyboardInterrupt):
        run(small_task, small_space, tmp_path, scheduler=SCHEDULERS[name])
    cut(10**9)
    resumed = jt.resume(tmp_path)
    np.testing.assert_array_equal(resumed.trials.scores, straight.trials.scores)


def test_nothing_is_written_after_what_could_not_be(tmp_path):
    store = Store.create(tmp_path / "run.sqlite")
    add = "INSERT INTO events VALUES ('now', ?, '')"
    behind = writer.Writer(store)
    behind.write([lambda db: db.execute(add, ("first",))])
    behind.write([lambda db: db.execute(add, ("second",)), lambda db: 1 / 0])
    behind.write([lambda db: db.execute(add, ("third",))])
    with pytest.raises(ZeroDivisionError):
        behind.wait()
    behind.write([lambda db: db.execute(add, ("fourth",))])
    behind.close()
    assert store.ask("SELECT kind FROM events") == [("first",)]
    store.close()


def test_a_scheduler_that_changes_its_mind_is_noticed(
    small_task, small_space, tmp_path, cut
):
    inner, mood = SCHEDULERS["halving"], []

    def decide(key, plan, progress):
        decided = inner.decide(key, plan, progress)
        to_the_end = np.full_like(decided.epochs, 6)
        return decided._replace(epochs=to_the_end) if mood else decided

    fickle = inner._replace(decide=decide)
    cut(8)
    with pytest.raises(KeyboardInterrupt):
        run(small_task, small_space, tmp_path, scheduler=fickle)
    cut(10**9)
    mood.append("bad")
    with pytest.raises(jt.RunError, match=r"code of its scheduler: decide\.mood"):
        jt.resume(tmp_path, scheduler=fickle)
    with pytest.raises(
        jt.RunError, match=r"block \d .* its scheduler decides differently"
    ):
        jt.resume(tmp_path, scheduler=fickle, allow=["code"])
    mood.clear()
    assert jt.resume(tmp_path, scheduler=fickle).finished


def test_a_change_is_kept_whole_or_not_at_all(tmp_path):
    store = Store.create(tmp_path / "run.sqlite")
    add = "INSERT INTO events VALUES ('now', 'a', '')"

    def spoiled():
        with store.change() as db:
            db.execute(add)
            db.execute("SELECT nonsense()")

    with pytest.raises(sqlite3.Error, match="no such function"):
        spoiled()
    assert store.one("SELECT count(*) FROM events") == 0
    with store.change() as db:
        db.execute("INSERT INTO events VALUES ('now', 'a', '')")
    store.close()
    with closing(Store(tmp_path / "run.sqlite", write=False)) as reader:
        assert reader.one("SELECT kind FROM events") == "a"


def test_a_reader_in_the_way_does_not_spoil_the_end(tmp_path, monkeypatch):
    space = jt.Space(learning_rate=jt.log_uniform(1e-4, 1.0))
    connections, finish = [], Store.shrink

    def read(self):
        reader = sqlite3.connect(self.path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM events").fetchone()
        connections.append(reader)
        self._db.execute("PRAGMA busy_timeout = 50")
        finish(self)

    monkeypatch.setattr(Store, "shrink", read)
    found = run(bowl, space, tmp_path, epochs=None, mode="min")
    assert_same(jt.load(tmp_path), found)
    connections[0].close()


def test_a_report_is_the_old_or_the_new_one(
    small_task, small_space, tmp_path, monkeypatch
):
    found = jt.load(finished_run(small_task, small_space, tmp_path))
    page = tmp_path / "page.html"
    page.write_text("old")

    def fail(*args):
        raise OSError("cut off")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="cut off"):
            found.report(page)
    assert page.read_text() == "old"
    assert found.report(page).read_text().endswith("</html>\n")


def test_settings_with_any_part_missing_or_wrong_are_damaged(
    small_task, small_space, tmp_path
):
    at = without_sums(finished_run(small_task, small_space, tmp_path))
    whole = json.loads((at / "run.json").read_text())
    told = {"format", "schema", "id", "created", *EARLIER}
    for name in whole.keys() - told:
        without = {n: part for n, part in whole.items() if n != name}
        (at / "run.json").write_text(json.dumps(without))
        for use in (jt.load, jt.resume):
            with pytest.raises(jt.RunError, match=rf"run\.json is damaged \(.*{name}"):
                use(at)
    for name in ("space", "rounds", "layout", "key"):
        for wrong in (3, "x", None, {"x": 3}):
            (at / "run.json").write_text(json.dumps(whole | {name: wrong}))
            with pytest.raises(jt.RunError, match=r"run\.json is damaged"):
                jt.load(at)


def test_damaged_arrays_are_refused(small_task, small_space, tmp_path):
    at = without_sums(finished_run(small_task, small_space, tmp_path))
    db = sqlite3.connect(at / "run.sqlite")
    (blob,) = db.execute("SELECT ended FROM rounds").fetchone()
    for spoiled in (b"", b"x" * 99, blob[:-40], blob[: len(blob) // 2]):
        db.execute("UPDATE rounds SET ended = ?", (spoiled,))
        db.commit()
        with pytest.raises(jt.RunError, match="arrays of a run are damaged"):
            jt.load(at)
    db.close()


@pytest.mark.parametrize("at", ["BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"])
def test_an_interruption_in_the_middle_of_a_change_leaves_none_open(at, tmp_path):
    """After which the run still notes that it was interrupted."""
    store = Store.create(tmp_path / "run.sqlite")
    whole = store._db

    class Interrupted:
        """The connection, interrupted once, right after a statement."""

        def __getattr__(self, name):
            return getattr(whole, name)

        def execute(self, statement, *values):
            done = whole.execute(statement, *values)
            if statement == at:
                store._db = whole
                raise KeyboardInterrupt
            return done

    store._db = Interrupted()
    insert = "INSERT INTO events VALUES ('now', ?, '')"

    def note(kind):
        with store.change() as db:
            db.execute(insert, (kind,))
            if at == "ROLLBACK":
                raise ZeroDivisionError

    with pytest.raises(KeyboardInterrupt):
        note("cut")
    at = ""
    note("interrupted")
    kinds = {kind for (kind,) in store.ask("SELECT kind FROM events")}
    assert "interrupted" in kinds
    store.close()


def test_a_run_remembers_the_box_it_began_in_and_where_it_may_grow(
    small_task, small_space, tmp_path, cut
):
    low, high = small_space.bounds["learning_rate"]
    start = small_space.restrict(learning_rate=((low * high) ** 0.5, high))
    own = {"start": start, "refine": jt.zoom(within=small_space)}
    straight = run(small_task, small_space, **own)
    assert straight.spaces[0].bounds == start.bounds
    cut(3)
    with pytest.raises(KeyboardInterrupt):
        run(small_task, small_space, tmp_path, **own)
    cut(10**9)
    with pytest.raises(jt.RunError, match="another start: learning_rate="):
        run(small_task, small_space, tmp_path, **own | {"start": small_space})
    with pytest.raises(jt.RunError, match=r"another refine.*within"):
        run(small_task, small_space, tmp_path, **own | {"refine": jt.zoom()})
    assert_same(jt.resume(tmp_path), straight)


def test_the_time_of_all_sittings_is_added_up(small_task, small_space, tmp_path, cut):
    cut(3)
    with pytest.raises(KeyboardInterrupt):
        run(small_task, small_space, tmp_path)
    first = jt.load(tmp_path).cost.seconds
    cut(10**9)
    found = jt.resume(tmp_path)
    assert 0 < first < found.cost.seconds
    assert jt.load(tmp_path).cost == found.cost
    assert run(small_task, small_space, tmp_path).cost == found.cost  # nothing trained
