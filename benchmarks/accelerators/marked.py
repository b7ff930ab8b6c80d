"""The tests that are worth running on an accelerator, with failures by name."""

import os
import re
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from . import row

ROOT = Path(__file__).parents[2]
# "[gw0] [ 10%] PASSED tests/…" with several processes, "tests/… PASSED [ 10%]" with one
ENDED = re.compile(
    r"(?:\[gw\d+\] \[ *\d+%\] (?P<state>[A-Z]+) (?P<test>tests/.+?)"
    r"|(?P<alone>tests/.+?) (?P<one>[A-Z]+)(?: \(.*\))? +\[ *\d+%\]) *$"
)
WHY = re.compile(r"(?:FAILED|ERROR) (?P<test>\S.*?) - (?P<why>.*)$")
BAD = ("FAILED", "ERROR")
OFTEN = 10  # tests between two counts, of which the last one known is shown
ENDS = (0, 1)  # pytest's own: all passed, some failed


def command(files, processes):
    """Return the command of the tests."""
    tests = [sys.executable, "-m", "pytest", "-m", "accelerator", "-v", "--tb=no"]
    tests += ["-p", "no:cacheprovider"]
    if processes > 1 and find_spec("xdist"):
        tests += ["-n", str(processes), "--dist", "loadfile"]
    return [*tests, *files]


def counted(counts):
    """Return the row of what is known so far."""
    shown = [f"{count} {state.lower()}" for state, count in sorted(counts.items())]
    return row("tests that ended", ", ".join(shown), counts=dict(counts))


def read(lines):
    """Yield rows from the lines that pytest prints."""
    counts = Counter()
    for line in lines:
        if found := ENDED.match(line.rstrip()):
            state = found["state"] or found["one"]
            counts[state] += 1
            if state in BAD:
                yield row(found["test"] or found["alone"], state)
            if state in BAD or sum(counts.values()) % OFTEN == 0:
                yield counted(counts)
        elif found := WHY.match(line.rstrip()):
            yield row(found["test"], f"failed: {found['why']}")
    yield counted(counts)


def marked_tests(files=("tests",), processes=None):
    """Yield the tests that failed, as soon as they have, and how many ended how.

    Args:
      files: where they are, from the root of the repository on.
      processes: that run them; as the machine has cores, but for a few, if not given.
    """
    processes = processes or max(1, (os.cpu_count() or 1) - 3)
    # the tests make a cache of their own
    environment = {n: v for n, v in os.environ.items() if n != "JAXTUNE_CACHE"}
    environment["PYTHONUNBUFFERED"] = "1"  # a line is known when it is printed
    settings = {"stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    started = subprocess.Popen(
        command(files, processes), **settings, env=environment, stderr=sys.stderr
    )
    last = []

    def printed():
        for line in started.stdout:
            last.append(line)
            yield line

    yield from read(printed())
    if started.wait() not in ENDS:
        raise RuntimeError("".join(last[-10:]))
