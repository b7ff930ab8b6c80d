"""Changes of a record, written in their order by a thread beside the search.

A search goes on while what happened is written. What was handed over together is one
transaction, so the record is always that of some moment of the search, and a process
that is killed loses what was not handed over: at most the blocks of the last second,
which are computed again.
"""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from jaxtune.storage.store import Store

PATIENCE = 1.0  # seconds; what is no longer needed after them is not written at all

Change = Callable[[sqlite3.Connection], None]


class Writer:
    """Writes changes of a store; to be closed. Any thread may hand over.

    Args:
      store: the open file.
    """

    def __init__(self, store: Store):
        self._store = store
        self._thread = ThreadPoolExecutor(1, "jaxtune-record")
        self._writing: deque[Future[None]] = deque()
        self._last = time.monotonic()
        self._failed = False

    @property
    def due(self) -> bool:
        """True if nothing was handed over for a while."""
        return time.monotonic() - self._last >= PATIENCE

    def write(self, changes: Sequence[Change]) -> None:
        """Hand over changes, as one transaction after those before; return at once."""
        self._last = time.monotonic()
        if changes:
            self._writing.append(self._thread.submit(self._write, changes))

    def wait(self, most: int = 0) -> None:
        """Return when all that was handed over is on the disk.

        Args:
          most: transactions that need not be.

        Raises:
          RunError: one could not be written; nothing is written after it.
        """
        while len(self._writing) > most:
            self._writing.popleft().result()

    def close(self) -> None:
        """End the thread, with what was handed over."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def _write(self, changes: Sequence[Change]) -> None:
        if self._failed:  # a later change would leave a hole where one is missing
            return
        try:
            with self._store.change() as db:
                for change in changes:
                    change(db)
        except BaseException:
            self._failed = True
            raise
