"""One thread of BLAS while jaxtune computes.

On a CPU, JAX calls the LAPACK that SciPy brings, whose last bits depend on its number
of threads. With one for every block and every fit, no table depends on the cores of a
machine, or on what runs beside. It is also faster where it matters: at every step of a
fit of a small matrix OpenBLAS wakes a thread for each core, and where these are busy
with training, a fit took twenty times as long (measured: 1.2 s instead of 0.06).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import scipy.linalg  # noqa: F401 - loads the library that is found below
from threadpoolctl import ThreadpoolController

# blocks and fits run in several threads, and the number of threads belongs to the
# process: the first one in changes it and the last one out restores it
_lock = threading.Lock()
_users = 0
_limit: Any = None


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread of BLAS during this context."""
    global _users, _limit
    with _lock:
        if not _users:
            _let_this_thread_set()
            _limit = blas().limit(limits=1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _let_this_thread_set()
                _limit.restore_original_limits()


def _let_this_thread_set() -> None:
    """Let this thread set the numbers, whichever one did so before."""
    # since version 3.8 threadpoolctl silently ignores all but the first thread that
    # asks, and here the first and the last one in need not be the same
    for library in blas().lib_controllers:
        clear = getattr(library, "clear_controlling_thread", None)
        if clear is not None:
            clear(force=True)


@cache  # to look for the libraries takes longer than a fit
def blas() -> ThreadpoolController:
    """Return the controller of the threads of BLAS in this process."""
    return ThreadpoolController().select(user_api="blas")
