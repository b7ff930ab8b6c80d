"""Processes of tests: what they find, their share of a card, how Ctrl-C ends them."""

import os
import sys
from pathlib import Path

# XLA says at length which programs it takes from a cache
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3"}

MEMORY = ("XLA_PYTHON_CLIENT_", "XLA_CLIENT_MEM_FRACTION")
PREALLOCATE = "XLA_PYTHON_CLIENT_PREALLOCATE"
FRACTION = "XLA_CLIENT_MEM_FRACTION"
OURS = "JAXTUNE_TESTS_SHARE"  # says that the values are of these tests


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


def share_of_a_card(environ):
    """Return variables with which all processes of the tests fit on one card.

    Without them the first process takes three quarters of its memory and the second one
    fails. JAX reads them when it first asks for its devices.

    Args:
      environ: the environment; what it has of this, and a CPU as the only platform, is
        left alone.
    """
    chosen = any(name.startswith(MEMORY) for name in environ) and OURS not in environ
    if chosen or environ.get("JAX_PLATFORMS") == "cpu":
        return {}
    # each worker has a child now and then; the first process of a run, which starts the
    # workers, does not know their number, so that they set these again
    processes = 2 * int(environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    return {PREALLOCATE: "false", FRACTION: f"{0.9 / processes:.3f}", OURS: "1"}
