"""A thread that reads a run again whenever it has changed, for all who watch it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxtune.storage.directory import RECORD, SETTINGS
from jaxtune.storage.session import Session
from jaxtune.watching.document import REMOVED, UNREADABLE, WAITING, document_of

FILES = (SETTINGS, RECORD, f"{RECORD}-wal")
POLL = 0.25  # seconds between two looks at the times of the files
REST = 4  # times as long as a reading took, until the next one
AGAIN = 5.0  # seconds until a run that could not be read is tried again

Mark = tuple[Any, ...]


class RunFollower:
    """Knows what there is to show of a run, as it changes; to be closed.

    The run is only looked at while somebody watches: at the times of its files, and
    what it holds is read when they have changed. Reading takes at most a fifth of one
    core, so a large run is shown less often.

    Args:
      directory: of the run, which need not have begun.
    """

    def __init__(self, directory: Path):
        self.directory = directory
        self._news = threading.Condition()
        self._text, self._version, self._viewers = "", 0, 0
        self._session: Session | None = None
        self._seen = False  # that there was a run
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="jaxtune-watch")
        self._thread.daemon = True
        self._thread.start()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Keep what is shown up to date inside this context."""
        with self._news:
            self._viewers += 1
        try:
            yield
        finally:
            with self._news:
                self._viewers -= 1

    def after(self, version: int, timeout: float) -> tuple[int, str] | None:
        """Wait for something newer than a version; ``None`` if nothing came.

        Args:
          version: the last one that is known; 0 for none.
          timeout: seconds.

        Returns:
          The number of the version, and its document as one line of JSON.
        """
        with self._news:
            self._news.wait_for(lambda: self._version > version or self.closed, timeout)
            return (self._version, self._text) if self._version > version else None

    @property
    def closed(self) -> bool:
        """True if nothing new will come."""
        return self._closed.is_set()

    def close(self) -> None:
        """End the thread, and whoever waits for something newer."""
        self._closed.set()
        with self._news:
            self._news.notify_all()
        self._thread.join()

    def _follow(self) -> None:
        known: Mark | None = None
        last = 0.0  # seconds that the last reading took
        while not self._closed.wait(POLL):
            # taken before the reading: what changes meanwhile is read the next time
            mark = self._mark() if self._viewers else known
            if mark == known:
                continue
            # of this thread alone: others may have the core meanwhile
            began = time.thread_time()
            failed = self._read()
            known = None if failed else mark
            took = time.thread_time() - began
            # the first reading compiles, and says nothing of the next ones
            rest, last = REST * min(last, took), took
            self._closed.wait(max(rest, AGAIN) if failed else rest)

    def _mark(self) -> Mark:
        """Return what changes whenever the run does."""
        alive = self._session and self._session.alive
        return (alive, *(time_of(self.directory / name) for name in FILES))

    def _read(self) -> bool:
        """Read the run, and tell all who wait; return whether it could not be read."""
        try:
            document, self._session = document_of(self.directory)
        except Exception as error:  # one of ours: a page that stands still says nothing
            words = f"jaxtune did not expect this: {type(error).__name__}: {error}"
            document, self._session = {"state": UNREADABLE, "words": words}, None
        if document["state"] != WAITING:
            self._seen = True
        elif self._seen and self._session is None:
            words = f"The run in {self.directory} is no longer there."
            document = {"state": REMOVED, "words": words}
        text = json.dumps(document, allow_nan=False, separators=(",", ":"))
        with self._news:
            if text != self._text:
                self._text, self._version = text, self._version + 1
                self._news.notify_all()
        return document["state"] == UNREADABLE


def time_of(path: Path) -> tuple[int, int, int] | None:
    """Return what changes when a file does; ``None`` if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
