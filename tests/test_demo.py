"""The demo: its folder is a run, it survives kill -9, and what it prints works."""

import shlex
import signal
import subprocess
import sys
from pathlib import Path

import jax
import moments
import pytest
from children import QUIET, environment
from click.testing import CliRunner
from killed import digest

import jaxtune as jt
from jaxtune.cli import main

EXPERIMENTS = Path(__file__).parents[1] / "experiments"

# killed.py counts the moments between which the disk does not change
CHILD = f"""
import sys
from pathlib import Path

from killed import Moments

from jaxtune.storage import writer

sys.path.insert(0, {str(EXPERIMENTS)!r})
import digits

folder, number = sys.argv[1:]
writer.PATIENCE = 0
moments = Moments(folder, "search", number)
digits.main(Path(folder), trials=40, epochs=1)
print(moments.counts["search"], file=sys.stderr)
"""


def demo(folder, number=10**9):
    """Return what a small demo prints, and how many moments it has; killed before one.

    Args:
      folder: the run directory.
      number: of the moment.
    """
    done = subprocess.run(
        [sys.executable, "-c", CHILD, folder, str(number)],
        env=environment(**QUIET),
        capture_output=True,
        text=True,
        timeout=moments.HANG,
    )
    ended = done.returncode == 0
    assert ended or done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout, int(done.stderr.split()[-1]) if ended else None


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "a run"
    return folder, *demo(folder)


@pytest.mark.parametrize("share", [0.4, 0.99], ids=["search", "pictures"])
def test_a_demo_that_was_killed_goes_on_and_ends_in_the_same_table(
    share, whole, tmp_path
):
    folder, said, count = whole
    again = tmp_path / folder.name
    assert demo(again, int(share * count))[1] is None
    assert (again / "run.json").exists()
    assert not (again / "digits.html").exists()
    words, _ = demo(again)
    # the commands are padded, and paths differ in length
    assert words.split() == said.replace(str(folder.parent), str(tmp_path)).split()
    assert digest(jt.load(again)) == digest(jt.load(folder))
    picture = "digits.png"  # the page also says how long it took
    assert (again / picture).read_bytes() == (folder / picture).read_bytes()
    assert (again / "digits.html").exists()


def test_every_command_that_the_demo_prints_works(whole, tmp_path, monkeypatch):
    _, said, _ = whole
    monkeypatch.chdir(tmp_path)  # not in the folder of the demo
    lines = [line for line in said.splitlines() if line.strip().startswith("jaxtune ")]
    (watch, directory), *commands = [
        shlex.split(line, comments=True)[1:] for line in lines
    ]
    assert watch == "watch"
    with jt.watch(directory, port=0, open_browser=False) as page:  # without an end
        assert page.url
    assert {"show", "rerun", "train", "export", "report", "resume"} <= {
        command[0] for command in commands
    }
    for command in commands:
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, (command, done.output)


def test_a_folder_with_another_run_is_refused(tmp_path):
    jt.search(
        lambda key, hparams: hparams["x"],
        jt.Space(x=jt.uniform(0.0, 1.0)),
        key=jax.random.key(0),
        trials=8,
        mode="max",
        directory=tmp_path / "run",
    )
    before = sorted(path.name for path in (tmp_path / "run").iterdir())
    done = CliRunner().invoke(main, ["demo", "--out", str(tmp_path / "run")])
    assert done.exit_code == 2
    assert "or another directory" in done.output
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == before
