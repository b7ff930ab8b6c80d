"""Measure in a process of its own, so that memory and caches do not mix.

A child prints a row whenever it knows more; if it hangs or takes too long, it is ended,
and the last of its rows counts.
"""

import json
import os
import subprocess
import sys


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
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=deadline, env=environment, check=False
        )
    except subprocess.TimeoutExpired as late:
        return last_row(late.stdout) | {"ended": deadline}
    if done.returncode != 0:
        raise RuntimeError(f"{work}: {done.stderr.decode()}")
    return last_row(done.stdout)


def last_row(printed):
    """Return the last row of a child's output, empty if there is none."""
    # a child that was ended may have printed a part of a line
    lines = [line for line in (printed or b"").splitlines() if line.endswith(b"}")]
    return json.loads(lines[-1]) if lines else {}


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
