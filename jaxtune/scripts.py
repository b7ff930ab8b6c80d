"""Scripts that are read for the names they define, not to do what they do."""

from __future__ import annotations

import runpy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from jaxtune.checks import RunError


class Reading(NamedTuple):
    """A script that is read now.

    Args:
      source: the script.
      reader: the thread that reads it.
      others: the other threads from before, which may do what they like.
    """

    source: str
    reader: Thread
    others: frozenset[Thread]


_lock = threading.Lock()
_readings: list[Reading] = []
# threads that outlive the reading of the script that started them
_left: WeakKeyDictionary[Thread, str] = WeakKeyDictionary()


def names_of(source: str) -> dict[str, Any]:
    """Execute a script or a module, but for what it guards, and return its names.

    Args:
      source: ``FILE.py``, or the name of a module.

    Raises:
      ValueError: there is no such file.
      RunError: it begins a search.
    """
    with _read(source):
        if not source.endswith(".py"):
            return runpy.run_module(source)
        if not Path(source).is_file():
            raise ValueError(
                f"--task {source}: there is no such file. Use the path of the script."
            )
        # not as __main__: below that guard a script usually starts its search
        return runpy.run_path(source, run_name=Path(source).stem)


@contextmanager
def _read(source: str) -> Iterator[None]:
    """Note that a script is read, also for the threads that it starts."""
    reader = threading.current_thread()
    reading = Reading(source, reader, frozenset(threading.enumerate()) - {reader})
    with _lock:
        _readings.append(reading)
    try:
        yield
    finally:
        with _lock:
            _readings.remove(reading)
            for thread in threading.enumerate():
                if thread is not reader and thread not in reading.others:
                    _left[thread] = source


def _source_of(thread: Thread) -> str:
    """Return the script whose reading a thread belongs to; empty if to none."""
    with _lock:
        for reading in _readings:
            if thread not in reading.others:
                return reading.source
        return _left.get(thread, "")


def check_not_reading() -> None:
    """Raise ``RunError`` where a script is read that would now begin a search."""
    if source := _source_of(threading.current_thread()):
        raise RunError(
            f"--task {source}: it begins a search while it is read for its names, and "
            "would train everything again. Put what it does below "
            '`if __name__ == "__main__":`, and leave outside what defines the task.'
        )
