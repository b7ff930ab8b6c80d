"""The last session of a run: which process writes it, and whether that still lives."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from jaxtune.reading import decoding
from jaxtune.storage.directory import RECORD
from jaxtune.storage.store import Store

# what ends a session, or says that the next one has more to do; the newest counts
NEWEST = (
    "SELECT time, kind, detail FROM events WHERE kind IN ('opened', 'interrupted', "
    "'stopped', 'finished', 'extended', 'repaired') ORDER BY rowid DESC LIMIT 1"
)
RUNNING = "running"


class Event(NamedTuple):
    """Something that a run notes with its time.

    Args:
      time: in ISO format, UTC.
      kind: such as ``opened``.
      detail: more about it; of ``opened``, the process.
    """

    time: str
    kind: str
    detail: str


class Session(NamedTuple):
    """The last session of a run.

    Args:
      last: how it ended; while it goes on, and after a kill, how it was opened.
      process: who wrote last, such as ``process 12 on host``.
      begun: rounds that have begun.
    """

    last: Event
    process: str
    begun: int

    @property
    def alive(self) -> bool | None:
        """True if its process lives; ``None`` if that cannot be seen from here."""
        return _alive(self.process)

    @property
    def state(self) -> str:
        """One word: running, killed, unknown, or the kind of the last event."""
        if self.last.kind != "opened":
            return self.last.kind
        return {True: RUNNING, False: "killed", None: "unknown"}[self.alive]


def session_of(directory: Path) -> Session | None:
    """Return the last session of a run; ``None`` where none was noted yet.

    Args:
      directory: the run directory; its record need not be whole.

    Raises:
      RunError: a record that cannot be read.
    """
    opened = "SELECT detail FROM events WHERE kind = 'opened' ORDER BY rowid DESC"
    store = Store(directory / RECORD, write=False, damaged=True)
    with closing(store), decoding(store.path):
        found = store.ask(NEWEST)
        if not found:
            return None
        begun = store.one("SELECT count(*) FROM rounds")
        return Session(Event(*found[0]), store.one(opened) or "", begun)


def _alive(process: str) -> bool | None:
    """Return whether ``process NUMBER on HOST`` lives, if that is this machine."""
    number, _, host = process.removeprefix("process ").partition(" on ")
    # on Windows, asking a process with signal 0 would end it
    if os.name == "nt" or host != socket.gethostname() or not number.isdecimal():
        return None
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except OverflowError:  # a stranger's run may hold any number
        return None
    except PermissionError:  # of another user
        pass
    return not _is_zombie(int(number))


def _is_zombie(number: int) -> bool:
    """Return whether a process has ended, and nobody has asked how."""
    try:
        text = Path(f"/proc/{number}/stat").read_text("utf-8", "replace")
    except OSError:  # not on Linux
        return False
    # the name before it, in brackets, may hold anything
    return text.rpartition(")")[2].split()[:1] in (["Z"], ["X"])
