"""Processes that run the same program, over gloo, on this machine."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import children
import killed
import moments
import podded
import pytest

import jaxtune as jt

LONG = [(2, "none"), (2, "pbt"), (4, "none"), (4, "halving"), (4, "asha")]
CHILD = Path(__file__).with_name("podded.py")


def begun(count, scheduler, directory="", keys=None, **environment):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    plain = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    plain |= {"text": True}
    plain["env"] = children.environment(**children.QUIET, **environment)
    return [
        subprocess.Popen(
            [
                *(sys.executable, str(CHILD), str(port), str(count), str(index)),
                *(scheduler, str(directory), *([str(keys[index])] if keys else [])),
            ],
            **plain,
        )
        for index in range(count)
    ]


def said(processes):
    both = [process.communicate(timeout=moments.HANG) for process in processes]
    failed = [err for p, (_, err) in zip(processes, both, strict=True) if p.returncode]
    assert not failed, failed[0][-3000:]
    return [out.splitlines()[-1].split() for out, _ in both]  # gloo talks, too


@pytest.mark.parametrize(
    ("count", "scheduler"),
    [
        (4, "pbt"),
        *[pytest.param(*case, marks=pytest.mark.slow) for case in LONG],
    ],
)
def test_two_or_four_processes_end_in_the_same_table(count, scheduler, tmp_path):
    """In all of them; the first one writes and tells."""
    expected = killed.digest(podded.search(scheduler))
    run = tmp_path / "run"
    told = said(begun(count, scheduler, run))
    assert [digest for digest, _ in told] == [expected] * count
    assert [heard for _, heard in told] == ["True"] + ["False"] * (count - 1)
    assert killed.digest(jt.load(run)) == expected


def test_all_processes_stop_after_the_same_block(tmp_path, monkeypatch):
    monkeypatch.setenv("PODDED_STOP", "20")
    single = podded.search("none", stop=podded.enough)
    assert not single.finished
    told = said(begun(2, "none", tmp_path / "run", PODDED_STOP="20"))
    assert [digest for digest, _ in told] == [killed.digest(single)] * 2
    loaded = jt.load(tmp_path / "run", killed.line())
    assert loaded.stopped == single.stopped
    assert killed.digest(loaded) == killed.digest(single)


def test_when_one_dies_all_stop_and_then_go_on(tmp_path):
    """The first is held at its third block until the second is dead."""
    run = tmp_path / "run"
    first, second = begun(2, "none", run, PODDED_HOLD="3")
    for line in first.stdout:  # gloo talks, too
        if line == "held\n":
            break
    second.kill()
    second.communicate()
    _, error = first.communicate("\n", timeout=moments.HANG)
    assert first.returncode != 0, error[-3000:]
    assert 3 <= killed.done_blocks(run / "run.sqlite") < 30
    told = said(begun(2, "none", run))
    expected = killed.digest(podded.search("none"))
    assert [digest for digest, _ in told] == [expected] * 2
    # whoever asks afterwards is told the same
    assert killed.digest(jt.resume(run, killed.line())) == expected


def test_a_signal_ends_all_after_the_same_block_and_then_they_go_on(tmp_path):
    """Only the second hears it: the first stands in a callback, and is told later."""
    run = tmp_path / "run"
    first, second = begun(2, "none", run, PODDED_HOLD="3")
    for line in first.stdout:
        if line == "held\n":
            break
    second.send_signal(signal.SIGTERM)
    _, told = first.communicate("\n", timeout=moments.HANG)
    assert first.returncode == 143, told[-3000:]
    assert f"Resume with: jaxtune resume {run}" in told
    told = second.communicate(timeout=moments.HANG)[1]
    assert second.returncode == 143, told[-3000:]
    assert "the first process keeps the run" in told
    assert 3 <= killed.done_blocks(run / "run.sqlite") < 30
    expected = killed.digest(podded.search("none"))
    assert killed.digest(jt.resume(run, killed.line())) == expected


def test_processes_of_different_searches_are_told_so():
    processes = begun(2, "none", keys=[3, 4])
    errors = [process.communicate(timeout=moments.HANG)[1] for process in processes]
    assert all("the processes ask for different blocks" in err for err in errors)
