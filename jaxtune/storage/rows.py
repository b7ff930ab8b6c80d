"""The rows of a stream that a run has trained on: a sum of each epoch, on record.

A resumed run must read the same rows again, also those that it reads no more: half of
its trials would belong to other data.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from jaxtune.storage.store import Store
from jaxtune.storage.sums import seal
from jaxtune.tasks import Stream, Task


def rows_on_record(store: Store) -> dict[int, str]:
    """Return epoch to the sum of its rows; a run of an earlier version has none."""
    if not store.has("streams"):
        return {}
    return dict(store.ask("SELECT epoch, sum FROM streams ORDER BY epoch"))


def insert_rows(sums: Mapping[int, str], db: sqlite3.Connection) -> None:
    """Record the sums of epochs, in the transaction of a block that read them."""
    for epoch, known in sorted(sums.items()):
        db.execute("INSERT INTO streams VALUES (?, ?)", (epoch, known))
        seal(db, "stream", epoch)


@contextmanager
def same_rows(store: Store, task: Task) -> Iterator[None]:
    """Refuse other rows of a stream than those on record, as they are read inside.

    Args:
      store: the record.
      task: whose training data may be a stream.

    Raises:
      RunError: other rows.
    """
    if task.stream is None:
        yield
        return
    with task.stream.expecting(rows_on_record(store)):
        yield


def new_rows(stream: Stream | None, known: set[int], trained: int) -> dict[int, str]:
    """Return the sums of epochs that a block has read and that are not on record.

    Args:
      stream: the training data, or ``None``.
      known: epochs on record; those that are returned are added.
      trained: epochs that the lanes of the block have trained.
    """
    read = {} if stream is None else dict(stream.sums)
    found = {e: s for e, s in read.items() if e < trained and e not in known}
    known.update(found)
    return found
