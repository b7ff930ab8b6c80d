"""What an executor is, and what it brings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, TypeVar

from jaxtune.executors.workers import MakePool

T = TypeVar("T")


def _make(make: Callable[[], T]) -> T:
    return make()


class ExecutorSession(NamedTuple):
    """Those who run the blocks of a search, while it lasts.

    Args:
      hire: hands from what all blocks read.
      device: ``platform`` and ``kind`` of what they compute on.
      measures: whether widths may be measured in this process.
      leads: whether this process is the one that writes and tells.
      agree: ``make -> value``: what the leading process makes.
      across: devices that share the lanes of a block.
      processes: how many run the same search, each with a journal of its own.
    """

    hire: MakePool
    device: dict[str, str]
    measures: bool = True
    leads: bool = True
    agree: Callable[[Callable[[], Any]], Any] = _make
    across: int = 1
    processes: int = 1


Executor = Callable[[], AbstractContextManager[ExecutorSession]]
"""Who runs the blocks of searches: called for each of them, for as long as it lasts."""
