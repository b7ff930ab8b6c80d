"""The commands on run directories, as a user calls them."""

import json
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import moments
import numpy as np
import pytest
from children import QUIET, environment, interruptible
from click.testing import CliRunner
from editing import without_sums
from killed import done_blocks

import jaxtune as jt
from jaxtune.cli import main
from jaxtune.scripts import check_not_reading, names_of
from jaxtune.storage.arrays import from_bytes, to_bytes

SPACE = jt.Space(
    learning_rate=jt.log_uniform(1e-3, 0.5), momentum=jt.reverse_log_uniform(0.5, 0.99)
)


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def finished(tmp_path_factory, small_task):
    at = tmp_path_factory.mktemp("runs") / "run"
    arguments = {
        "key": jax.random.key(0),
        "trials": 12,
        "rounds": 2,
        "epochs": 2,
        "sampler": "sobol",
    }
    jt.search(small_task, SPACE, **arguments, directory=at)
    return at


def test_show_says_what_was_found(finished):
    shown = call("show", finished, "--top", 3)
    assert shown.exit_code == 0
    best = jt.load(finished).best
    assert "12 of 12 trials done: 12 ok, 0 failed. Finished." in shown.output
    assert "The best 3 of 12 trials that have a score" in shown.output
    assert f"{best.score:.5g}" in shown.output
    assert "learning_rate" in shown.output


def test_json_is_the_result_for_a_pipe(finished):
    result = jt.load(finished)
    shown = json.loads(call("show", finished, "--top", 3, "--json").output)
    assert shown["finished"] is True
    assert shown["trials"] == shown["of"] == sum(shown["status"].values()) == 12
    assert len(shown["best"]) == 3
    assert shown["best"][0] == result.trials.row(result.best.trial)
    for box, space in zip(shown["boxes"], result.spaces, strict=True):
        assert {name: tuple(ends) for name, ends in box.items()} == space.bounds
    told = json.loads(call("rerun", finished, 5, "--json").output)
    assert told["same"] is True
    assert told["again"] == told["recorded"]
    assert told["again"]["loss"] == [result.trials["loss"][5]]


def test_json_has_no_nan(tmp_path):
    space = jt.Space(
        kind=jt.choice(["a", ("b", 1)]), x=jt.when(jt.uniform(0, 1), kind="a")
    )
    jt.search(
        lambda key, h: h["kind"].index + h["x"],
        space,
        key=jax.random.key(0),
        trials=8,
        mode="min",
        directory=tmp_path / "run",
        verbose=0,
        sampler="sobol",
    )
    words = call("show", tmp_path / "run", "--json").output
    assert "NaN" not in words
    told = json.loads(words)
    assert told["boxes"][0]["kind"] == ["a", ["b", 1]]
    assert {row["x"] is None for row in told["best"] if row["kind"] != "a"} == {True}


def test_resume_of_a_finished_run_prints_the_result(finished):
    shown = call("resume", finished)
    assert shown.exit_code == 0
    assert repr(jt.load(finished)) in shown.output


def test_rerun_is_equal_or_exits_with_1(finished, tmp_path):
    for trial in range(12):
        shown = call("rerun", finished, trial)
        assert shown.exit_code == 0, shown.output
        assert "again to the bit" in shown.output
    copy = without_sums(shutil.copytree(finished, tmp_path / "copy"))
    db = sqlite3.connect(copy / "run.sqlite")
    (blob,) = db.execute("SELECT ended FROM rounds WHERE round = 1").fetchone()
    tree = from_bytes(blob)
    tree["outcome"]["metrics"]["loss"][2] *= np.float32(1 + 2**-23)
    db.execute("UPDATE rounds SET ended = ? WHERE round = 1", (to_bytes(tree),))
    db.commit()
    db.close()
    shown = call("rerun", copy, 8)
    assert shown.exit_code == 1
    assert shown.output.count("recorded") == shown.output.count("now") == 2


def test_report_writes_the_page_of_the_search(finished, tmp_path):
    shown = call("report", finished, "--out", tmp_path / "page.html")
    assert shown.exit_code == 0
    page = (tmp_path / "page.html").read_text()
    assert page == Path(jt.load(finished).report(tmp_path / "other.html")).read_text()
    assert call("report", finished).exit_code == 0
    assert (finished / "report.html").read_text() == page


def test_a_report_that_cannot_be_written_says_where_else(finished, tmp_path):
    refused = call("report", finished, "--out", tmp_path / "missing" / "page.html")
    assert refused.exit_code == 2
    assert "page.html cannot be written (No such file" in refused.output
    assert "Use --out FILE" in refused.output


SCRIPT = """
import os

import jax
import moments

import jaxtune as jt

SPACE = jt.Space(x=jt.uniform(0.0, 1.0))
GATE = float(os.environ.get("GATE", "1"))


def pass_gate(x):
    if x > GATE:
        moments.wait_until(lambda: os.path.exists("open"), "the gate")


def objective(key, hparams):
    jax.debug.callback(pass_gate, hparams["x"])
    return hparams["x"]


if __name__ == "__main__":
    arguments = {"key": jax.random.key(0), "trials": 64, "mode": "max", "block": 4}
    grid = jt.samplers.grid(64)
    jt.search(objective, SPACE, sampler=grid, **arguments, directory="run")
"""


def interrupted(command, folder, gate, wanted):
    """Interrupt a script when so many blocks are on record; others stand at a gate."""
    (folder / "open").unlink(missing_ok=True)
    with subprocess.Popen(
        interruptible(*command),
        cwd=folder,
        env=environment(GATE=str(gate), **QUIET),
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        moments.wait_until(
            lambda: (
                done_blocks(folder / "run" / "run.sqlite") >= wanted
                or child.poll() is not None
            ),
            f"{wanted} blocks",
        )
        child.send_signal(signal.SIGINT)
        (folder / "open").touch()
        said = child.communicate(timeout=moments.HANG)[1]
    return child.returncode, said


def test_a_script_is_interrupted_looked_at_and_gone_on_with(tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    code, said = interrupted(["train.py"], tmp_path, gate=0.3, wanted=4)
    assert code == -signal.SIGINT, said
    assert f"Resume with: jaxtune resume {tmp_path / 'run'} --task" in said
    shown = call("show", tmp_path / "run")
    assert "Not finished" in shown.output
    assert "waiting" in shown.output
    refused = call("resume", tmp_path / "run")
    assert refused.exit_code == 2
    assert "--task FILE.py:NAME" in refused.output
    own = [tmp_path / "run", "--task", f"{tmp_path / 'train.py'}:objective"]
    command = ["-m", "jaxtune", "resume", *map(str, own)]
    code, said = interrupted(command, tmp_path, gate=0.6, wanted=9)
    assert code == 130, said
    assert "Interrupted" in said
    assert "Traceback" not in said
    again = call("rerun", own[0], 3, *own[1:])
    assert again.exit_code == 0, again.output


UNGUARDED = """
import jax

import jaxtune as jt


def objective(key, hparams):
    return hparams["x"]


space = jt.Space(x=jt.uniform(0.0, 1.0))
arguments = {"key": jax.random.key(0), "trials": 8, "mode": "max", "sampler": "sobol"}
jt.search(objective, space, directory="run", **arguments)
"""


@pytest.mark.parametrize("command", ["resume", "rerun", "extend"])
def test_a_script_that_searches_where_it_is_read_is_refused(
    command, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text(UNGUARDED)
    exec(compile(UNGUARDED, "train.py", "exec"), {"__name__": "__main__"})
    words = {"rerun": [3], "extend": ["--trials", 4]}.get(command, [])
    own = ["run", *words, "--task", "train.py:objective"]
    refused = call(command, *own)
    assert refused.exit_code == 2
    assert "train.py: it begins a search while it is read" in refused.output
    guard = 'if __name__ == "__main__":'
    assert f"`{guard}`" in refused.output  # the way out
    Path("train.py").write_text(
        UNGUARDED.replace("jt.search", f"{guard}\n    jt.search")
    )
    done = call(command, *own)
    assert done.exit_code == 0, done.output


WITH_THREADS = """
import threading
from jaxtune.checks import RunError
from jaxtune.scripts import check_not_reading

said, over = [], threading.Event()

def begin():
    try:
        check_not_reading()
        said.append("")
    except RunError as error:
        said.append(str(error))

def later():
    over.wait()
    begin()

at_once, at_last = threading.Thread(target=begin), threading.Thread(target=later)
at_once.start()
at_once.join()
at_last.start()
"""


def test_a_search_in_a_thread_of_a_script_that_is_read_is_refused(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(WITH_THREADS)
    names = names_of(str(path))
    names["over"].set()  # when the script has been read
    names["at_last"].join()
    at_once, at_last = names["said"]
    assert at_once == at_last
    assert "it begins a search while it is read" in at_once
    check_not_reading()  # which may search now


def test_a_thread_from_before_may_search_while_a_script_is_read(tmp_path, monkeypatch):
    path, asked, found = tmp_path / "train.py", threading.Event(), []

    def search():
        asked.wait()
        try:
            check_not_reading()
        except jt.RunError as error:
            found.append(error)

    other = threading.Thread(target=search)
    other.start()
    monkeypatch.setattr(threading, "meanwhile", (asked.set, other.join), raising=False)
    path.write_text("import threading\n[do() for do in threading.meanwhile]\n")
    names_of(str(path))
    assert not other.is_alive()
    assert not found


def test_names_and_values_are_escaped_and_nothing_listens(tmp_path, monkeypatch):
    evil = "<script>alert(1)</script>"
    space = jt.Space(
        x=jt.uniform(0.0, 1.0),
        how=jt.choice([evil, "[red]b[/red]", '"&amp;'], static=True),
    )

    def objective(key, hparams):
        return hparams["x"] + jnp.where(hparams["how"] == evil, 1.0, 0.0)

    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    at = tmp_path / "run"
    arguments = {
        "key": jax.random.key(0),
        "trials": 12,
        "mode": "max",
        "sampler": "sobol",
    }
    jt.search(objective, space, **arguments, directory=at)
    page = Path(jt.load(at).report(tmp_path / "page.html")).read_text()
    assert evil not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "[red]b[/red]" in call("show", at).output


def test_files_stay_inside_the_directory(tmp_path):
    before = set(tmp_path.rglob("*"))
    at = tmp_path / "run"
    arguments = {"key": jax.random.key(0), "trials": 4, "mode": "max"}
    space = SPACE.keep("learning_rate")
    jt.search(lambda key, h: h["learning_rate"], space, **arguments, directory=at)
    new = set(tmp_path.rglob("*")) - before
    assert all(path == at or path.parent == at for path in new)
    assert {path.name for path in at.iterdir()} == {
        "run.json",
        "run.lock",
        "run.sqlite",
    }
