"""The programs of the next points, compiled while the points before them train.

A rehearsal does what will follow a batch or a round, with made-up scores. Its results
are thrown away, and its programs are there when they are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from jaxtune import environment
from jaxtune.background import Threads
from jaxtune.environment import thread_settings, under


@contextmanager
def rehearsing(
    rehearse: Callable[[], object], on_cpu: bool = False
) -> Iterator[Callable[[], None]]:
    """Run a rehearsal on the host's CPU during this context, which waits for its end.

    Args:
      rehearse: pure; what it raises is dropped, since it will be raised in its place.
      on_cpu: whether to run where the CPU is the device as well, which has a batch to
        train: that pays for what takes seconds to compile, on one of the cores.

    Yields:
      A function that waits for the end of the rehearsal.
    """
    device = environment.host()
    if device is None and not on_cpu:
        yield lambda: None
        return
    settings = thread_settings()

    def run() -> None:
        with suppress(Exception), under(settings), environment.on_host():
            rehearse()

    thread = Threads(1, "jaxtune-rehearsal")
    rehearsed = thread.submit(run)
    try:
        yield rehearsed.result
    finally:
        thread.shutdown()
