"""The run directory of each process of a pod: the first one's, or a copy of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxtune.executors.base import ExecutorSession
from jaxtune.reading import is_there, read_regular
from jaxtune.storage.directory import LOCK, OWN, SETTINGS, begun


@contextmanager
def own_directory(directory: Any, session: ExecutorSession) -> Iterator[Any]:
    """Yield the directory to the first process, and a copy of it to the others.

    Args:
      directory: the run directory, or ``None``.
      session: the processes of the search.

    Yields:
      A directory for this process, or ``None``.
    """
    if directory is None or session.processes == 1:
        yield directory
        return
    # every process runs the whole search, so each needs a record; a run directory has
    # one writer, the first process
    files = session.agree(lambda: _files(directory))
    if session.leads:
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
    """Return the files of a run, name to bytes; none if there is no run."""
    if not begun(directory):
        return {}
    paths = [Path(directory) / name for name in {SETTINGS, *OWN} - {LOCK}]
    return {path.name: read_regular(path) for path in paths if is_there(path)}
