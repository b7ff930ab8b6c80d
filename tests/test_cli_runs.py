"""The commands on run directories, as a user calls them."""

import json
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner
from killed import interruptible

import jaxtune as jt
from jaxtune.cli import main
from jaxtune.storage.arrays import from_bytes, to_bytes

SPACE = jt.Space(
    learning_rate=jt.log_uniform(1e-3, 0.5), momentum=jt.reverse_log_uniform(0.5, 0.99)
)


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def finished(tmp_path_factory, small_task):
    at = tmp_path_factory.mktemp("runs") / "run"
    arguments = {"key": jax.random.key(0), "trials": 12, "rounds": 2, "epochs": 2}
    jt.search(small_task, SPACE, **arguments, directory=at)
    return at


def test_show_says_what_was_found(finished):
    shown = call("show", finished, "--top", 3)
    assert shown.exit_code == 0
    best = jt.load(finished).best
    assert "12 of 12 trials, finished" in shown.output
    assert "The best 3 of 12 trials" in shown.output
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
        lambda key, h: h["kind"] + h["x"],
        space,
        key=jax.random.key(0),
        trials=8,
        mode="min",
        directory=tmp_path / "run",
        verbose=0,
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
    db = sqlite3.connect(finished / "run.sqlite")
    (blob,) = db.execute("SELECT ended FROM rounds WHERE round = 1").fetchone()
    tree = from_bytes(blob)
    tree["outcome"]["metrics"]["loss"][2] *= np.float32(1 + 2**-23)
    db.execute("UPDATE rounds SET ended = ? WHERE round = 1", (to_bytes(tree),))
    db.commit()
    shown = call("rerun", finished, 8)
    assert shown.exit_code == 1
    assert shown.output.count("recorded") == shown.output.count("now") == 2
    db.execute("UPDATE rounds SET ended = ? WHERE round = 1", (blob,))
    db.commit()
    db.close()


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
import jax
import jax.numpy as jnp

import jaxtune as jt

SPACE = jt.Space(x=jt.uniform(0.0, 1.0), slow=jt.fixed({slow}))


def objective(key, hparams):
    def add(i, total):
        return total + jnp.sin(hparams["x"] + i)

    return jax.lax.fori_loop(0, hparams["slow"], add, 0.0)


if __name__ == "__main__":
    arguments = {{"key": jax.random.key(0), "trials": 4096, "mode": "max", "block": 16}}
    jt.search(objective, SPACE, **arguments, directory="run")
"""


def test_a_script_is_interrupted_looked_at_and_gone_on_with(tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT.format(slow=20_000))
    python = {"cwd": tmp_path, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(interruptible("train.py"), **python) as child:
        wait_for_blocks(tmp_path / "run" / "run.sqlite")
        child.send_signal(signal.SIGINT)
        said = child.communicate(timeout=60)[1]
    assert child.returncode == -signal.SIGINT, said
    assert "Resume with: jaxtune resume run" in said
    shown = call("show", tmp_path / "run")
    assert "not finished" in shown.output
    assert "waiting" in shown.output
    refused = call("resume", tmp_path / "run")
    assert refused.exit_code == 2
    assert "--task FILE.py:NAME" in refused.output
    own = [tmp_path / "run", "--task", f"{tmp_path / 'train.py'}:objective"]
    command = interruptible("-m", "jaxtune", "resume", *map(str, own))
    before = blocks(tmp_path / "run" / "run.sqlite")
    with subprocess.Popen(command, **python) as child:
        wait_for_blocks(tmp_path / "run" / "run.sqlite", before + 2)
        child.send_signal(signal.SIGINT)
        said = child.communicate(timeout=60)[1]
    assert child.returncode == 130, said
    assert "Interrupted" in said
    assert "Traceback" not in said
    again = call("rerun", own[0], 3, *own[1:])
    assert again.exit_code == 0, again.output


def blocks(path):
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
            return db.execute("SELECT count(*) FROM blocks").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def wait_for_blocks(path, wanted=2):
    for _ in range(600):
        if blocks(path) >= wanted:
            return
        time.sleep(0.05)
    raise AssertionError("nothing was recorded")


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
    arguments = {"key": jax.random.key(0), "trials": 12, "mode": "max"}
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
