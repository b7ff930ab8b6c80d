"""A run directory: ``run.json`` with the settings, ``run.sqlite`` and a lock.

``run.json`` is written last and in one step, so a directory holds a run if this file
exists. All file names are constants and all files regular ones, so nothing in a
directory can point outside it. The directory itself may be a link: the user gave it.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock

from jaxtune.checks import RunError
from jaxtune.reading import is_there, read_json
from jaxtune.storage import sums
from jaxtune.storage.durable import note
from jaxtune.storage.store import SCHEMA, Store
from jaxtune.writing import remove_unfinished, replace_file

FORMAT = "jaxtune run"
WAY_OUT = "Use a copy of the run, or see what can be saved: jaxtune check "
LONGEST_SETTINGS = 64 * 2**20  # bytes of run.json; of most runs it has some thousand
SETTINGS, RECORD, LOCK, DATA = "run.json", "run.sqlite", "run.lock", "data.npz"
KERNELS, ROWS, PRIOR = "kernels.zip", "folds.npz", "prior.npz"
# SQLite puts the files with a suffix beside its own
OWN = (
    RECORD,
    f"{RECORD}-wal",
    f"{RECORD}-shm",
    f"{RECORD}-journal",
    LOCK,
    DATA,
    ROWS,
    KERNELS,
    PRIOR,
)


def check_directory(directory: Any) -> Path:
    """Return a directory as an absolute path; ``ValueError`` if it is not a path.

    Functions of the user may change the folder that this process works in.
    """
    if not isinstance(directory, str | os.PathLike) or not os.fspath(directory):
        raise ValueError(
            f"directory: got {directory!r}. Use a path, such as 'runs/digits'."
        )
    return Path(directory).expanduser().absolute()


def holds_run(directory: Path) -> bool:
    """Return whether a directory holds a run, finished or not."""
    return is_there(directory / SETTINGS)


def begun(directory: Any) -> bool:
    """Return whether a directory was given and holds a run."""
    return directory is not None and holds_run(check_directory(directory))


def settings_of(directory: Path) -> dict[str, Any]:
    """Read the settings of a run.

    Args:
      directory: the run directory.

    Returns:
      The contents of ``run.json``.

    Raises:
      RunError: no run, a damaged file, or a run of a newer version.
    """
    if not directory.is_dir():
        raise RunError(f"{directory} is no directory. Use the directory of a run.")
    if not holds_run(directory):
        why = "Use the directory that was passed to jaxtune.search"
        if is_there(directory / RECORD):
            _check_nothing_recorded(directory)
            why = "Its search was interrupted before it began. Start the search again"
        raise RunError(f"{directory} holds no run (there is no {SETTINGS}). {why}.")
    way_out = f"{WAY_OUT}{directory}."
    settings = read_json(directory / SETTINGS, LONGEST_SETTINGS, way_out)
    if not isinstance(settings, dict) or settings.get("format") != FORMAT:
        raise RunError(
            f"{directory / SETTINGS} is not the file of a jaxtune run. Use the "
            "directory of a run."
        )
    schema = settings.get("schema")
    if not isinstance(schema, int) or schema > SCHEMA:
        shown = repr(schema)[:40]
        raise RunError(
            f"{directory}: written by a newer jaxtune (schema {shown}; "
            f"this version reads up to {SCHEMA}). Update it: pip install -U jaxtune."
        )
    return settings


def _check_nothing_recorded(directory: Path) -> None:
    """Raise ``RunError`` for trials on record whose ``run.json`` is gone."""
    trials = 0
    # the making of a record may have been cut off too, and a link is none: then there
    # is nothing in it
    with suppress(RunError, sqlite3.Error):
        store = Store(directory / RECORD, write=False, damaged=True)
        with closing(store):
            trials = store.one("SELECT count(*) FROM trials")
    if trials:
        raise RunError(
            f"{directory} has no {SETTINGS}, but {trials} trials on record. See what "
            f"can be saved: jaxtune check {directory}."
        )


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the lock of a directory, so that no other process writes to it.

    Args:
      directory: the run directory; created if it is missing.

    Raises:
      RunError: another process writes to it, or it cannot be created or written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # some versions of filelock follow a link, and empty the file that it leads to
        is_there(directory / LOCK)
        # the operating system's lock, which it releases when a process dies
        lock = filelock.FileLock(directory / LOCK, timeout=0)
        lock.acquire()
    except filelock.Timeout:
        raise RunError(
            f"{directory} is in use by {_owner(directory)}. Wait until it has ended, "
            "or stop it; this search changed nothing."
        ) from None
    except OSError as error:
        raise RunError(
            f"{directory} cannot be written to ({error.strerror}). Use another "
            "directory."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _owner(directory: Path) -> str:
    """Return who holds the lock, as far as the record says."""
    try:
        store = Store(directory / RECORD, write=False)
        newest = "SELECT detail FROM events WHERE kind = 'opened' ORDER BY rowid DESC"
        found = store.one(newest)
        store.close()
    except RunError:  # the other process may not have created the record yet
        found = None
    return found or "another process"


def create(
    directory: Path,
    settings: dict[str, Any],
    data: bytes | None,
    rows: bytes | None = None,
    prior: bytes | None = None,
) -> Store:
    """Create a run in a directory whose lock is held.

    Args:
      directory: an empty directory, or one in which a creation was interrupted.
      settings: the contents of ``run.json``.
      data: the data of the task, if the run keeps them.
      rows: of the folds, if there are some.
      prior: earlier searches that it learns from, if there are any.

    Returns:
      The open record.

    Raises:
      RunError: a directory with other files in it, or one that cannot be written to.
    """
    remove_unfinished(directory, (SETTINGS, *OWN))
    others = sorted({path.name for path in directory.iterdir()} - {*OWN, *_PARTS})
    if others:
        raise RunError(
            f"{directory} holds {others[0]!r} and no run. Use an empty directory, to "
            "keep a run apart from your own files."
        )
    # without run.json there is no run: what is left is of an interrupted creation,
    # unless somebody removed the file
    _check_nothing_recorded(directory)
    for name in {*OWN, *_PARTS} - {LOCK}:
        (directory / name).unlink(missing_ok=True)
    store = Store.create(directory / RECORD)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    head = {"format": FORMAT, "schema": SCHEMA, "id": uuid.uuid4().hex, "created": now}
    made = {DATA: data, ROWS: rows, PRIOR: prior, SETTINGS: as_bytes(head | settings)}
    files = {name: content for name, content in made.items() if content is not None}
    with store.change() as db:
        sums.seal_files(db, files, SETTINGS)
    for name, content in files.items():  # run.json is the last
        write_whole(directory / name, content)
    return store


def as_bytes(settings: dict[str, Any]) -> bytes:
    """Return the content of ``run.json``."""
    text = json.dumps(settings, indent=2, allow_nan=False, ensure_ascii=False)
    return text.encode()


def note_writer(store: Store) -> None:
    """Note in the record which process writes to it from now on."""
    with store.change() as db:
        note(db, "opened", f"process {os.getpid()} on {socket.gethostname()}")


# left by an interrupted creation of version 0.2 or earlier
_PARTS = tuple(f"{name}.part" for name in (SETTINGS, DATA, ROWS, KERNELS, PRIOR))


def write_whole(path: Path, data: bytes) -> None:
    """Write a file of a run, whole or not at all."""
    try:
        replace_file(path, data)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({error.strerror}). Free some space, or use "
            "another directory."
        ) from error
