"""Open a record, and verify that it is as it was written."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jaxtune.checks import RunError
from jaxtune.storage import sums
from jaxtune.storage.directory import (
    DATA,
    PRIOR,
    RECORD,
    ROWS,
    SETTINGS,
)
from jaxtune.storage.store import ADDED, SCHEMA, Store, statements
from jaxtune.storage.sums import STATE, Entry, content, entry_sum, sum_of

FILES = (SETTINGS, DATA, ROWS, PRIOR)


class Damage(NamedTuple):
    """A part of a run that is not as it was written.

    Args:
      kind: what it is: a file, a round, a trial, a block, an event, ...
      which: its name or number.
      entry: the number of its entry; -1 for one that has none.
    """

    kind: str
    which: str | int
    entry: int = -1

    def __str__(self) -> str:
        return f"{self.kind} {self.which}"


def open_verified(directory: Path, write: bool = False) -> Store:
    """Open the record of a run, and verify all but the states of blocks.

    Args:
      directory: of the run; for writing, its lock is held.
      write: whether to open it for changes; a record of an earlier version then gets
        checksums, after which that version cannot open it any more.

    Raises:
      RunError: a record that cannot be opened, or that is damaged.
    """
    store = Store(directory / RECORD, write=write)
    try:
        with store.query() as db:
            found = list(damages(db, directory))
        if found:
            raise RunError(damaged(directory, found))
        if write and not store.has("sums"):
            _adopt(store, directory)
    except BaseException:
        store.close()
        raise
    return store


def damaged(directory: Path, found: list[Damage]) -> str:
    """Return a message that names what is damaged, and the way out."""
    some = ", ".join(map(str, found[:3]))
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    other = "is" if len(found) == 1 else "are"
    return (
        f"{directory} is damaged: {some}{more} {other} not as written. See what can be "
        f"saved: jaxtune check {directory}."
    )


def _adopt(store: Store, directory: Path) -> None:
    with store.change() as db:
        for table, statement in statements(ADDED + sums.TABLES).items():
            if not store.has(table):
                db.execute(statement)
        sums.adopt(db, files_of(directory), SETTINGS)
        db.execute(f"PRAGMA user_version = {SCHEMA}")


def files_of(directory: Path) -> dict[str, bytes]:
    """Return the files beside a record, name to content."""
    paths = [directory / name for name in FILES]
    return {path.name: path.read_bytes() for path in paths if path.is_file()}


def damages(
    db: sqlite3.Connection, directory: Path, states: bool = False
) -> Iterator[Damage]:
    """Yield what is not as it was written, in the order in which it was.

    Args:
      db: the open record.
      directory: of the run.
      states: whether to verify the states of blocks too, which may be large.
    """
    newest = db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA
    there = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'sums'")
    if not there.fetchone()[0] and not newest:
        return  # of an earlier version, which had none
    if not newest:
        yield Damage("schema", "number")
    entries = [Entry(*row) for row in db.execute("SELECT * FROM sums ORDER BY entry")]
    ended = {entry.number for entry in entries if entry.kind == "end"}
    counted: Counter[str] = Counter()
    yield from _order(entries)
    for entry in entries:
        found = content(db, entry.kind, entry.number, len(entry.part_sums), states)
        yield from _entry(entry, found, ended, states)
        counted.update({table: len(rows) for table, rows in found.rows.items()})
        if entry.kind == "trials":
            counted["trials"] += sum(part is not None for part in found.parts)
    yield from _uncounted(db, counted, len(ended))
    yield from _files(db, directory, entries)


def _order(entries: list[Entry]) -> Iterator[Damage]:
    """Yield entries that do not follow from those before them."""
    link = b""
    for at, entry in enumerate(entries):
        if entry.entry != at or sum_of(link, entry.sum) != entry.link:
            yield Damage("checksum", entry.entry, entry.entry)
        link = entry.link


def _entry(
    entry: Entry, found: sums.Content, ended: set[int], states: bool
) -> Iterator[Damage]:
    kind, number = entry.kind, entry.number
    if entry_sum(kind, number, found, entry.parts) != entry.sum:
        yield Damage(NAMES[kind], number, entry.entry)
        return
    for place, (part, known) in enumerate(
        zip(found.parts, entry.part_sums, strict=True)
    ):
        if sums.part_sum(part) == known:
            continue
        if kind == "trials":
            yield Damage("trial", number + place, entry.entry)
        elif kind != "block":
            yield Damage(NAMES[kind], number, entry.entry)
        elif part is not None or (place != STATE and _round_of(found) not in ended):
            # states are dropped when nothing needs them, the others with the round
            yield Damage(PARTS[place], number, entry.entry)


def _round_of(found: sums.Content) -> int:
    return found.rows["blocks"][0][1]


NAMES = {
    "files": "list of files",
    "round": "round",
    "trials": "trials from",
    "variation": "change of trials",
    "block": "block",
    "end": "end of round",
    "event": "event",
    "stream": "rows of epoch",
}
COUNTED = (
    "rounds",
    "trials",
    "variations",
    "blocks",
    "lanes",
    "metrics",
    "devices",
    "events",
    "files",
    "streams",
)
PARTS = ("states of block", "curves of block", "predictions of block")


def _uncounted(
    db: sqlite3.Connection, counted: Counter[str], ended: int
) -> Iterator[Damage]:
    """Yield tables with rows that no entry has."""
    for table in COUNTED:
        if db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] != counted[table]:
            yield Damage("table", table)
    ends = db.execute("SELECT count(ended) FROM rounds").fetchone()[0]
    if ends != ended:
        yield Damage("ends of", "rounds")


def _files(
    db: sqlite3.Connection, directory: Path, entries: list[Entry]
) -> Iterator[Damage]:
    versions = [entry for entry in entries if entry.kind == "files"]
    if not versions:
        yield Damage("list of files", 0)
        return
    # the record knows of more rounds before run.json does: a process may have been
    # killed in between, and then nothing of them is recorded
    followed = any(
        entry.kind in ("round", "trials", "block", "end")
        for entry in entries[versions[-1].entry + 1 :]
    )
    fine = versions[-1:] if followed else versions[-2:]
    query = "SELECT sum FROM files WHERE name = ? AND version = ?"
    for name in FILES:
        known = [
            row[0]
            for entry in fine
            for row in db.execute(query, (name, entry.number)).fetchall()
        ]
        path = directory / name
        if not path.is_file():
            # a run may be passed on without its data
            if known and name != DATA:
                yield Damage("file", name)
        elif sum_of(path.read_bytes()) not in known:
            yield Damage("file", name)
