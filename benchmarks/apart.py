"""Measure in a process of its own, so that memory and caches do not mix.

A child prints a row whenever it knows more; if it hangs or takes too long, it is ended,
and the last of its rows counts.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from typing import NamedTuple


class Done(NamedTuple):
    """What a child has left.

    Args:
      rows: that it has printed, as JSON.
      state: ``"done"``, ``"failed"``, or ``"cut off"`` if it was ended.
      said: the end of what it wrote beside the rows, if it failed.
    """

    rows: list
    state: str
    said: str = ""


def rows_of(command, deadline, environment=None):
    """Run a command until it ends or a deadline has come, and return what it has left.

    Args:
      command: a program with its arguments, which prints rows.
      deadline: seconds until the program, and all that it has started, is ended.
      environment: variables of the program; those of this process if not given.
    """
    # files, as a pipe stays open as long as one of the processes that got it
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as said:
        streams = {"stdout": printed, "stderr": said, "stdin": subprocess.DEVNULL}
        child = subprocess.Popen(
            command, **streams, env=environment, start_new_session=True
        )
        try:
            failed = child.wait(deadline) != 0
            state = "failed" if failed else "done"
        except subprocess.TimeoutExpired:
            state = "cut off"
        finally:  # also when this process is interrupted
            end_all(child)
        printed.seek(0)
        said.seek(0)
        why = said.read().decode(errors="replace") if state == "failed" else ""
        return Done(all_rows(printed.read()), state, why[-2000:])


def end_all(child):
    """End a child with all that it has started."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # all have ended
    finally:
        child.wait()


def measure(script, work, deadline):
    """Return the last row that a script prints when it is given some work.

    Args:
      script: a file that calls `serve`.
      work: what `serve` passes on, as JSON.
      deadline: seconds until the child is ended.

    Returns:
      The row; ``{"ended": deadline}`` is added to it if the child was ended.

    Raises:
      RuntimeError: the child failed; the message is what it said.
    """
    # with a cache the first search of a process would not compile
    environment = {**os.environ, "JAXTUNE_CACHE": "off"}
    command = [sys.executable, str(script), "--child", json.dumps(work)]
    done = rows_of(command, deadline, environment)
    if done.state == "failed":
        raise RuntimeError(f"{work}: {done.said}")
    row = done.rows[-1] if done.rows else {}
    return row | ({"ended": deadline} if done.state == "cut off" else {})


def all_rows(printed):
    """Return the rows of a child's output."""
    # a child that was ended may have printed a part of a line, and others print too
    lines = [line for line in printed.splitlines() if line[:1] + line[-1:] == b"{}"]
    return [json.loads(line) for line in lines]


def serve(functions):
    """Do the work of a child, and return true; return false in the parent.

    Args:
      functions: name to a generator function of rows; the work names one in ``do``, and
        the rest are its keywords.
    """
    if "--child" not in sys.argv:
        return False
    work = json.loads(sys.argv[sys.argv.index("--child") + 1])
    for row in functions[work.pop("do")](**work):
        print(json.dumps(row), flush=True)
    return True


def note(text):
    """Say how far a measurement is, beside the tables."""
    print(text, file=sys.stderr, flush=True)


def table(head, rows):
    """Print a table in Markdown; a number gets three digits, ``None`` nothing."""
    print("\n| " + " | ".join(head) + " |")
    print("| " + " | ".join(["---"] * len(head)) + " |")
    for row in rows:
        print("| " + " | ".join(map(shown, row)) + " |")


def shown(value):
    """Return a cell of a table."""
    if not isinstance(value, float):
        return "" if value is None else str(value)
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
