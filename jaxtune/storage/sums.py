"""Checksums of a record: of what was written together, and of their order.

What is written together is an entry: a round, its trials, a block with its lanes and
metrics, the end of a round, an event, the files beside the record. Each entry has a sum
of its content, and a link, the sum of all links up to it, so that an entry that is
missing shows too. A part of an entry that may be dropped later, such as the states of a
block, has a sum of its own. They find damage; whoever means to can compute them again.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from typing import NamedTuple

BYTES = 16  # of a sum

TABLES = """
CREATE TABLE files (
  version INTEGER, name TEXT, sum BLOB NOT NULL, content BLOB,
  PRIMARY KEY (version, name));
CREATE TABLE sums (
  entry INTEGER PRIMARY KEY, kind TEXT NOT NULL, number INTEGER NOT NULL,
  parts BLOB NOT NULL, sum BLOB NOT NULL, link BLOB NOT NULL);
"""

# the parts of a block, in the order of their sums
STATE, CURVES, PREDICTIONS = range(3)


class Content(NamedTuple):
    """The content of an entry.

    Args:
      rows: of each table, all that is kept for good.
      parts: each has a sum of its own; ``None`` for one that is not there.
    """

    rows: dict[str, list[tuple]]
    parts: list[bytes | None]


class Entry(NamedTuple):
    """An entry as its sums describe it."""

    entry: int
    kind: str
    number: int
    parts: bytes
    sum: bytes
    link: bytes

    @property
    def part_sums(self) -> list[bytes]:
        """The sum of each part."""
        return [self.parts[i : i + BYTES] for i in range(0, len(self.parts), BYTES)]


def sum_of(*data: bytes) -> bytes:
    """Return the sum of bytes."""
    known = hashlib.blake2b(digest_size=BYTES)
    for each in data:
        known.update(each)
    return known.digest()


NOTHING = bytes(BYTES)  # the sum of a part that was not there


def part_sum(part: bytes | None) -> bytes:
    """Return the sum of a part, which may not be there."""
    if part is None:
        return NOTHING
    # of a damaged record it may have any type
    return sum_of(part if isinstance(part, bytes) else ascii(part).encode())


def content(
    db: sqlite3.Connection,
    kind: str,
    number: int,
    count: int | None = None,
    states: bool = True,
) -> Content:
    """Return what is recorded of an entry now.

    Args:
      db: the open file.
      kind: of an entry.
      number: which of the kind; of trials, the first.
      count: of parts; of a new entry, all that there are.
      states: whether the states of a block are read, which may be large.
    """
    if kind == "trials":
        return _trials(db, number, count)
    if kind == "block":
        return _block(db, number, states)
    return READ[kind](db, number)


def seal(db: sqlite3.Connection, kind: str, number: int) -> None:
    """Add the sums of an entry that was written in this transaction."""
    # read back, since SQLite may keep a value in another form than it was given
    found = content(db, kind, number)
    parts = b"".join(map(part_sum, found.parts))
    own = entry_sum(kind, number, found, parts)
    last = db.execute("SELECT entry, link FROM sums ORDER BY entry DESC LIMIT 1")
    entry, link = last.fetchone() or (-1, b"")
    row = (entry + 1, kind, number, parts, own, sum_of(link, own))
    db.execute("INSERT INTO sums VALUES (?, ?, ?, ?, ?, ?)", row)


def entry_sum(kind: str, number: int, found: Content, parts: bytes) -> bytes:
    """Return the sum of an entry from its content and the sums of its parts."""
    # ascii() gives the same text for a value in every version of Python
    return sum_of(ascii((kind, number, [*found.rows.values()])).encode(), parts)


def seal_last(db: sqlite3.Connection, kind: str, table: str) -> None:
    """Add the sums of the row that was inserted last into a table."""
    seal(db, kind, db.execute(f"SELECT max(rowid) FROM {table}").fetchone()[0])


def seal_files(db: sqlite3.Connection, files: dict[str, bytes], kept: str) -> None:
    """Record the files beside the record, and their sums.

    Args:
      db: the open file.
      files: name to content; those that were recorded before stay if not given.
      kept: the one whose content is recorded too.
    """
    newest = db.execute("SELECT max(version) FROM files").fetchone()[0]
    version = 0 if newest is None else newest + 1
    before = "SELECT ?, name, sum, content FROM files WHERE version = ?"
    db.execute(f"INSERT INTO files {before}", (version, version - 1))
    rows = [
        (version, name, sum_of(data), data if name == kept else None)
        for name, data in files.items()
    ]
    db.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", rows)
    seal(db, "files", version)


def seal_all(db: sqlite3.Connection, files: dict[str, bytes], kept: str) -> None:
    """Add the sums of all that is recorded, to a record that has none.

    Rounds are entered one after another, each with all that is of it.
    """
    seal_files(db, files, kept)
    for (number,) in db.execute("SELECT round FROM rounds ORDER BY round").fetchall():
        for kind, which in _of_round(db, number):
            seal(db, kind, which)
    for (epoch,) in db.execute("SELECT epoch FROM streams ORDER BY epoch").fetchall():
        seal(db, "stream", epoch)
    for (row,) in db.execute("SELECT rowid FROM events ORDER BY rowid").fetchall():
        seal(db, "event", row)


def _of_round(db: sqlite3.Connection, number: int) -> Iterator[tuple[str, int]]:
    yield "round", number
    first = db.execute("SELECT min(trial) FROM trials WHERE round = ?", (number,))
    for (trial,) in first.fetchall():
        yield "trials", trial
    for kind, query in (
        ("variation", "SELECT rowid FROM variations WHERE round = ? ORDER BY number"),
        ("block", "SELECT block FROM blocks WHERE round = ? ORDER BY block"),
        ("end", "SELECT round FROM rounds WHERE round = ? AND ended IS NOT NULL"),
    ):
        for (which,) in db.execute(query, (number,)).fetchall():
            yield kind, which


def _files(db: sqlite3.Connection, number: int) -> Content:
    query = "SELECT name, sum, content FROM files WHERE version = ? ORDER BY name"
    rows = db.execute(query, (number,)).fetchall()
    parts = [data for _, _, data in rows if data is not None]
    return Content({"files": [row[:2] for row in rows]}, parts)


def _round(db: sqlite3.Connection, number: int) -> Content:
    query = "SELECT round, box FROM rounds WHERE round = ?"
    return Content({"rounds": db.execute(query, (number,)).fetchall()}, [])


def _trials(db: sqlite3.Connection, number: int, count: int | None) -> Content:
    query = (
        "SELECT trial, round, point, hparams FROM trials WHERE trial >= ? AND trial < ?"
    )
    if count is None:
        # a record that had no sums gets all trials of a round as one entry
        last = (
            "SELECT max(trial) FROM trials WHERE round = "
            "(SELECT round FROM trials WHERE trial = ?)"
        )
        count = db.execute(last, (number,)).fetchone()[0] + 1 - number
    parts: list[bytes | None] = [None] * count
    for row in db.execute(query, (number, number + count)):
        parts[row[0] - number] = ascii(row).encode()
    return Content({}, parts)


def _variation(db: sqlite3.Connection, number: int) -> Content:
    query = "SELECT round, number, value FROM variations WHERE rowid = ?"
    rows = db.execute(query, (number,)).fetchall()
    return Content(
        {"variations": [row[:2] for row in rows]}, [value for _, _, value in rows]
    )


BLOCK = {
    "blocks": "SELECT block, round, width, epochs FROM blocks WHERE block = ?",
    "lanes": "SELECT place, trial, seed, epochs, status, arrived FROM lanes "
    "WHERE block = ? ORDER BY place",
    "metrics": "SELECT name, place, value FROM metrics WHERE block = ? "
    "ORDER BY name, place",
    "devices": "SELECT kind FROM devices WHERE block = ?",
}
OF_BLOCKS = ("blocks", "lanes", "metrics", "devices", "curves", "predictions")
BLOBS = (
    "SELECT state FROM blocks WHERE block = ?",
    "SELECT value FROM curves WHERE block = ?",
    "SELECT value FROM predictions WHERE block = ?",
)


def _block(db: sqlite3.Connection, number: int, states: bool) -> Content:
    rows = {
        table: db.execute(query, (number,)).fetchall() for table, query in BLOCK.items()
    }
    read = range(len(BLOBS)) if states else range(STATE + 1, len(BLOBS))
    parts = {part: blob_of(db, number, part) for part in read}
    return Content(rows, [parts.get(part) for part in range(len(BLOBS))])


def blob_of(db: sqlite3.Connection, block: int, part: int) -> bytes | None:
    """Return a part of a block, or ``None`` if it is not there."""
    row = db.execute(BLOBS[part], (block,)).fetchone()
    return None if row is None else row[0]


def is_state(db: sqlite3.Connection, block: int, blob: bytes) -> bool:
    """Return whether these are the states that a block was written with."""
    # the newest: it may have been recorded again
    query = (
        "SELECT parts FROM sums WHERE kind = 'block' AND number = ? "
        "ORDER BY entry DESC LIMIT 1"
    )
    (parts,) = db.execute(query, (block,)).fetchone()
    return parts[:BYTES] == sum_of(blob)


def _end(db: sqlite3.Connection, number: int) -> Content:
    query = "SELECT ended FROM rounds WHERE round = ?"
    return Content({}, [blob for (blob,) in db.execute(query, (number,)).fetchall()])


def _event(db: sqlite3.Connection, number: int) -> Content:
    query = "SELECT time, kind, detail FROM events WHERE rowid = ?"
    return Content({"events": db.execute(query, (number,)).fetchall()}, [])


def _stream(db: sqlite3.Connection, number: int) -> Content:
    query = "SELECT epoch, sum FROM streams WHERE epoch = ?"
    return Content({"streams": db.execute(query, (number,)).fetchall()}, [])


def _nothing(db: sqlite3.Connection, number: int) -> Content:
    return Content({}, [])


READ: dict[str, Callable[[sqlite3.Connection, int], Content]] = {
    "files": _files,
    "round": _round,
    "variation": _variation,
    "end": _end,
    "event": _event,
    "stream": _stream,
    "forgotten": _nothing,  # a block that is recorded again
}
