"""Executors: context managers that open a session of workers for one search."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, TypeVar

from jaxtune.executors.workers import MakePool

T = TypeVar("T")


def _call(make: Callable[[], T]) -> T:
    return make()


class ExecutorSession(NamedTuple):
    """The workers of one search, while it lasts.

    Args:
      make_pool: ``(shared, stream) -> pool`` for jobs that read the same data.
      device: ``platform`` and ``kind`` of the devices.
      measures: whether widths may be measured in this process.
      leads: whether this process writes the run directory and calls callbacks.
      agree: ``make -> value``: calls ``make`` in the leading process, and returns its
        value in every process.
      across: number of devices that share the lanes of a block.
      processes: number of processes that run the same search.
    """

    make_pool: MakePool
    device: dict[str, str]
    measures: bool = True
    leads: bool = True
    agree: Callable[[Callable[[], Any]], Any] = _call
    across: int = 1
    processes: int = 1


Executor = Callable[[], AbstractContextManager[ExecutorSession]]
"""Opens a session: called once for every search, closed when the search ends."""
