"""The run directory of each process: the first one's, and copies of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxtune.executors.base import ExecutorSession
from jaxtune.storage.directory import LOCK, OWN, SETTINGS, begun


@contextmanager
def own_directory(directory: Any, crew: ExecutorSession) -> Iterator[Any]:
    """The directory for the first process; for the others a copy of what it holds."""
    if directory is None or crew.processes == 1:
        yield directory
        return
    files = crew.agree(lambda: _files(directory))
    if crew.leads:
        yield directory
        return
    place = Path(tempfile.mkdtemp(prefix="jaxtune-"))
    try:
        for name, data in files.items():
            (place / name).write_bytes(data)
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _files(directory: Any) -> dict[str, bytes]:
    """A run as it is, name to bytes."""
    if not begun(directory):
        return {}
    paths = [Path(directory) / name for name in {SETTINGS, *OWN} - {LOCK}]
    return {path.name: path.read_bytes() for path in paths if path.exists()}
