"""The parts of ``benchmarks/accelerator.py``: generators of rows, one of them a file.

A row is one figure: ``what``, ``value`` and ``unit``; where it is compared, ``ratio``
and ``of`` what. More columns go to the JSON alone.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "accelerator.py"


def row(what, value, unit="", **more):
    """Return the row of one figure.

    Args:
      what: was measured; a later row of the same replaces an earlier one.
      value: a number, or a word.
      unit: of the number.
      more: ``ratio`` and ``of``, and whatever else is worth keeping.
    """
    return {"what": what, "value": value, "unit": unit, **more}


def skipped(what, why):
    """Return the row of something that could not be measured here."""
    return row(what, f"not measured: {why}")


def seconds(call):
    """Return the seconds of a call, and what it returns."""
    begin = time.perf_counter()
    found = call()
    return time.perf_counter() - begin, found


def alone(do, environment=None, **work):
    """Return the last row of a piece of work in a process of its own.

    Args:
      do: the name of the work.
      environment: of the process.
      work: its keywords.
    """
    # in the session of this process, so that it ends with it
    command = [sys.executable, str(SCRIPT), "--child", json.dumps({"do": do, **work})]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{do}: {done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[-1])


def standard(dimensions=None):
    """Return the nine usual hyperparameters, or some of them."""
    import jaxtune as jt

    space = jt.presets.standard()
    return space.keep(*dimensions) if dimensions else space


def classifier(model):
    """Return the digits with a model, and a space of learning rate and momentum."""
    import hand

    import jaxtune as jt

    train, valid = hand.digits()
    task = jt.classification(model, train=train, valid=valid, batch_size=hand.BATCH)
    space = jt.Space(
        learning_rate=jt.log_uniform(1e-3, 0.3),
        momentum=jt.reverse_log_uniform(0.5, 0.95),
    )
    return task, space
