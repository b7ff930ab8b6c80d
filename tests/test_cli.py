"""The command line, run as a newcomer runs it."""

import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments, cwd=None):
    code = "from jaxtune.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
    )


def test_help_and_version():
    done = run("--help")
    assert done.returncode == 0
    assert "demo" in done.stdout
    assert run("--version").stdout.strip().endswith("0.1.0")


def test_an_unknown_command_is_refused():
    done = run("dmeo")
    assert done.returncode == 2
    assert "dmeo" in done.stderr


@pytest.mark.parametrize("script", [False, True])
def test_the_demo_searches_zooms_and_reports(tmp_path, script):
    if script:
        path = Path(__file__).parents[1] / "experiments" / "digits.py"
        command = [sys.executable, str(path), "--out", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True)
    else:
        done = run("demo", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert all(line.startswith("round ") for line in lines)
    assert "256 of 256 full trials" in lines[-1]
    for number in (1, 2, 3, 4):
        assert f"round {number}: best loss" in done.stdout
    accuracy = done.stdout.split(" test")[0].split()[-1]
    assert float(accuracy) > 0.96
    assert (tmp_path / "digits.png").stat().st_size > 10_000
    assert "Best loss" in (tmp_path / "digits.html").read_text()
