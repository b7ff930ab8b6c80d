"""One thread for the factorisations of a small matrix.

On a CPU, JAX calls the LAPACK that SciPy brings, which wakes a thread for each core at
every step of a fit. Where the cores are busy with training, a fit took twenty times as
long by that (measured: 1.2 s instead of 0.06), and its last bits depended on how many
cores a machine has.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import scipy

FOLDERS = ("../scipy.libs", ".dylibs")  # of wheels, beside and inside the package

# fits may run in several threads, and the number of threads belongs to the process: the
# first one in changes it and the last one out restores it
_lock = threading.Lock()
_users, _before = 0, 0


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread of OpenBLAS; do nothing where SciPy has another BLAS."""
    global _users, _before
    library = _openblas()
    if library is None:
        yield
        return
    with _lock:
        if not _users:
            _before = library.scipy_openblas_get_num_threads()
            library.scipy_openblas_set_num_threads(1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                library.scipy_openblas_set_num_threads(_before)


@cache
def _openblas() -> Any:
    """Return the library that SciPy has loaded, or ``None``."""
    package = Path(scipy.__file__).parent
    for folder in FOLDERS:
        for path in sorted((package / folder).resolve().glob("*scipy_openblas*")):
            try:
                library = ctypes.CDLL(str(path))
            except OSError:
                continue
            if hasattr(library, "scipy_openblas_set_num_threads"):
                return library
    return None
