"""Worker pools: jobs go in, their results come back in order.

A block is a function of its arguments, so where and when it ran, and how often it was
tried, changes none of its bits on one kind of device.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import jax

from jaxtune import signals
from jaxtune.checks import warn
from jaxtune.environment import versions
from jaxtune.tasks import Stream
from jaxtune.types import PyTree

Run = Callable[[Any, Any], Any]
"""``(shared, job) -> result``: waits for the result, a named tuple with the fields
``device``, which the pool fills in, and ``error``."""


# in messages of XLA, CUDA, its libraries, and C++
OUT_OF_MEMORY = (
    *("resource_exhausted", "out of memory", "out_of_memory", "alloc_failed"),
    *("bad_alloc", "failed to allocate"),
)


LONGEST = 200  # letters of a message

# seconds of waiting after which a block is told to be late: at least, since it may be
# the first of a program that takes minutes to compile; times the longest wait so far;
# and where nothing has ended yet
LEAST, MANY, FIRST = 600.0, 100.0, 1800.0


class OutOfMemory(Exception):
    """A job does not fit into the memory of the device that ran it.

    Args:
      where: the device.
      detail: the message of the library that failed.
    """

    def __init__(self, where: str, detail: str):
        super().__init__(where, detail)
        self.where, self.detail = where, detail

    @property
    def shortly(self) -> str:
        """The first line of the message: the rest may be megabytes of a log."""
        lines = self.detail.strip().splitlines() or [""]
        return lines[0][:LONGEST]


@contextmanager
def as_out_of_memory(where: str) -> Iterator[None]:
    """Raise `OutOfMemory` for errors of XLA and its libraries that mean it.

    Args:
      where: the device, for the message.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if not out_of_memory(error):
            raise
        raise OutOfMemory(where, str(error)) from error


def out_of_memory(error: Exception) -> bool:
    """Return whether an error of XLA means that memory ran out."""
    # the status code alone would not do: fused libraries report INTERNAL
    return any(word in str(error).lower() for word in OUT_OF_MEMORY)


class Waits:
    """Waits for jobs, and says so when one takes far longer than all before it.

    Mutable, for the jobs of one call. A program that hangs would wait in silence: it
    holds no lock that could be seen, and computes nothing.
    """

    def __init__(self) -> None:
        self._longest: float | None = None
        self._told = False

    def wait(self, jobs: list[Future[Any]]) -> None:
        """Return when one of the jobs has ended; raise `Ended` after a signal."""
        begin = time.monotonic()
        limit = FIRST if self._longest is None else max(LEAST, MANY * self._longest)
        with signals.listening():
            if not wait(jobs, limit, FIRST_COMPLETED).done:
                self._tell(limit)
                wait(jobs, return_when=FIRST_COMPLETED)
        self._longest = max(self._longest or 0.0, time.monotonic() - begin)

    def _tell(self, limit: float) -> None:
        """Warn, once, of a block that has not ended after so many seconds."""
        if not self._told:
            self._told = True
            before = ""
            if self._longest is not None:
                before = f", and none before it took more than {self._longest:.0f} s"
            warn(
                f"a block has not ended after {limit:.0f} s{before}. It may be long, "
                f"or jaxlib {versions()['jaxlib']} hangs. Ctrl-C ends the search; then "
                "try jaxtune doctor, another version of jaxlib, or fewer lanes with "
                "block=.",
            )


class WorkerPool(ABC):
    """Workers for jobs that read the same data."""

    @abstractmethod
    def map_ordered(self, run: Run, jobs: Iterable[Any]) -> Iterator[Any]:
        """Run jobs, and yield their results in the order of the jobs.

        Args:
          run: see `Run`; on one device.
          jobs: the jobs; ``None`` where there is nothing to do.

        Yields:
          Results, with the kind of device that ran them; ``None`` for ``None``; for a
          job that ended every process which ran it, a failed block.

        Raises:
          Ended: the process is asked to end; all that could be kept was yielded.
        """

    @abstractmethod
    def with_shared(self, more: PyTree) -> WorkerPool:
        """Return the same workers, with ``more`` appended to the tuple they share."""


class FuturePool(WorkerPool):
    """A pool whose workers take one job at a time."""

    @property
    def lookahead(self) -> int:
        """Number of results that may wait for an earlier one while others run."""
        return 0

    @property
    @abstractmethod
    def capacity(self) -> int:
        """Number of jobs that may run at once; it may change meanwhile."""

    @abstractmethod
    def submit(self, run: Run, job: Any) -> Future[Any]:
        """Begin a job, inside `running`."""

    def result_of(self, future: Future[Any]) -> Any:
        """Return the result of a job, with its device."""
        return future.result()

    def take_back(self, future: Future[Any]) -> bool:
        """Take a job back that has not begun; return false if that is not known."""
        del future
        return False

    def running(self) -> AbstractContextManager[None]:
        """Enclose some jobs; those that are not done at the end are dropped."""
        return nullcontext()

    def map_ordered(self, run: Run, jobs: Iterable[Any]) -> Iterator[Any]:
        """Run jobs, see `WorkerPool`; they are prepared in this thread."""
        pending: deque[Future[Any] | None] = deque()
        self._waits = Waits()
        # in the order of jobs, so that neither a journal nor a scheduler sees which
        # worker was faster; a signal ends a wait and nothing else, so that a block is
        # either kept whole or not at all
        with signals.held_back(), self.running():
            try:
                for job in jobs:
                    pending.append(None if job is None else self.submit(run, job))
                    while self._first_is_due(pending):
                        result = self._collect(pending[0])
                        pending.popleft()
                        yield result
                while pending:
                    result = self._collect(pending[0])
                    pending.popleft()
                    yield result
            except signals.Ended:
                yield from self._last(pending)
                raise

    def _last(self, pending: Iterable[Future[Any] | None]) -> Iterator[Any]:
        """Yield the results of the first jobs, as far as they end in time."""
        for future in pending:
            if future is None:
                yield None
                continue
            if self.take_back(future) or not wait([future], signals.left()).done:
                return
            try:
                result = self.result_of(future)
            except Exception:
                return  # of a worker that got the same signal
            if getattr(result, "error", ""):
                return
            yield result

    def _collect(self, future: Future[Any] | None) -> Any:
        if future is None:
            return None
        self._waits.wait([future])
        return self.result_of(future)

    def _first_is_due(self, pending: deque[Future[Any] | None]) -> bool:
        """Return whether to take the first result before another job begins."""
        while len(pending) > self.capacity:
            first, most = pending[0], self.capacity + self.lookahead
            if len(pending) > most or first is None or first.done():
                return True
            # results are due in order, but a slow first job must not idle the others
            busy = [one for one in pending if one is not None and not one.done()]
            if len(busy) <= self.capacity:
                return False
            self._waits.wait(busy)
        return False


MakePool = Callable[[PyTree, Stream | None], WorkerPool]
"""``(shared, stream) -> pool``; with a stream, all jobs of one call of ``map_ordered``
must be in the same epoch."""
