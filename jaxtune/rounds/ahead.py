"""The programs of the next round, compiled beside an accelerator while it trains.

A rehearsal does what will follow the round, with made-up scores. Its results are thrown
away, and its programs are there when the round has ended.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import jax

from jaxtune import environment
from jaxtune.environment import thread_settings, under


@contextmanager
def rehearsing(rehearse: Callable[[], object]) -> Iterator[None]:
    """Run a rehearsal on the host's CPU during this context, which waits for its end.

    Nothing runs where the CPU is the device: it has a round to train.

    Args:
      rehearse: pure; what it raises is dropped, since it will be raised in its place.
    """
    device = environment.host()
    if device is None:
        yield
        return
    settings = thread_settings()

    def run() -> None:
        with suppress(Exception), under(settings), jax.default_device(device):
            rehearse()

    thread = threading.Thread(target=run, name="jaxtune-rehearsal")
    thread.start()
    try:
        yield
    finally:
        thread.join()
