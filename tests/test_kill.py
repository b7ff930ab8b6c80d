"""kill -9 at any moment: no trial lost, no directory damaged, the same table."""

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import moments
import numpy as np
import pytest
from children import QUIET, environment
from killed import SCHEDULERS, digest, search

import jaxtune as jt

CHILD = Path(__file__).with_name("killed.py")


def rows(directory):
    """Every measured lane on record, as a set."""
    path = directory / "run.sqlite"
    if not (directory / "run.json").exists():
        return set()
    db = sqlite3.connect(path)
    query = "SELECT * FROM lanes LEFT JOIN metrics USING (block, place)"
    found = set(db.execute(query))
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    return found


def child(directory, name, cache, *last):
    """Return what a child printed at its end; nothing if it was killed before."""
    command = [sys.executable, CHILD, directory, name, cache, *last]
    done = subprocess.run(
        list(map(str, command)),
        env=environment(**QUIET),
        stdout=subprocess.PIPE,
        text=True,
        timeout=moments.HANG,
    )
    assert done.returncode in (0, -signal.SIGKILL)
    return done.stdout.splitlines()[-1].split() if done.returncode == 0 else []


def check(directory, before):
    """Nothing that was on record is gone or changed, and it can be read."""
    now = rows(directory)
    assert before <= now, "a trial was lost"
    page = directory.with_suffix(".html")
    if page.exists():
        assert page.read_text().endswith("</html>\n")
    if now:
        jt.load(directory)
    return now


def survive(name, tmp_path, wanted, rng):
    """Kill runs of one scheduler until there are enough kills; return them by stage."""
    straight, cache = digest(search(None, name)), tmp_path / "cache"
    found, *counts = child(tmp_path / "whole", name, cache)
    assert found == straight
    most = dict(zip(("search", "report"), map(int, counts), strict=True))
    assert most["search"] > 100
    assert most["report"] > 0
    kills, number = {"search": 0, "report": 0}, 0
    while sum(kills.values()) < wanted:
        number += 1
        directory, before = tmp_path / f"run{number}", set()
        while sum(kills.values()) < wanted:
            stage = "report" if sum(kills.values()) % 4 == 3 else "search"
            ended = child(directory, name, cache, stage, rng.integers(most[stage]))
            before = check(directory, before)
            if ended:  # little was left to do, so it did not come to that moment
                break
            kills[stage] += 1
        said, *_ = child(directory, name, cache, "search", 10**9)
        assert said == straight
        check(directory, before)
        assert digest(jt.load(directory)) == straight
    return kills


def test_a_few_kills(tmp_path):
    kills = survive("pbt", tmp_path, 4, np.random.default_rng(0))
    assert kills == {"search": 3, "report": 1}


@pytest.mark.slow
def test_a_hundred_kills(tmp_path):
    for number, name in enumerate(SCHEDULERS):
        kills = survive(name, tmp_path / name, 26, np.random.default_rng(number))
        print(name, kills)
        assert sum(kills.values()) == 26
