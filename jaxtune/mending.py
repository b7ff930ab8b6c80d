"""Entries of JAX's cache of programs that cannot be read or written.

JAX warns of each of them, in every process: an entry that was cut when a process was
killed, or the disk was full, is neither removed nor written anew, and one whose time of
use is missing keeps all others from being written. Here each is removed, the program is
compiled again, and the user is told once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import filelock
from jax._src import compilation_cache

READ, WRITE = "get_executable_and_time", "put_executable_and_time"
# names of JAX's files
PROGRAM, USED, LOCK = "-cache", "-atime", ".lockfile"
PATIENCE = 10.0  # seconds for a lock that JAX holds while it copies a file

Undo = Callable[[], None]
Told = Callable[[Path, str], None]


def mend(place: Path, failed: Told, damaged: Told) -> Undo:
    """Mend a folder of programs from now on.

    Args:
      place: JAX's folder.
      failed: called with the folder and the reason, where the disk keeps nothing.
      damaged: called with the folder and an error, where an entry was removed.

    Returns:
      A function that ends it.
    """
    # of a version of JAX that has others, nothing is mended
    names = [name for name in (READ, WRITE) if hasattr(compilation_cache, name)]
    before = {name: getattr(compilation_cache, name) for name in names}
    for name, function in before.items():
        wrap = _reading if name == READ else _writing
        wrapped = wrap(function, place, failed, damaged)
        setattr(compilation_cache, name, wrapped)

    def undo() -> None:
        for name, function in before.items():
            setattr(compilation_cache, name, function)

    return undo


def _reading(read: Any, place: Path, failed: Told, damaged: Told) -> Any:
    @functools.wraps(read)
    def reading(key: str, *args: Any, **named: Any) -> Any:
        try:
            return read(key, *args, **named)
        except OSError as error:  # the disk's, or a lock that is held for too long
            failed(place, error.strerror or str(error))
        except Exception as error:
            _remove(place, key)
            damaged(place, str(error))
        return None, None  # as if it was not there

    return reading


def _writing(write: Any, place: Path, failed: Told, damaged: Told) -> Any:
    del damaged

    @functools.wraps(write)
    def writing(key: str, *args: Any, **named: Any) -> None:
        try:
            try:
                write(key, *args, **named)
            except FileNotFoundError:  # newer versions of JAX do without the time
                _remove_orphans(place)
                write(key, *args, **named)
        except TimeoutError as error:  # of a lock: nothing was written
            failed(place, str(error))
        except OSError as error:
            _remove(place, key)  # a part of it may be there
            failed(place, error.strerror or str(error))

    return writing


def _remove(place: Path, key: str) -> None:
    for kind in (PROGRAM, USED):
        with suppress(OSError):
            (place / f"{key}{kind}").unlink(missing_ok=True)


def _remove_orphans(place: Path) -> None:
    """Remove programs without the time of their last use, by which JAX chooses."""
    place.mkdir(parents=True, exist_ok=True)
    # a process that writes a program and then the time holds the lock
    with filelock.FileLock(place / LOCK, timeout=PATIENCE):
        for path in place.glob(f"*{PROGRAM}"):
            key = path.name.removesuffix(PROGRAM)
            if not (place / f"{key}{USED}").exists():
                _remove(place, key)
