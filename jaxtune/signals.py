"""Signals that ask a process to end: SIGTERM and SIGHUP do as Ctrl-C does.

A handler that is Python's default is replaced while a search runs in the main thread;
one of the user's own, or an ignored signal (``nohup``), stays as it is. The first
signal stops the search: where it waits for blocks, those in flight may end within
``grace`` seconds, and are kept; elsewhere it is interrupted. Then everything is saved,
and the search raises ``SystemExit`` with 128 and the number of the signal. A second
signal finds the default action again, and ends the process at once.
"""

from __future__ import annotations

import ctypes
import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from jaxtune.checks import tell

GRACE = 5.0  # seconds; `docker stop` waits for 10, Kubernetes and Slurm for 30
NAMES = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP
IGNORE = 1  # SIG_IGN, as a function in C
# ray.init installs handlers that exit, whoever calls it
RAY = ("ray._private.worker", "ray._private.node")


class Ended(KeyboardInterrupt):
    """A signal has asked the process to end; `ending` makes a ``SystemExit`` of it."""


class _Asked:
    """The signal that this process has got; mutable, one for the process.

    Attributes:
      signum: its number; 0 for none.
      until: when blocks in flight are dropped, by the monotonic clock.
      grace: seconds from the signal until then.
      held: contexts of the main thread in which a signal is only noted.
      taken: signals whose default was replaced.
    """

    signum = 0
    until = 0.0
    grace = GRACE
    held = 0
    taken: tuple[int, ...] = ()


_asked = _Asked()


def check_grace(grace: Any) -> float:
    """Return the seconds that blocks get after a signal; ``ValueError`` for others."""
    number = isinstance(grace, int | float) and not isinstance(grace, bool)
    if not number or not 0 <= grace < math.inf:
        raise ValueError(
            f"grace: got {grace!r}. Use a number of seconds from 0, such as {GRACE:g}."
        )
    return float(grace)


def asked_to_end() -> int:
    """Return the number of the signal that asked this process to end; 0 for none."""
    return _asked.signum


def left() -> float | None:
    """Return the seconds that blocks in flight have left; ``None`` without a signal."""
    return max(0.0, _asked.until - time.monotonic()) if _asked.signum else None


def note_signal(signum: int) -> None:
    """Take note that this process, or another one of its pod, is asked to end."""
    if not _asked.signum:
        _asked.until = time.monotonic() + _asked.grace
        _asked.signum = signum


@contextmanager
def held_back() -> Iterator[None]:
    """Only note a signal inside this context, but for `listening`."""
    if not _in_main_thread():
        yield
        return
    _asked.held += 1
    try:
        yield
    finally:
        _asked.held -= 1


@contextmanager
def listening() -> Iterator[None]:
    """Raise `Ended` inside this context, also for a signal that was noted before."""
    if _asked.signum:
        raise Ended
    if not _in_main_thread():
        yield
        return
    before, _asked.held = _asked.held, 0
    try:
        # one that came between the two lines above
        if _asked.signum:
            raise Ended
        yield
    finally:
        _asked.held = before


@contextmanager
def ending(grace: float) -> Iterator[None]:
    """End a search when the process is asked to end.

    Args:
      grace: seconds for the blocks in flight.

    Raises:
      SystemExit: after a signal, when all is saved; its way to resume is printed.
    """
    found = _take()
    if not found:
        yield
        return
    _asked.grace, said = grace, "the search has ended, and is saved"
    try:
        yield
    except Ended as ended:
        if not _asked.signum:
            raise
        said = str(ended) or "nothing is kept: no block is on record"
    finally:
        signum, _asked.signum = _asked.signum, 0
        _give_back(found)
    if signum:
        tell(f"\n{signal.Signals(signum).name}: {said}")
        raise SystemExit(128 + signum)


@contextmanager
def same_handlers() -> Iterator[None]:
    """Keep the handlers of this process, whatever a library installs inside."""
    if not _in_main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _numbers()}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # one that was not installed from Python
                signal.signal(number, handler)


@contextmanager
def ignored_by_children() -> Iterator[None]:
    """Let processes that are started inside ignore a signal to the whole group.

    The search that started them ends them, when it has saved what they computed.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows has no groups
        yield
        return
    # masks are inherited; handlers, which a program may install, are not called then
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _numbers())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _numbers() -> list[int]:
    return [getattr(signal, name) for name in NAMES if hasattr(signal, name)]


class _Before(NamedTuple):
    """A handler that was replaced: as Python knows it, and the function in C."""

    known: Any
    function: int | None


def _take() -> dict[int, _Before]:
    """Replace handlers that are the default; return them by their signals."""
    found: dict[int, _Before] = {}
    if not _in_main_thread():
        return found
    try:
        for number in _numbers():
            # jax.distributed installs a function that Python does not know of
            before = _Before(signal.getsignal(number), _c_handler(number))
            if _replaceable(before):
                signal.signal(number, _hear)
                found[number] = before
    except ValueError:  # not in the main interpreter
        return {}
    _asked.taken = tuple(found)
    return found


def _replaceable(before: _Before) -> bool:
    """Return whether nobody chose a handler: Python's default, or one of Ray's."""
    if before.known is signal.SIG_DFL:
        return before.function != IGNORE
    return getattr(before.known, "__module__", None) in RAY


def _give_back(found: dict[int, _Before]) -> None:
    _asked.taken = ()
    for number, before in found.items():
        signal.signal(number, before.known)
        if before.known is signal.SIG_DFL and before.function:
            set_ = ctypes.pythonapi.PyOS_setsig
            set_.restype = ctypes.c_void_p
            set_(number, ctypes.c_void_p(before.function))


def _c_handler(number: int) -> int | None:
    get = ctypes.pythonapi.PyOS_getsig
    get.restype = ctypes.c_void_p
    return get(number)


def _hear(signum: int, frame: Any) -> None:
    del frame
    for number in _asked.taken:  # the next one ends the process at once
        signal.signal(number, signal.SIG_DFL)
    note_signal(signum)
    if not _asked.held:
        raise Ended
