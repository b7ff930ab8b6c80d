"""A run directory: ``run.json`` for people, ``run.sqlite`` for the record, and a lock.

``run.json`` is written last, in one step: a directory holds a run if it is there. All
file names are constants, so that nothing inside a directory can point outside it.
"""

from __future__ import annotations

import json
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock

from jaxtune.checks import RunError
from jaxtune.storage.durable import note
from jaxtune.storage.store import SCHEMA, Store

FORMAT = "jaxtune run"
SETTINGS, RECORD, LOCK, DATA = "run.json", "run.sqlite", "run.lock", "data.npz"
OWN = (RECORD, f"{RECORD}-wal", f"{RECORD}-shm", f"{RECORD}-journal", LOCK, DATA)


def check_directory(directory: Any) -> Path:
    """Refuse what is no path; ``ValueError``."""
    if not isinstance(directory, str | os.PathLike) or not os.fspath(directory):
        raise ValueError(
            f"directory: got {directory!r}. Use a path, such as 'runs/digits'."
        )
    return Path(directory)


def holds_run(directory: Path) -> bool:
    """Whether there is a run, finished or not."""
    return (directory / SETTINGS).is_file()


def begun(directory: Any) -> bool:
    """Whether a directory was given and holds a run."""
    return directory is not None and holds_run(check_directory(directory))


def settings_of(directory: Path) -> dict[str, Any]:
    """The settings of a run.

    Args:
      directory: the run directory.

    Returns:
      The contents of ``run.json``.

    Raises:
      RunError: no run there, a damaged file, or one from a newer version.
    """
    if not directory.is_dir():
        raise RunError(f"{directory} is no directory. Give the directory of a run.")
    if not holds_run(directory):
        begun = (directory / RECORD).exists()
        cut = "it was cut off before it began. Start the search again"
        other = "give the directory that jaxtune.search was given"
        why = cut if begun else other
        raise RunError(f"{directory} holds no run (there is no {SETTINGS}): {why}.")
    try:
        settings = json.loads((directory / SETTINGS).read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise RunError(
            f"{directory / SETTINGS} cannot be read ({error}). Use a copy of it."
        ) from None
    if not isinstance(settings, dict) or settings.get("format") != FORMAT:
        raise RunError(f"{directory / SETTINGS} is not the file of a jaxtune run.")
    if not isinstance(settings.get("schema"), int) or settings["schema"] > SCHEMA:
        raise RunError(
            f"{directory}: written by a newer jaxtune (schema {settings['schema']}; "
            f"this one knows up to {SCHEMA}). Install that version: pip install -U "
            "jaxtune"
        )
    return settings


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Be the only process that writes; a dead one's lock is free at once.

    Args:
      directory: the run directory; made if it is missing.

    Raises:
      RunError: another process writes to it, or it cannot be made or written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(directory / LOCK, timeout=0)
        lock.acquire()
    except filelock.Timeout:
        raise RunError(
            f"{directory} is in use by {_owner(directory)}. Wait until it is done, or "
            "stop it; this search changed nothing."
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
    """Who holds the lock, as far as the record says."""
    try:
        store = Store(directory / RECORD, write=False)
        newest = "SELECT detail FROM events WHERE kind = 'opened' ORDER BY rowid DESC"
        found = store.one(newest)
        store.close()
    except RunError:
        found = None
    return found or "another process"


def create(directory: Path, settings: dict[str, Any], data: bytes | None) -> Store:
    """Begin a run in a directory whose lock is held.

    Args:
      directory: empty, or left by a beginning that was cut off.
      settings: what goes into ``run.json``.
      data: the data of the task, if the run is to keep them.

    Returns:
      The open record.

    Raises:
      RunError: a directory with other files in it, or one that cannot be written to.
    """
    others = sorted({path.name for path in directory.iterdir()} - {*OWN, *_PARTS})
    if others:
        raise RunError(
            f"{directory} holds {others[0]!r} and no run. Use an empty directory, so "
            "that nothing of yours is mixed with it."
        )
    for name in {*OWN, *_PARTS} - {LOCK}:
        (directory / name).unlink(missing_ok=True)
    store = Store.create(directory / RECORD)
    if data is not None:
        _write(directory / DATA, data)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    head = {"format": FORMAT, "schema": SCHEMA, "id": uuid.uuid4().hex, "created": now}
    text = json.dumps(head | settings, indent=2, allow_nan=False, ensure_ascii=False)
    _write(directory / SETTINGS, text.encode())
    return store


def note_writer(store: Store) -> None:
    """Note who writes to the record from now on."""
    with store.change() as db:
        note(db, "opened", f"process {os.getpid()} on {socket.gethostname()}")


_PARTS = (f"{SETTINGS}.part", f"{DATA}.part")


def _write(path: Path, data: bytes) -> None:
    """A file, whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error.strerror}).") from error
