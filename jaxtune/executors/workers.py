"""Who runs blocks, whoever it is: jobs go out, results come back in order.

A block is a function of its arguments, so where and when it ran, and how often it was
tried, changes none of its bits on one kind of device.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import jax

from jaxtune.tasks import Stream
from jaxtune.types import PyTree

Run = Callable[[Any, Any], Any]
"""``(shared, job) -> result``; it waits for the result."""


# of XLA, CUDA, its libraries, and C++
OUT_OF_MEMORY = (
    *("resource_exhausted", "out of memory", "out_of_memory", "alloc_failed"),
    *("bad_alloc", "failed to allocate"),
)


class OutOfMemory(Exception):
    """A job does not fit into the memory of the device that it ran on.

    Args:
      where: the device.
      said: what is known of it.
    """

    def __init__(self, where: str, said: str):
        super().__init__(where, said)
        self.where, self.said = where, said


@contextmanager
def memory_of(where: Any) -> Iterator[None]:
    """Around a job: what XLA says, and the libraries that it calls, as `OutOfMemory`."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if not out_of_memory(error):
            raise
        raise OutOfMemory(str(where), str(error)) from error


def out_of_memory(error: Exception) -> bool:
    """Whether an error of XLA says so."""
    return any(word in str(error).lower() for word in OUT_OF_MEMORY)


class Made(NamedTuple):
    """A job that is done.

    Args:
      result: what ``run`` returned, or `Crashed`.
      device: the kind of device that ran it.
    """

    result: Any
    device: str


class Crashed(NamedTuple):
    """The result of a job that took down every process that ran it.

    Args:
      tries: how many.
      said: what is known of the last one's end.
    """

    tries: int
    said: str


class WorkerPool(ABC):
    """Runs jobs that read the same data."""

    @abstractmethod
    def each(self, run: Run, jobs: Iterable[Any]) -> Iterator[Made | None]:
        """Run jobs, and hand their results back in order.

        Args:
          run: ``(shared, job) -> result``, on one device; it has to wait for it.
          jobs: what to run; ``None`` is nothing to do.

        Yields:
          Results; ``None`` for ``None``.
        """

    @abstractmethod
    def beside(self, more: PyTree) -> WorkerPool:
        """The same hands; what they share, a tuple, gets one thing more."""


class FuturePool(WorkerPool):
    """Hands that take one job at a time, each of them."""

    @property
    def ahead(self) -> int:
        """How many results may wait for one before them while others run."""
        return 0

    @property
    @abstractmethod
    def room(self) -> int:
        """How many jobs may run; it may change meanwhile."""

    @abstractmethod
    def submit(self, run: Run, job: Any) -> Future[Made]:
        """Begin a job, within `at_work`."""

    def take(self, future: Future[Made]) -> Made:
        """What became of a job."""
        return future.result()

    def at_work(self) -> AbstractContextManager[None]:
        """Around some jobs; those that are not done at its end are dropped."""
        return nullcontext()

    def each(self, run: Run, jobs: Iterable[Any]) -> Iterator[Made | None]:
        """See `WorkerPool`; jobs are asked for in this thread, one more than can run."""
        pending: deque[Future[Made] | None] = deque()
        with self.at_work():
            for job in jobs:
                pending.append(None if job is None else self.submit(run, job))
                while self._first_is_due(pending):
                    yield self._taken(pending.popleft())
            while pending:
                yield self._taken(pending.popleft())

    def _taken(self, future: Future[Made] | None) -> Made | None:
        return None if future is None else self.take(future)

    def _first_is_due(self, pending: deque[Future[Made] | None]) -> bool:
        """Whether to take the first result now, rather than begin another job."""
        while len(pending) > self.room:
            first = pending[0]
            if len(pending) > self.room + self.ahead or first is None or first.done():
                return True
            busy = [one for one in pending if one is not None and not one.done()]
            if len(busy) <= self.room:
                return False
            wait(busy, return_when=FIRST_COMPLETED)
        return False


MakePool = Callable[[PyTree, Stream | None], WorkerPool]
"""``(shared, stream) -> hands``; with a stream all jobs at once are of one epoch."""
