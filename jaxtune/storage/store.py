"""The SQLite file of a run directory: tables, and what can be wrong with a file.

The journal is written ahead (WAL), and every change is one transaction that is on the
disk when it returns: a process may be killed at any moment.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxtune.checks import RunError

APPLICATION = 0x6A617874  # "jaxt": marks the file as ours
SCHEMA = 1
PAGE = 16384  # bytes: states are large, and 4096 took 1.6 times as long to write

TABLES = """
CREATE TABLE rounds (
  round INTEGER PRIMARY KEY, box TEXT NOT NULL, ended BLOB);
CREATE TABLE trials (
  trial INTEGER PRIMARY KEY, round INTEGER NOT NULL REFERENCES rounds,
  point BLOB NOT NULL, hparams TEXT NOT NULL);
CREATE TABLE variations (
  round INTEGER REFERENCES rounds, number INTEGER, value BLOB NOT NULL,
  PRIMARY KEY (round, number));
CREATE TABLE blocks (
  block INTEGER PRIMARY KEY, round INTEGER NOT NULL REFERENCES rounds,
  width INTEGER NOT NULL, epochs INTEGER NOT NULL, state BLOB);
CREATE TABLE lanes (
  block INTEGER REFERENCES blocks, place INTEGER, trial INTEGER NOT NULL,
  seed INTEGER NOT NULL, epochs INTEGER NOT NULL, status INTEGER NOT NULL,
  arrived INTEGER NOT NULL, PRIMARY KEY (block, place)) WITHOUT ROWID;
CREATE TABLE metrics (
  block INTEGER, place INTEGER, name TEXT, value REAL,
  PRIMARY KEY (block, name, place)) WITHOUT ROWID;
CREATE TABLE events (time TEXT NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL);
CREATE INDEX lanes_of_trials ON lanes (trial, seed);
"""
# version 0.1.0 had no such table, and reads a file that has one
DEVICES = """
CREATE TABLE IF NOT EXISTS devices (
  block INTEGER PRIMARY KEY REFERENCES blocks, kind TEXT NOT NULL);
"""


class Store:
    """An open SQLite file; mutable only through `change`.

    Args:
      path: the file.
      write: whether to open it for changes; the caller holds the directory's lock.
    """

    def __init__(self, path: Path, write: bool):
        self.path, self._write = path, write
        with self._explained():
            self._db = _connect(path, write)
            self._check()
            if write:
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")
                self._db.execute(DEVICES)
            else:
                self._db.execute("BEGIN")  # all that is read is of one moment

    @classmethod
    def create(cls, path: Path) -> Store:
        """A new file, whole or not at all."""
        with cls._explained_at(path):
            db = sqlite3.connect(path, isolation_level=None)
            marks = (
                f"PRAGMA application_id = {APPLICATION};",
                f"PRAGMA user_version = {SCHEMA};",
            )
            db.execute(f"PRAGMA page_size = {PAGE}")
            db.executescript("BEGIN;" + TABLES + "".join(marks) + "COMMIT;")
            db.close()
        return cls(path, write=True)

    def ask(self, query: str, *values: Any) -> list[tuple]:
        """Rows of a query."""
        with self._explained():
            return self._db.execute(query, values).fetchall()

    def one(self, query: str, *values: Any) -> Any:
        """The first column of the first row; ``None`` if there is none."""
        rows = self.ask(query, *values)
        return rows[0][0] if rows else None

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """All that is done inside is kept, or nothing of it."""
        with self._explained():
            self._undo()  # of a change that was interrupted anywhere
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            finally:
                self._undo()

    def _undo(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def shrink(self) -> None:
        """Give the room of deleted states back."""
        self._unless_read("VACUUM")

    def close(self) -> None:
        """Close the file, and leave it as one file that needs no others."""
        if self._write:
            self._unless_read("PRAGMA journal_mode = DELETE")
        self._db.close()

    def _unless_read(self, statement: str) -> None:
        """Tidy up, or leave it for the next time if somebody reads just now."""
        with self._explained():
            try:
                self._db.execute(statement)
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise

    def _check(self) -> None:
        application = self._db.execute("PRAGMA application_id").fetchone()[0]
        if application != APPLICATION:
            raise RunError(
                f"{self.path}: a database of some other program, not of a run. Use "
                "another directory."
            )
        schema = self._db.execute("PRAGMA user_version").fetchone()[0]
        if schema > SCHEMA:
            raise RunError(
                f"{self.path}: written by a newer jaxtune (schema {schema}; this one "
                f"knows up to {SCHEMA}). Install that version: pip install -U jaxtune"
            )
        page = self._db.execute("PRAGMA page_size").fetchone()[0]
        if self.path.stat().st_size % page:
            raise sqlite3.DatabaseError("malformed: the last page is cut")
        damage = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise sqlite3.DatabaseError(f"malformed: {damage}")

    def _explained(self) -> Any:
        return self._explained_at(self.path)

    @staticmethod
    @contextmanager
    def _explained_at(path: Path) -> Iterator[None]:
        """Turn what SQLite says into what a user can do about it."""
        try:
            yield
        except sqlite3.Error as error:
            said = str(error)
            for symptom, text in EXPLANATIONS.items():
                if symptom in said:
                    told = text.format(error=said)
                    raise RunError(f"{path}: {told}.") from error
            raise


EXPLANATIONS = {
    "disk is full": (
        "the disk is full. All blocks before this one are kept: make room, and go on "
        "with jaxtune resume"
    ),
    "disk I/O error": (
        "the disk failed ({error}). Blocks that were finished before are kept: look at "
        "the disk, and go on with jaxtune resume"
    ),
    "readonly": "cannot be written to. Make the directory writable",
    "not a database": "is no database. Use a copy of the file, or another directory",
    "malformed": "is damaged ({error}). Use a copy of it",
    "no such table": "is damaged ({error}). Use a copy of it",
    "no such column": "is damaged ({error}). Use a copy of it",
    "unable to open": "cannot be opened ({error}). Is the directory readable?",
    "locked": "another program is writing to it. Wait for it, or stop it",
}


def _connect(path: Path, write: bool) -> sqlite3.Connection:
    if not path.exists():
        raise RunError(f"{path} is missing, so there is nothing to go on with.")
    where = path.resolve().as_uri()
    if write:
        return sqlite3.connect(f"{where}?mode=rw", uri=True, isolation_level=None)
    db = sqlite3.connect(f"{where}?mode=ro", uri=True, isolation_level=None)
    try:
        db.execute("PRAGMA schema_version").fetchone()
    except sqlite3.OperationalError:
        # on a medium that nobody can write to, and with nothing left to be merged
        if path.with_name(path.name + "-wal").exists():
            raise
        db = sqlite3.connect(f"{where}?immutable=1", uri=True, isolation_level=None)
    return db
