"""kill -9 at random moments: no trial lost, no directory damaged, the same table."""

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from killed import SCHEDULERS, digest, search

import jaxtune as jt

CHILD = Path(__file__).with_name("killed.py")


class Tally:
    """What happened to the children."""

    def __init__(self):
        self.kills = self.searching = self.reporting = self.finished = 0


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


def child(directory, name, cache):
    command = [sys.executable, str(CHILD), str(directory), name, str(cache)]
    # XLA warns at length about each program that it takes from the cache
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)


def killed(directory, name, cache, delay, tally, at="search"):
    """Kill a child some time after it comes to a stage; whether it came to its end."""
    with child(directory, name, cache) as process:
        for said in process.stdout:
            if said.strip() == at:
                break
        time.sleep(delay)
        ended = process.poll() is not None
        process.kill()
        rest = process.stdout.read()
    if not ended:
        tally.kills += 1
        tally.searching += "report" not in rest and at == "search"
        tally.reporting += at == "report" or "report" in rest
    return ended


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


def survive(name, tmp_path, wanted, rng, tally):
    """Kill runs of one scheduler until there are enough kills."""
    straight = digest(search(None, name))
    cache = tmp_path / "cache"
    number = 0
    while tally.kills < wanted:
        number += 1
        directory, before = tmp_path / f"run{number}", set()
        while tally.kills < wanted:
            at = "report" if rng.random() < 0.1 else "search"
            ended = killed(directory, name, cache, rng.uniform(0, 1.0), tally, at)
            before = check(directory, before)
            if ended:
                break
        with child(directory, name, cache) as process:
            said = process.stdout.read().split()
        assert said[-1] == straight
        check(directory, before)
        assert digest(jt.load(directory)) == straight
        tally.finished += 1


def test_a_few_kills(tmp_path):
    tally = Tally()
    survive("pbt", tmp_path, 5, np.random.default_rng(0), tally)
    assert tally.kills == 5


@pytest.mark.slow
def test_a_hundred_kills(tmp_path):
    tally = Tally()
    for number, name in enumerate(SCHEDULERS):
        rng = np.random.default_rng(number)
        survive(name, tmp_path / name, 26 * (number + 1), rng, tally)
    print(vars(tally))
    assert tally.kills >= 104
