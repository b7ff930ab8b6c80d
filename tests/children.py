"""Child processes of tests: what they find, and how Ctrl-C reaches them."""

import os
import sys
from pathlib import Path

# XLA says at length which programs it takes from a cache
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3"}


def environment(**more):
    """Return the environment of this process; in it a child finds the tests' modules.

    Args:
      more: variables that are added or changed.
    """
    paths = (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))
    path = os.pathsep.join(filter(None, paths))
    return {**os.environ, "PYTHONPATH": path, **more}


def interruptible(*command):
    """Return a command that SIGINT interrupts, even where it is ignored (nohup)."""
    reset = "signal.signal(signal.SIGINT, signal.SIG_DFL)"
    code = f"import os, signal, sys; {reset}; os.execv(sys.argv[1], sys.argv[1:])"
    return [sys.executable, "-c", code, sys.executable, *command]
