"""Moments at which a test makes something happen, in this process or in a worker.

Events take the place of a clock: a file says that something has happened, and whoever
waits for it goes on when it is there, on a fast machine or a slow one.
"""

import dataclasses
import os
import signal
import time
from pathlib import Path

import jax

HANG = 600.0  # seconds after which a test gives up; nothing but a fault takes so long


def wait_until(happened, what):
    """Return once ``happened()`` is true; TimeoutError after `HANG` seconds."""
    end = time.monotonic() + HANG
    while not happened():
        if time.monotonic() > end:
            raise TimeoutError(f"after {HANG:.0f} s still waiting: {what}")
        time.sleep(0.02)


def note(folder, event):
    """Note an event, among several processes; return how often it was noted before."""
    before = 0
    while True:
        try:
            os.close(os.open(Path(folder, f"{event}-{before}"), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            before += 1
        else:
            return before


def noted(folder, event):
    """Return how often an event was noted."""
    return len(list(Path(folder).glob(f"{event}-*")))


def eventful(task, began=None, ended=None):
    """Return a task that calls functions in a worker of Ray's, once for a block.

    Args:
      task: the task.
      began: called where its lanes are made.
      ended: called where they are scored, before the worker returns the block.
    """

    def init(key, hparams):
        jax.debug.callback(only_in_a_worker(began))
        return task.init(key, hparams)

    def evaluate(params, split, hparams):
        jax.debug.callback(only_in_a_worker(ended))
        return task.evaluate(params, split, hparams)

    return dataclasses.replace(task, init=init, evaluate=evaluate)


def only_in_a_worker(call):
    def called():
        if call is not None and os.environ.get("RAY_JOB_ID"):
            call()

    return called


def dying(folder, event, numbers):
    """Return a function that kills its process when an event has its n-th time.

    Each number kills once: the next time the event has another one.

    Args:
      folder: where events are noted.
      event: the name.
      numbers: at which to kill.
    """

    def happen():
        if note(folder, event) in numbers:
            os.kill(os.getpid(), signal.SIGKILL)

    return happen
