"""Open a record, and verify that it is as it was written."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from jaxtune.checks import RunError
from jaxtune.reading import LARGEST, decoding, is_there, read_regular
from jaxtune.storage import sums
from jaxtune.storage.directory import DATA, PRIOR, RECORD, ROWS, SETTINGS
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
        with store.query() as db, decoding(store.path):
            found = list(damages(db, directory))
        if found:
            raise RunError(damaged(directory, found))
        if write and not store.has("sums"):
            with decoding(store.path):
                _adopt(store, directory)
    except BaseException:
        store.close()
        raise
    return store


def check_written(directory: Path) -> None:
    """Raise ``RunError`` if ``run.json`` is not as it was written.

    What was changed in it may be of any kind, so it is told before anything is made of
    it. A record that is not there is told when it is opened.
    """
    if not is_there(directory / RECORD):
        return
    store = Store(directory / RECORD, write=False, damaged=True)
    with closing(store), store.query() as db:
        if store.has("sums"):
            found = list(_files(db, directory, entries_of(db), (SETTINGS,)))
            if found:
                raise RunError(damaged(directory, found))


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
        sums.seal_all(db, files_of(directory), SETTINGS)
        db.execute(f"PRAGMA user_version = {SCHEMA}")


def files_of(directory: Path) -> dict[str, bytes]:
    """Return the files beside a record, name to content."""
    paths = [directory / name for name in FILES]
    return {path.name: read_regular(path, LARGEST) for path in paths if is_there(path)}


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
    entries = entries_of(db)
    ended = {entry.number for entry in entries if entry.kind == "end"}
    counted: Counter[str] = Counter()
    yield from _order(entries)
    for entry in without_replaced(entries):
        found = _read(db, entry, states)
        if found is None:
            yield Damage(NAMES.get(entry.kind, "entry"), entry.number, entry.entry)
            continue
        yield from _entry(entry, found, ended, states)
        counted.update({table: len(rows) for table, rows in found.rows.items()})
        if entry.kind == "trials":
            counted["trials"] += sum(part is not None for part in found.parts)
    yield from _uncounted(db, counted, len(ended))
    yield from _files(db, directory, entries)


def entries_of(db: sqlite3.Connection) -> list[Entry]:
    """Return the entries of a record in their order; of a damaged one, what is left."""
    query = "SELECT * FROM sums"
    try:
        rows = db.execute(f"{query} ORDER BY entry").fetchall()
    except sqlite3.DatabaseError:
        rows = list(_one_by_one(db, f"{query} WHERE entry = ?"))
    return [Entry(*row) for row in rows if tuple(map(type, row)) == TYPES]


def without_replaced(entries: list[Entry]) -> list[Entry]:
    """Return entries without those of blocks that were recorded again."""
    replaced = {e.number: e.entry for e in entries if e.kind == "forgotten"}
    return [
        e for e in entries if e.kind != "block" or e.entry > replaced.get(e.number, -1)
    ]


TYPES = (int, str, int, bytes, bytes, bytes)  # of an entry


def _one_by_one(db: sqlite3.Connection, query: str) -> Iterator[tuple]:
    """Yield the rows of entries, up to a thousand that cannot be read."""
    number, missed = 0, 0
    while missed < 1000:
        try:
            rows = db.execute(query, (number,)).fetchall()
        except sqlite3.DatabaseError:
            rows = []
        missed = 0 if rows else missed + 1
        yield from rows
        number += 1


def _read(db: sqlite3.Connection, entry: Entry, states: bool) -> sums.Content | None:
    """Return the content of an entry; ``None`` if it cannot be read."""
    try:
        return content(db, entry.kind, entry.number, len(entry.part_sums), states)
    except (sqlite3.DatabaseError, KeyError, TypeError):
        return None


def _order(entries: list[Entry]) -> Iterator[Damage]:
    """Yield entries that do not follow from those before them."""
    link = b""
    for at, entry in enumerate(entries):
        if entry.entry != at or sum_of(link, entry.sum) != entry.link:
            # its content may be as it was written all the same
            yield Damage("checksum", entry.entry)
        link = entry.link


def _entry(
    entry: Entry, found: sums.Content, ended: set[int], states: bool
) -> Iterator[Damage]:
    kind, number = entry.kind, entry.number
    same = entry_sum(kind, number, found, entry.parts) == entry.sum
    if not same or len(found.parts) != len(entry.part_sums):
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
    "forgotten": "forgotten block",
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
FILE, STATES = "file", "states of block"
PARTS = (STATES, "curves of block", "predictions of block")


def _uncounted(
    db: sqlite3.Connection, counted: Counter[str], ended: int
) -> Iterator[Damage]:
    """Yield tables with rows that no entry has."""
    for table in COUNTED:
        if _number(db, f"SELECT count(*) FROM {table}") != counted[table]:
            yield Damage("table", table)
    if _number(db, "SELECT count(ended) FROM rounds") != ended:
        yield Damage("ends of", "rounds")


def _number(db: sqlite3.Connection, query: str) -> int:
    try:
        return db.execute(query).fetchone()[0]
    except sqlite3.DatabaseError:
        return -1


def _files(
    db: sqlite3.Connection,
    directory: Path,
    entries: list[Entry],
    names: Sequence[str] = FILES,
) -> Iterator[Damage]:
    """Yield files beside the record that are not as they were written."""
    versions = [entry for entry in entries if entry.kind == "files"]
    if not versions:
        yield Damage("list of files", 0)
        return
    # the record knows of more rounds before run.json does: a process may have been
    # killed in between, and then nothing of them is recorded
    followed = any(
        entry.kind in ("round", "trials", "block", "end")
        for entry in entries
        if entry.entry > versions[-1].entry
    )
    fine = versions[-1:] if followed else versions[-2:]
    query = "SELECT sum FROM files WHERE name = ? AND version = ?"
    for name in names:
        known = [
            row[0]
            for entry in fine
            for row in db.execute(query, (name, entry.number)).fetchall()
        ]
        path = directory / name
        if not is_there(path):
            # a run may be passed on without its data
            if known and name != DATA:
                yield Damage(FILE, name)
        elif sum_of(read_regular(path, LARGEST)) not in known:
            yield Damage(FILE, name)
