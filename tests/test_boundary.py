"""Directories and models of a stranger: each is refused in one sentence, and at once.

Nothing outside of the directory is read or changed, and nothing hangs: a hang ends with
a signal, as it would with Ctrl-C.
"""

import csv
import faulthandler
import io
import json
import os
import shutil
import signal
import sqlite3
import struct
import zipfile
from contextlib import closing
from pathlib import Path

import jax
import numpy as np
import pytest
from click.testing import CliRunner
from editing import without_sums
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxtune as jt
from jaxtune import cache, writing
from jaxtune.cli import main
from jaxtune.printing import printable
from jaxtune.reading import decoding, read_regular
from jaxtune.registry import Recipe
from jaxtune.report import terminal
from jaxtune.storage import bounds, opening
from jaxtune.storage.arrays import from_bytes, to_bytes
from jaxtune.storage.directory import create, locked
from jaxtune.storage.documents import value_document
from jaxtune.storage.kernels import load_kernels
from jaxtune.storage.store import Store

SPACE = jt.Space(x=jt.uniform(0.0, 1.0), how=jt.choice(["a", "b"]), n=jt.integer(1, 9))
KEY = jax.random.key(0)
PRECIOUS = "do not touch"


def objective(key, hparams):
    return hparams["x"] + hparams["n"] + (hparams["how"] == "b")


class Cut(jt.Callback):
    def on_round(self, result):
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished run, and one whose second round is open."""
    at = tmp_path_factory.mktemp("runs")
    own = {"key": KEY, "trials": 8, "rounds": 2, "mode": "max", "sampler": "sobol"}
    own |= {"verbose": 0, "block": 4}
    jt.search(objective, SPACE, **own, directory=at / "finished")
    with pytest.raises(KeyboardInterrupt):
        jt.search(objective, SPACE, **own, directory=at / "cut", callbacks=[Cut()])
    return at


@pytest.fixture
def run(runs, tmp_path):
    """A copy of the finished run, which nothing verifies by its checksums."""
    return without_sums(shutil.copytree(runs / "finished", tmp_path / "run"))


@pytest.fixture
def outside(tmp_path):
    """A file of the user's, elsewhere."""
    path = tmp_path / "elsewhere" / "precious"
    path.parent.mkdir()
    path.write_text(PRECIOUS)
    yield path
    assert path.read_text() == PRECIOUS
    assert [p.name for p in path.parent.iterdir()] == ["precious"]


@pytest.fixture(autouse=True)
def interrupted_if_it_hangs():
    """Raise in what hangs, as Ctrl-C would; nothing here takes a tenth of the time."""

    hung = []

    def hangs(*_):
        hung.append(True)
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.setitimer(signal.ITIMER_REAL, 60)
    faulthandler.dump_traceback_later(900, exit=True)  # what is deaf to signals
    yield
    faulthandler.cancel_dump_traceback_later()
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    assert not hung  # SQLite may have turned the error into one of its own


def refused(use, *named):
    """Return the one error with which a use ends; it is a sentence for people."""
    with pytest.raises(jt.RunError) as told:
        use()
    text = str(told.value)
    assert text == printable(text)
    assert text.endswith(".")
    for name in named:
        assert str(name) in text
    return text


def edit(run, statement, *values):
    with closing(sqlite3.connect(run / "run.sqlite")) as db:
        db.execute("PRAGMA writable_schema = OFF")
        db.execute(statement, values)
        db.commit()


def edited(run, change):
    """Change ``run.json`` in place."""
    told = json.loads((run / "run.json").read_text())
    change(told)
    (run / "run.json").write_text(json.dumps(told))


# --- files that are no files


def fifo(path, outside):
    os.mkfifo(path)


def link(path, outside):
    path.symlink_to(outside)


def dangling(path, outside):
    path.symlink_to(outside.parent / "new")


def device(path, outside):
    path.symlink_to("/dev/zero")


def folder(path, outside):
    path.mkdir()


ODD = (fifo, link, dangling, device, folder)
NAMES = ("run.json", "run.sqlite", "run.sqlite-wal", "run.sqlite-journal", "run.lock")


@pytest.mark.parametrize("make", ODD)
@pytest.mark.parametrize("name", [*NAMES, "kernels.zip", "data.npz"])
def test_only_regular_files_are_used(name, make, run, outside):
    (run / name).unlink(missing_ok=True)
    make(run / name, outside)
    if name == "data.npz":  # read where there is a recipe
        edited(run, lambda told: told.update(recipe=value_document(recipe())))
    read = name not in ("run.lock", "kernels.zip")
    if read:
        refused(lambda: jt.load(run), run, name)
    if name == "run.lock":
        with locked_refused(run):
            pass
    if name == "kernels.zip":
        refused(lambda: load_kernels(run), name)


def locked_refused(run):
    def hold():
        with locked(run):
            pass

    refused(hold, "run.lock")
    return closing(io.StringIO())


def recipe(**network):
    network = Recipe("MLP", tuple(({"classes": 2} | network).items()))
    return Recipe("classification", (("model", network), ("batch_size", 4)))


def test_a_link_is_not_written_through(run, outside):
    for name in ("run.json.part", "report.html.part", "data.npz.part"):
        (run / name).symlink_to(outside)
    (run / "report.html").symlink_to(outside)
    assert CliRunner().invoke(main, ["report", str(run)]).exit_code == 0
    page = run / "report.html"
    assert page.is_file()
    assert not page.is_symlink()
    assert page.stat().st_mode == (run / "run.json").stat().st_mode


def test_a_new_run_is_not_written_through_links(outside, tmp_path):
    at = tmp_path / "new"
    at.mkdir()
    for name in ("run.sqlite", "data.npz", "run.json.part", "prior.npz"):
        (at / name).symlink_to(outside)
    with locked(at):
        store = create(at, {"a": 1}, b"data", None, b"prior")
        store.close()
    assert not any(path.is_symlink() for path in at.iterdir())


def test_what_an_interrupted_writer_left_is_removed(tmp_path):
    for name in ("run.json", "data.npz"):
        writing.unfinished_path(tmp_path / name).write_text("half")
    mine = writing.unfinished_path(tmp_path / "mine.txt")
    mine.write_text("half")
    writing.remove_unfinished(tmp_path, ["run.json", "data.npz"])
    assert list(tmp_path.iterdir()) == [mine]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(*_):
        raise OSError("cut off")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="cut off"):
            writing.replace_file(path, b"new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    writing.replace_file(path, b"new")
    assert path.read_text() == "new"
    with pytest.raises(FileExistsError):
        writing.open_new(path)


def test_the_directory_itself_may_be_a_link(run, tmp_path):
    (tmp_path / "link").symlink_to(run)
    assert len(jt.load(tmp_path / "link").trials) == 8


def test_a_file_is_as_large_as_it_can_be(tmp_path):
    with (tmp_path / "run.json").open("wb") as file:
        file.truncate(2**40)  # without blocks on the disk
    refused(lambda: jt.load(tmp_path), "run.json", "bytes")
    refused(lambda: read_regular(tmp_path / "run.json", 9), "more than the 9")


# --- databases that do more than hold rows

RECURSIVE = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT {} FROM n"
)
STATEMENTS = {
    "view": f"CREATE VIEW more AS {RECURSIVE.format('i')}",
    "trigger": "CREATE TRIGGER t AFTER INSERT ON events BEGIN "
    "UPDATE metrics SET value = 9; END",
    "index": "CREATE INDEX i ON metrics (value)",
    "table": "CREATE TABLE mine (a)",
    "virtual": "CREATE VIRTUAL TABLE v USING fts5(a)",
    "column": "ALTER TABLE metrics ADD COLUMN more INTEGER",
    "lost": "DROP TABLE metrics",
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_schema_is_ours_to_the_letter(name, run):
    edit(run, STATEMENTS[name])
    before = (run / "run.sqlite").read_bytes()
    for use in (jt.load, lambda at: Store(at / "run.sqlite", write=True)):
        refused(lambda use=use: use(run), run / "run.sqlite")
    assert (run / "run.sqlite").read_bytes() == before


def test_a_view_in_the_place_of_a_table_is_not_asked(run):
    edit(run, "DROP TABLE metrics")
    columns = "i AS block, i AS place, 'value' AS name, 1.0 AS value"
    edit(run, f"CREATE VIEW metrics AS {RECURSIVE.format(columns)}")
    assert "view 'metrics'" in refused(lambda: jt.load(run))


def endless(run, most):
    """Ask what never ends, with so many steps."""
    store = Store(run / "run.sqlite", write=False)
    try:
        store._size = most
        return store.ask(RECURSIVE.format("count(*)"))
    finally:
        store.close()


def test_a_query_ends(run, monkeypatch):
    monkeypatch.setattr(opening, "STEPS", 10**5)
    assert "does not end" in refused(lambda: endless(run, 10**4))


def test_a_query_hears_control_c(run):
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    with pytest.raises(KeyboardInterrupt):
        endless(run, 10**15)


def test_a_tree_of_pages_that_leads_back_is_damage(run):
    """Each child of a page is the page itself, so that a walk would never end."""
    path = run / "run.sqlite"
    data, page = bytearray(path.read_bytes()), 16384
    cells = [struct.pack(">I", 1) + bytes([1])] * 50
    head = bytes([5, 0, 0]) + struct.pack(">HH", len(cells), page - 5 * 50) + b"\0"
    head += struct.pack(">I", 1)
    pointers = b"".join(struct.pack(">H", page - 5 * (i + 1)) for i in range(50))
    data[100 : 100 + len(head + pointers)] = head + pointers
    data[page - 5 * 50 : page] = b"".join(cells)
    path.write_bytes(data)
    refused(lambda: jt.load(run), path)


def test_a_journal_that_would_delete_another_file_is_refused(run, outside):
    named = bytes(str(outside), "utf-8")
    end = named + struct.pack(">II", len(named), sum(named)) + opening.SUPER_JOURNAL
    (run / "run.sqlite-journal").write_bytes(bytes(512) + end)
    for use in (jt.load, lambda at: Store(at / "run.sqlite", write=True)):
        refused(lambda use=use: use(run), "run.sqlite-journal", "names other files")


def cut_off(run):
    """Leave a change that was cut off, its journal beside the record."""
    copy = run.parent / "cut off"
    with closing(sqlite3.connect(run / "run.sqlite", isolation_level=None)) as db:
        db.execute("PRAGMA cache_size = 1")
        db.execute("PRAGMA cache_spill = 1")
        db.execute("BEGIN")
        db.execute("UPDATE rounds SET ended = NULL")
        db.execute("UPDATE trials SET hparams = hparams || printf('%9999s', '')")
        shutil.copytree(run, copy)
        db.execute("ROLLBACK")
    changed = (copy / "run.sqlite").read_bytes() != (run / "run.sqlite").read_bytes()
    assert changed, "the change has reached the file"
    assert (copy / "run.sqlite-journal").stat().st_size
    return copy


def test_a_change_that_was_cut_off_is_not_shown(run, monkeypatch):
    scores = jt.load(run).trials.scores
    copy = cut_off(run)
    with monkeypatch.context() as patch:
        patch.setattr(opening, "_is_read_only", lambda folder: True)
        told = refused(lambda: jt.load(copy), "run.sqlite-journal")
    assert "Copy the whole folder" in told
    np.testing.assert_array_equal(jt.load(copy).trials.scores, scores)
    assert not (copy / "run.sqlite-journal").exists()


@pytest.mark.parametrize("read_only", [False, True])
def test_another_writer_is_no_read_only_medium(read_only, run, monkeypatch):
    monkeypatch.setattr(opening, "PATIENCE", 0.05)
    monkeypatch.setattr(opening, "_is_read_only", lambda folder: read_only)
    with closing(sqlite3.connect(run / "run.sqlite", isolation_level=None)) as db:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
        db.execute("UPDATE metrics SET value = 9")
        assert "another program is writing" in refused(lambda: jt.load(run))
    assert jt.load(run).finished


# --- content that cannot be decoded

DEEP = "[" * 100_000
TEXTS = {
    "no UTF-8": "CAST(X'fffe' AS TEXT)",
    "no JSON": "'{'",
    "deep": f"'{DEEP}'",
    "nothing": "'{}'",
    "a list": "'[]'",
    "null": "'null'",
    "a number": "'3'",
    "other names": """'{"x": {"low": 1}}'""",
    "beyond": """'{"x": 1e400, "how": "c", "n": 99999999999999999999}'""",
}


@pytest.mark.parametrize("where", ["rounds SET box", "trials SET hparams"])
@pytest.mark.parametrize("text", TEXTS)
def test_text_that_says_nothing_is_damage(text, where, run):
    edit(run, f"UPDATE {where} = {TEXTS[text]}")
    refused(lambda: jt.load(run), run / "run.sqlite")


ROWS = {
    "a point": "UPDATE trials SET point = X'00'",
    "points": "UPDATE trials SET point = X'0000003f'",
    "no trials": "DELETE FROM trials",
    "a trial": "DELETE FROM trials WHERE trial = 7",
    "another round": "UPDATE trials SET round = 10000000000",
    "no box": "UPDATE rounds SET round = round + 10",
    "no arrays": "UPDATE rounds SET ended = X'00'",
    "seconds": "UPDATE events SET detail = 'soon' WHERE kind = 'finished'",
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_that_do_not_fit_are_damage(name, run):
    edit(run, ROWS[name])
    refused(lambda: jt.load(run), run / "run.sqlite")


OPEN = {
    "a seed": "UPDATE lanes SET seed = 1000000000",
    "a trial": "UPDATE lanes SET trial = -77",
    "no block": "UPDATE lanes SET block = block + 7",
}


@pytest.mark.parametrize("name", OPEN)
def test_an_open_round_that_does_not_fit_is_damage(name, runs, tmp_path):
    run = without_sums(shutil.copytree(runs / "cut", tmp_path / "run"))
    edit(run, "UPDATE rounds SET ended = NULL")
    edit(run, OPEN[name])
    try:
        found = jt.load(run)
    except jt.RunError:
        return
    assert (found.trials["status"] == "waiting").all()


def replaced(tree, path, value):
    here = tree
    for name in path[:-1]:
        here = here[name]
    assert path[-1] in here
    here[path[-1]] = value


FORMS = {
    "status": (("outcome", "status"), np.full((4, 1), 77, np.int32)),
    "shape": (("outcome", "status"), np.zeros((3, 1), np.int32)),
    "seeds": (("outcome", "status"), np.zeros((4, 9), np.int32)),
    "axes": (("outcome", "epochs"), np.zeros((4, 1), np.int32)),
    "dtype": (("outcome", "metrics", "value"), np.full((4, 1), "x")),
    "points": (("final", "points"), np.zeros((4, 9), np.float32)),
    "index": (("final", "hparams", "how"), np.full(4, 2, np.int32)),
    "negative": (("final", "hparams", "how"), np.full(4, -1, np.int32)),
    "rung": (("rungs", "trial"), np.full(3, 99, np.int32)),
    "lineage": (("lineage", "source"), np.full(2, 99, np.int32)),
    "spent": (("spent",), np.zeros(9, np.int64)),
    "narrow": (("narrow", "seed"), np.zeros(9, np.int64)),
    "a leaf": (("outcome",), np.zeros(1)),
}


@pytest.mark.parametrize("name", FORMS)
def test_arrays_that_do_not_fit_together_are_damage(name, run):
    with closing(sqlite3.connect(run / "run.sqlite")) as db:
        (blob,) = db.execute("SELECT ended FROM rounds WHERE round = 0").fetchone()
    tree = from_bytes(blob)
    replaced(tree, *FORMS[name])
    edit(run, "UPDATE rounds SET ended = ? WHERE round = 0", to_bytes(tree))
    refused(lambda: jt.load(run), run / "run.sqlite")


def settings_with(**named):
    return lambda told: told.update(named)


def without(name):
    return lambda told: told.pop(name)


def in_space(**named):
    return lambda told: told["space"]["x"].update(named)


def in_rounds(**named):
    return lambda told: told["rounds"][0].update(named)


SETTINGS = {
    "schema": without("schema"),
    "schema 'x'": settings_with(schema="x"),
    "seeds": settings_with(seeds=10**9),
    "no seeds": settings_with(seeds=0),
    "seeds x folds": settings_with(seeds=10**5, folds=10**3),
    "folds": settings_with(folds=-3),
    "block": settings_with(block=2**40),
    "epochs": settings_with(epochs=-1),
    "mode": settings_with(mode="up"),
    "metric": settings_with(metric=None),
    "trials": in_rounds(trials=10**12),
    "half a trial": in_rounds(trials=0.5),
    "batches": in_rounds(batches=[0, 4]),
    "open": in_rounds(open=["nobody"]),
    "bound": in_space(low=[]),
    "order": in_space(low=5.0),
    "dtype": in_space(dtype="O"),
    "kind": in_space(kind="spiral"),
    "default": in_space(default=[]),
    "tier": in_space(tier=10**9),
    "allowed": in_space(allowed=[False]),
    "dimensions": settings_with(space={f"x{i}": 0 for i in range(3000)}),
    "key": lambda told: told["key"].update(data=[[1, 2]] * 10**4),
    "kind of key": lambda told: told["key"].update(implementation="x"),
    "sampler": settings_with(sampler={"recipe": "sobol"}),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_beyond_all_bounds_are_damage(name, run):
    edited(run, SETTINGS[name])
    refused(lambda: jt.load(run), run)


@pytest.mark.parametrize(
    "data",
    [b"\xff\xfe", DEEP.encode(), b'{"a":' * 10**5, b"9" * 10**5, b"[1", b""],
    ids=["no UTF-8", "deep", "deep dicts", "a number", "cut", "empty"],
)
def test_settings_that_are_no_json_are_damage(data, run):
    (run / "run.json").write_bytes(data)
    refused(lambda: jt.load(run), run / "run.json")


def test_a_search_that_could_not_be_read_begins_no_run(tmp_path, monkeypatch):
    monkeypatch.setitem(bounds.MOST, "trials", 7)
    own = {"key": KEY, "mode": "max", "verbose": 0, "directory": tmp_path / "run"}
    told = refused(lambda: jt.search(objective, SPACE, trials=8, **own))
    assert "rounds.0.trials: 8, and the most is 7" in told
    assert not (tmp_path / "run" / "run.json").exists()
    large = jt.Space(x=jt.uniform(0.0, 1.0), n=jt.choice([2**60, 1], static=True))
    jt.search(lambda key, h: h["x"] + (h["n"] == 1), large, trials=4, **own)
    assert len(jt.load(tmp_path / "run").trials) == 4


NETWORKS = {
    "layers": ({"max_layers": 100_000}, "max_layers.*100000"),
    "units": ({"max_units": 10**12}, "max_units"),
    "text": ({"max_units": "x"}, "cannot be made again"),
    "unknown": ({"hidden": 3}, "cannot be made again"),
    "more layers": ({"max_layers": [1] * 9}, "cannot be made again"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_beyond_all_bounds_is_refused(name, run):
    network, told = NETWORKS[name]
    edited(run, lambda was: was.update(recipe=value_document(recipe(**network))))
    x, y = np.zeros((8, 3), np.float32), np.zeros(8, np.int32)
    tree = {part: {"x": x, "y": y} for part in ("train", "valid")}
    (run / "data.npz").write_bytes(to_bytes(tree))
    with pytest.raises(jt.RunError, match=told):
        jt.load(run)


MADE = {
    "another kind": {"recipe": "zoom", "arguments": {}},
    "no argument": {"recipe": "grid", "arguments": {"points_per_dim": None}},
    "text": {"recipe": "tpe", "arguments": {"draws": "x"}},
    "os.system": {"recipe": "optuna", "arguments": {"make": "os.system"}},
}


@pytest.mark.parametrize("name", MADE)
def test_a_part_that_cannot_be_made_is_refused(name, runs, tmp_path):
    run = without_sums(shutil.copytree(runs / "cut", tmp_path / "run"))
    edited(run, settings_with(sampler=MADE[name]))
    refused(lambda: jt.resume(run, objective, verbose=0))


# --- arrays


def archive(arrays, method=zipfile.ZIP_STORED):
    """A file as `to_bytes` writes it, of bytes that it would never write."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", method) as file:
        for name, data in arrays.items():
            file.writestr(f"{name}.npy", data)
    return whole.getvalue()


def npy(array):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), allow_pickle=True)
    return file.getvalue()


def header(shape, descr):
    file = io.BytesIO()
    about = {"shape": shape, "fortran_order": False, "descr": descr}
    np.lib.format.write_array_header_1_0(file, about)
    return file.getvalue()


def listing(*paths):
    text = json.dumps([[[*path], dtype] for path, dtype in paths])
    return npy(np.frombuffer(text.encode(), np.uint8))


ONE = listing((("a",), "float32"))
ARCHIVES = {
    "8 GiB": {"header": ONE, "0": header((2**31,), "<f4") + bytes(64)},
    "more than memory": {"header": ONE, "0": header((2**60,), "<f4")},
    "overflow": {"header": ONE, "0": header((2**32, 2**32), "<f4")},
    "negative": {"header": ONE, "0": header((-1,), "<f4")},
    "nothing wide": {"header": ONE, "0": header((10**12,), "<U0")},
    "voids": {"header": ONE, "0": header((10**12,), "|V0")},
    "pointers": {"header": ONE, "0": header((1,), "|O") + bytes(8)},
    "fields": {"header": ONE, "0": header((1,), [("a", "<f4")]) + bytes(4)},
    "no header": {"0": npy(np.zeros(3, np.float32))},
    "missing": {"header": ONE},
    "to pointers": {
        "header": listing((("a",), "object")),
        "0": npy(np.zeros(1, np.int64)),
    },
    "no dtype": {"header": listing((("a",), "__doc__")), "0": npy(np.zeros(1))},
    "twice": {
        "header": listing((("a",), "float32"), (("a", "b"), "float32")),
        "0": npy(np.zeros(1, np.float32)),
        "1": npy(np.zeros(1, np.float32)),
    },
    "deep": {"header": npy(np.frombuffer(DEEP.encode(), np.uint8))},
    "no path": {"header": listing(((), "float32")), "0": npy(np.zeros(1, "f4"))},
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_arrays_that_are_not_what_they_say_are_refused(name):
    refused(lambda: from_bytes(archive(ARCHIVES[name])), "arrays of a run are damaged")


def test_arrays_that_are_compressed_or_shared_are_refused():
    bomb = archive({"header": ONE, "0": bytes(10**6)}, zipfile.ZIP_DEFLATED)
    assert "compressed" in refused(lambda: from_bytes(bomb))
    data = bytearray(to_bytes({"a": np.zeros(1000, np.float32)}))
    first = data.index(b"PK\x01\x02")
    for at in (20, 24):  # both sizes in the list of members: more than there is
        data[first + at : first + at + 4] = struct.pack("<I", 2**31)
    refused(lambda: from_bytes(bytes(data)))


TREE = to_bytes({"a": np.arange(40, dtype=np.float32), "b": {"c": np.ones(3, bool)}})


@given(st.data())
@settings(max_examples=300)
def test_any_bytes_are_arrays_or_damage(data):
    spoiled = bytearray(TREE)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(TREE) - 1))
        spoiled[at] = data.draw(st.integers(0, 255))
    end = data.draw(st.sampled_from([len(TREE), len(TREE), at]))
    try:
        found = from_bytes(bytes(spoiled[:end]))
    except jt.RunError:
        return
    leaves = jax.tree.leaves(found)
    assert sum(leaf.nbytes for leaf in leaves) <= len(TREE)


VALUES = (10**12, -1, 0, 0.5, "x", None, True, [], [[]], {}, 1e308, "\x1b[31m\u202e")


def paths_in(part, path=()):
    if path:
        yield path
    if isinstance(part, dict | list):
        named = part.items() if isinstance(part, dict) else enumerate(part)
        for name, value in named:
            yield from paths_in(value, (*path, name))


def some_of(paths):
    """Every fifth path with two of the values, all in all of them where it is slow."""
    rng = np.random.default_rng(0)
    for path in paths[:: max(1, len(paths) // 40)]:
        for value in rng.choice(len(VALUES), 2, replace=False):
            yield path, VALUES[value]


def each_of(paths):
    return ((path, value) for path in paths for value in VALUES)


@pytest.mark.filterwarnings("ignore:.*another setting of JAX")  # it is read
@pytest.mark.parametrize(
    "chosen", [some_of, pytest.param(each_of, marks=pytest.mark.slow)]
)
def test_any_settings_are_read_or_damage(chosen, run):
    signal.setitimer(signal.ITIMER_REAL, 600)
    whole, read = json.loads((run / "run.json").read_text()), 0
    for path, value in chosen(list(paths_in(whole))):
        told = json.loads(json.dumps(whole))
        replaced_at(told, path, value)
        (run / "run.json").write_text(json.dumps(told))
        try:
            terminal.summary_of(jt.load(run))
            read += 1
        except jt.RunError:
            continue
    assert read  # what is only compared when a run is resumed may be anything


def replaced_at(part, path, value):
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value


def test_only_errors_of_the_content_are_told_as_damage(tmp_path):
    path = tmp_path / "file"
    for error in (KeyError("x"), RecursionError(), MemoryError(), AssertionError("y")):
        with pytest.raises(jt.RunError, match="file is damaged") as told:
            raise_in(path, error)
        assert told.value.__cause__ is error
    with pytest.raises(KeyboardInterrupt):
        raise_in(path, KeyboardInterrupt())
    with pytest.raises(jt.RunError, match=r"^own$"):
        raise_in(Path("own"), jt.RunError("own"))
    with pytest.raises(jt.RunError, match=r"file: other\."):
        raise_in(path, jt.RunError("other."))


def raise_in(path, error):
    with decoding(path):
        raise error


def test_an_error_of_the_users_function_is_theirs(run):
    def wrong(key, hparams):
        return hparams["x"] + undefined  # noqa: F821

    with pytest.raises(NameError):
        jt.load(run, wrong)


# --- kernels


STRANGE = ["..", "a/b", "../../out", "a\x1b", ".hidden", "a" * 300]


@pytest.mark.parametrize("name", STRANGE, ids=range(len(STRANGE)))
def test_names_of_kernels_lead_nowhere(name, run, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXTUNE_CACHE", str(tmp_path / "cache"))
    with zipfile.ZipFile(run / "kernels.zip", "w") as file:
        file.writestr(name, "x")
        file.writestr("fine", "y")
    before = set(tmp_path.rglob("*"))
    load_kernels(run)
    new = {path.name for path in set(tmp_path.rglob("*")) - before if path.is_file()}
    assert new == {"fine"}


# --- what is printed and exported

EVIL = "\x1b]0;owned\x07\x1b[2J\u202egnp.\u2066\x9b\n\udc80"


def test_text_is_printed_and_not_obeyed():
    shown = printable(EVIL)
    assert shown.isascii()
    assert "\\x1b" in shown
    assert "\\u202e" in shown
    assert printable("Größe 2×3 [red] 名 é") == "Größe 2×3 [red] 名 é"


def test_names_of_a_run_are_printed_and_not_obeyed(run):
    def rename(told):
        told["metric"] = f"loss {EVIL}"
        told["space"]["how"]["choices"] = [EVIL, "b"]

    edited(run, rename)
    text = json.dumps([EVIL, "b"])[1:-1].split(", ")[0]
    edit(run, "UPDATE trials SET hparams = replace(hparams, '\"a\"', ?)", text)
    for words in (["show"], ["show", "--json"], ["rerun"], ["resume"], ["extend"]):
        more = {"rerun": ["0"], "extend": ["--trials", "1"]}.get(words[0], [])
        said = CliRunner().invoke(main, [*words, str(run), *more])
        assert said.exit_code in (0, 2), said.exception
        assert printable(said.output.replace("\n", "")) == said.output.replace("\n", "")
    assert "\\x1b[2J" in CliRunner().invoke(main, ["show", str(run)]).output


def test_a_cell_is_no_formula(tmp_path):
    values = ["=1+1", "@sum", "+a", "-b", "\t=2", "-3", "plain", None, 4, True]
    space = jt.Space(x=jt.uniform(0.0, 1.0), how=jt.choice(values))
    found = jt.search(
        lambda key, hparams: (hparams["how"] == "plain") - hparams["x"],
        space,
        key=KEY,
        trials=40,
        mode="max",
        verbose=0,
    )
    where = jt.integrations.export(found, "csv", tmp_path / "table.csv")
    with Path(where).open(newline="") as file:
        rows = list(csv.DictReader(file))
    shown = [row["how"] for row in rows]
    plain = ["" if value is None else str(value) for value in found.trials["how"]]
    for cell, value in zip(shown, plain, strict=True):
        formula = value in ("=1+1", "@sum", "+a", "-b", "\t=2")
        assert cell == (f"'{value}" if formula else value)
    # numbers are numbers, negative ones too
    scores = np.asarray([float(row["score"]) for row in rows], np.float32)
    np.testing.assert_array_equal(scores, found.trials["score"])


def test_a_cache_that_others_can_write_to_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.SWITCH, str(tmp_path))
    folder = tmp_path / cache.machine()
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.warns(UserWarning, match="everybody can write to it"):
        assert cache.folder() is None


# --- saved models


@pytest.mark.parametrize("make", [fifo, link, device])
def test_a_model_is_of_regular_files(make, outside, tmp_path):
    if make is not link:
        make(tmp_path / "a.safetensors", outside)
        with pytest.raises(ValueError, match="no regular file"):
            jt.load_model(tmp_path / "a.safetensors")
    (tmp_path / "model").mkdir()
    make(tmp_path / "model" / "jaxtune.json", outside)
    with pytest.raises(ValueError, match="a link, a pipe or a device"):
        jt.load_model(tmp_path / "model")


MODELS = {
    "deep": DEEP,
    "no UTF-8": "\udcff",
    "8 GiB": json.dumps({"arrays": [["a"]], "forms": [[[2**31], "float32"]]}),
    "negative": json.dumps({"arrays": [["a"]], "forms": [[[-1], "float32"]]}),
    "nothing": "{}",
}


@pytest.mark.parametrize("name", MODELS)
def test_a_models_document_may_say_anything(name, tmp_path):
    text = MODELS[name].encode("utf-8", "surrogateescape")
    (tmp_path / "jaxtune.json").write_bytes(text)
    told = r"no model of jaxtune.*arrays of" if "forms" in MODELS[name] else "no model"
    with pytest.raises(ValueError, match=told):
        jt.load_model(tmp_path)
