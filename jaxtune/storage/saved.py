"""The parts of a damaged run that can be saved, and a copy that has them.

All that is as it was written goes into the copy. A block that is not is left out, and
is trained again when the copy is resumed. Points decide about all that follows, so a
record is kept up to the first round or trial that is damaged.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from jaxtune.checks import RunError
from jaxtune.storage import sums
from jaxtune.storage.directory import DATA, RECORD, SETTINGS, write_whole
from jaxtune.storage.durable import note
from jaxtune.storage.store import Store
from jaxtune.storage.sums import NOTHING, Entry, sum_of
from jaxtune.storage.verified import (
    FILE,
    STATES,
    Damage,
    damages,
    entries_of,
    files_of,
    without_replaced,
)

POINTS = ("round", "trials", "variation")


class Salvage(NamedTuple):
    """The parts of a run that can be saved.

    Args:
      damages: what is not as it was written.
      entries: all of the record.
      kept: those that are kept, in their order.
      files: name to content of the files beside the record that are kept.
    """

    damages: list[Damage]
    entries: list[Entry]
    kept: list[Entry]
    files: dict[str, bytes]

    @property
    def bad(self) -> set[int]:
        """Entries with a damage other than of states, which can be computed again."""
        return {d.entry for d in self.damages if d.kind != STATES}

    @property
    def lost(self) -> list[str]:
        """Files beside the record that are damaged, and that nothing replaces."""
        damaged = {str(d.which) for d in self.damages if d.kind == FILE} - {DATA}
        return sorted(damaged - set(self.files))


def salvage(db: sqlite3.Connection, directory: Path) -> Salvage:
    """Return what can be saved of a run.

    Args:
      db: its open record, which has checksums.
      directory: of the run.
    """
    found, entries = list(damages(db, directory, states=True)), entries_of(db)
    files = files_of(directory)
    spoiled = {damage.which for damage in found if damage.kind == FILE}
    if spoiled and not _as_summed(files, entries):
        files = {n: data for n, data in files.items() if n not in spoiled}
        if SETTINGS not in files:
            files |= _recorded_settings(db)
    known = Salvage(found, entries, [], files)
    return known._replace(kept=list(_kept(entries, known.bad)))


def _as_summed(files: dict[str, bytes], entries: list[Entry]) -> bool:
    """Return whether files are as written, and only the list of them is damaged."""
    rows = [(name, sum_of(data)) for name, data in sorted(files.items())]
    now = sums.Content({"files": rows}, [])
    return any(
        sums.entry_sum(entry.kind, entry.number, now, entry.parts) == entry.sum
        for entry in entries
        if entry.kind == "files"
    )


def _recorded_settings(db: sqlite3.Connection) -> dict[str, bytes]:
    """Return ``run.json`` from the record, if it is as it was written."""
    newest = (
        "SELECT content, sum FROM files WHERE name = ? ORDER BY version DESC LIMIT 1"
    )
    try:
        for content, known in db.execute(newest, (SETTINGS,)).fetchall():
            if content is not None and sum_of(content) == known:
                return {SETTINGS: content}
    except sqlite3.DatabaseError:
        pass
    return {}


def _kept(entries: list[Entry], bad: set[int]) -> Iterator[Entry]:
    """Yield the entries that are kept."""
    number, ends = -1, {e.number for e in entries if e.kind == "end"}
    ends -= {e.number for e in entries if e.kind == "end" and e.entry in bad}
    again, standing = _without_curves(entries, ends), set(without_replaced(entries))
    for entry in entries[: _first_lost(entries, bad)]:
        if entry.kind == "round":
            number = entry.number
        if entry.kind == "block" and (number in again or entry not in standing):
            continue
        # of a round that has ended the numbers of its blocks stay, see `_copy`
        if entry.entry not in bad or (entry.kind == "block" and number in ends):
            yield entry


def _first_lost(entries: list[Entry], bad: set[int]) -> int:
    """Return the first entry from which on nothing is kept."""
    first = len(entries)
    for at, entry in enumerate(entries):
        if entry.entry != at or (entry.kind in POINTS and at in bad):
            first = at
            break
    # a round begins with its trials, which are entered behind it
    return first - 1 if first and entries[first - 1].kind == "round" else first


def _without_curves(entries: list[Entry], ends: set[int]) -> set[int]:
    """Return rounds to train again: their end is damaged, and it had their curves."""
    number, again = -1, set()
    ended = {entry.number for entry in entries if entry.kind == "end"}
    for entry in entries:
        number = entry.number if entry.kind == "round" else number
        curves = entry.kind == "block" and entry.part_sums[1:] != [NOTHING, NOTHING]
        if curves and number in ended - ends:
            again.add(number)
    return again


def write_copy(found: Salvage, db: sqlite3.Connection, out: Path) -> None:
    """Write what can be saved of a run.

    Args:
      found: what can be.
      db: the open record of the run.
      out: an empty directory.

    Raises:
      RunError: a file is damaged that cannot be made again.
    """
    if found.lost:
        raise RunError(
            f"{', '.join(found.lost)}: damaged, and nothing else has what is in it. "
            "Use a copy of this file, or begin the search again."
        )
    spoiled = [(d.which,) for d in found.damages if d.kind == STATES]
    with closing(Store.create(out / RECORD)) as store, store.change() as new:
        sums.seal_files(new, found.files, SETTINGS)
        for entry in found.kept:
            _copy(entry, db, new, entry.entry in found.bad, spoiled)
        note(new, "repaired", f"{len(found.damages)} damages")
    for name in sorted(found.files, key=lambda name: name == SETTINGS):
        write_whole(out / name, found.files[name])


def _copy(
    entry: Entry,
    old: sqlite3.Connection,
    new: sqlite3.Connection,
    bad: bool,
    spoiled: list[tuple],
) -> None:
    """Copy an entry, and add its checksums."""
    kind, number = entry.kind, entry.number
    if kind in ("files", "forgotten"):
        return  # files of the copy may be others, and it has no block twice
    if bad:
        # its round has ended, so nothing is asked but that the numbers of blocks stay
        row = "SELECT ?, max(round), 1, 0, NULL FROM rounds"
        new.execute(f"INSERT INTO blocks {row}", (number,))
    elif kind == "end":
        query = "SELECT ended FROM rounds WHERE round = ?"
        new.execute(
            "UPDATE rounds SET ended = ? WHERE round = ?",
            (old.execute(query, (number,)).fetchone()[0], number),
        )
    values = (number, len(entry.part_sums)) if kind == "trials" else (number,)
    for table, query in () if bad else COPIED.get(kind, ()):
        _insert(new, table, old.execute(query, values).fetchall())
    if kind == "block" and (number,) in spoiled:
        new.execute("UPDATE blocks SET state = NULL WHERE block = ?", (number,))
    if kind in ("variation", "event"):
        sums.seal_last(new, kind, COPIED[kind][0][0])
    else:
        sums.seal(new, kind, number)


def _insert(new: sqlite3.Connection, table: str, rows: list[tuple]) -> None:
    if rows:
        places = ", ".join("?" * len(rows[0]))
        new.executemany(f"INSERT INTO {table} VALUES ({places})", rows)


COPIED = {
    "round": [("rounds", "SELECT round, box, NULL FROM rounds WHERE round = ?")],
    "trials": [
        ("trials", "SELECT * FROM trials WHERE trial >= ?1 AND trial < ?1 + ?2")
    ],
    "variation": [("variations", "SELECT * FROM variations WHERE rowid = ?")],
    "stream": [("streams", "SELECT * FROM streams WHERE epoch = ?")],
    "event": [("events", "SELECT * FROM events WHERE rowid = ?")],
    "block": [
        (table, f"SELECT * FROM {table} WHERE block = ?") for table in sums.OF_BLOCKS
    ],
}
