"""Threads that a process which was asked to end may leave behind.

The threads of Python's own pools are waited for when a process exits, however long what
they compute takes.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import Empty, SimpleQueue
from typing import Any

from jaxtune import signals

_open: weakref.WeakSet[Threads] = weakref.WeakSet()


class Threads(Executor):
    """A pool like Python's, whose threads get no longer than `signals.left`.

    Args:
      most: threads at once.
      name: of the threads.
      begin: called in each thread before its first call.
    """

    def __init__(self, most: int, name: str, begin: Callable[[], Any] = int):
        self._most, self._name, self._begin = most, name, begin
        self._calls: SimpleQueue[Any] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._signum = 0  # that left threads behind
        _open.add(self)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **named: Any) -> Future:
        """Begin a call as soon as a thread is free."""
        future: Future[Any] = Future()
        self._calls.put((future, fn, args, named))
        if len(self._threads) < self._most:
            thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all threads; return when they have, or when they may be left behind."""
        if cancel_futures:
            self._cancel()
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads if wait else ():
            thread.join(signals.left())
        if self.alive:
            self._signum = self._signum or signals.asked_to_end()

    @property
    def alive(self) -> bool:
        """True if a thread has not ended."""
        return any(thread.is_alive() for thread in self._threads)

    def _cancel(self) -> None:
        try:
            while True:
                self._calls.get_nowait()[0].cancel()
        except Empty:
            return

    def _work(self) -> None:
        self._begin()
        while (call := self._calls.get()) is not None:
            _answer(*call)
            del call  # or its result would live until the next one


def _answer(future: Future[Any], fn: Any, args: Any, named: Any) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = fn(*args, **named)
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


@atexit.register  # after those of jax, so called before it takes its devices down
def _leave() -> None:
    """End what runs; the process at once if a signal has left threads behind."""
    for pool in list(_open):
        if pool._signum and pool.alive:
            # a thread that computes while Python and XLA are taken down may crash
            for stream in filter(None, (sys.stdout, sys.stderr)):
                stream.flush()
            os._exit(128 + pool._signum)
        if not pool._signum:
            pool.shutdown(cancel_futures=True)
