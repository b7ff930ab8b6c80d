"""The SQLite file of a run directory: its tables, and errors in plain words.

SQLite logs changes ahead of the file (WAL), and every change is one transaction that is
on the disk when it returns, so a process may be killed at any moment.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from jaxtune.checks import RunError
from jaxtune.reading import decoding, in_short
from jaxtune.storage import sums
from jaxtune.storage.opening import Steps, check_schema, connected, file_size

APPLICATION = 0x6A617874  # "jaxt": marks the file as ours
SCHEMA = 2  # 1, up to version 0.2.0, has no checksums
PAGE = 16384  # bytes; with 4096, states took 1.6 times as long to write

RECORDED = """
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
"""
# a record of version 0.1 or 0.2 gets those that it has not when it is written to
ADDED = """
CREATE TABLE devices (
  block INTEGER PRIMARY KEY REFERENCES blocks, kind TEXT NOT NULL);
CREATE TABLE curves (
  block INTEGER PRIMARY KEY REFERENCES blocks, value BLOB NOT NULL);
CREATE TABLE predictions (
  block INTEGER PRIMARY KEY REFERENCES blocks, value BLOB NOT NULL);
CREATE TABLE streams (epoch INTEGER PRIMARY KEY, sum TEXT NOT NULL);
"""
# up to version 0.2.0
INDEX = "CREATE INDEX lanes_of_trials ON lanes (trial, seed);"


def statements(tables: str) -> dict[str, str]:
    """Return the statement that creates each table, by the table's name.

    Tables refuse values of another type, as far as SQLite can.
    """
    strict = sqlite3.sqlite_version_info >= (3, 37)
    made = {}
    for statement in tables.strip().split(";")[:-1]:
        statement = statement.strip()
        if strict:
            without = statement.endswith("WITHOUT ROWID")
            statement += ", STRICT" if without else " STRICT"
        made[statement.split()[2]] = statement
    return made


# a file has nothing that none of these makes: texts that were written once stay here
KNOWN = (
    RECORDED + INDEX + ADDED + sums.TABLES,
    ";".join(statements(RECORDED + ADDED + sums.TABLES).values()),
)


class Store:
    """An open SQLite file, changed only through `change`.

    Args:
      path: the file.
      write: whether to open it for changes; then the caller holds the directory's lock.
      damaged: whether a file may be damaged, to read what is left of it.
    """

    def __init__(self, path: Path, write: bool, damaged: bool = False):
        self.path, self._write = path, write
        # changes are made in another thread, and a query must not see half of one
        self._one_at_a_time = threading.RLock()
        with decoding(path), self._explained(), ExitStack() as undo:
            self._db = undo.enter_context(closing(connected(path, write)))
            self._steps = Steps(self._db)
            if not write:
                # one transaction for all queries: a search that is running may write
                # between them, and the result must be of one moment
                self._db.execute("BEGIN")
            self._check()
            if not damaged:
                self._check_whole()
            self._size = file_size(path)
            if write:
                # from here on a statement of ours runs to its end
                self._steps.end()
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")
            undo.pop_all()  # opened: it is closed by `close`

    @classmethod
    def create(cls, path: Path) -> Store:
        """Create a file, whole or not at all, and open it for changes."""
        with (
            cls._explained_at(path),
            closing(sqlite3.connect(path, isolation_level=None)) as db,
        ):
            marks = (
                f"PRAGMA application_id = {APPLICATION}",
                f"PRAGMA user_version = {SCHEMA}",
            )
            db.execute(f"PRAGMA page_size = {PAGE}")
            tables = statements(RECORDED + ADDED + sums.TABLES).values()
            db.executescript(";".join(["BEGIN", *tables, *marks, "COMMIT;"]))
        return cls(path, write=True)

    def ask(self, query: str, *values: Any) -> list[tuple]:
        """Return the rows of a query."""
        with self._one_at_a_time, self._explained():
            self._steps.begin(self._size)
            return self._db.execute(query, values).fetchall()

    def one(self, query: str, *values: Any) -> Any:
        """Return the first column of the first row; ``None`` if there is no row."""
        rows = self.ask(query, *values)
        return rows[0][0] if rows else None

    @contextmanager
    def query(self) -> Iterator[sqlite3.Connection]:
        """Yield the open file for several queries."""
        with self._one_at_a_time, self._explained():
            self._steps.begin(self._size)
            yield self._db

    def has(self, table: str) -> bool:
        """Return whether there is a table of this name; old records have fewer."""
        query = "SELECT count(*) FROM sqlite_master WHERE name = ?"
        return bool(self.one(query, table))

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """Keep all changes that are made inside, or none of them."""
        with self._one_at_a_time, self._explained():
            self._undo()  # Ctrl-C may have interrupted even the undoing of a change
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
        """Give the space of deleted states back to the disk."""
        self._unless_read("VACUUM")

    def close(self) -> None:
        """Close the file, and merge SQLite's files beside it into this one."""
        if self._write:
            self._unless_read("PRAGMA journal_mode = DELETE")
        self._db.close()

    def _unless_read(self, statement: str) -> None:
        """Execute a statement that tidies up, unless another process reads the file."""
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
                f"{self.path}: written by a newer jaxtune (schema {schema}; this "
                f"version reads up to {SCHEMA}). Update it: pip install -U jaxtune."
            )
        check_schema(self._db, self.path, RECORDED, KNOWN)

    def _check_whole(self) -> None:
        # a file that is cut within its last page can pass SQLite's own check
        page = self._db.execute("PRAGMA page_size").fetchone()[0]
        if self.path.stat().st_size % page:
            raise sqlite3.DatabaseError("malformed: the last page is cut")
        self._steps.begin(file_size(self.path))
        damage = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise sqlite3.DatabaseError(f"malformed: {damage}")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        with self._explained_at(self.path):
            try:
                yield
            except sqlite3.OperationalError as error:
                if str(error) != "interrupted":
                    raise
                if self._steps.spent:
                    raise RunError(
                        f"{self.path} is damaged (a query does not end). Use a copy of "
                        "the run."
                    ) from error
                # Python's own error is lost in SQLite
                raise KeyboardInterrupt from None

    @staticmethod
    @contextmanager
    def _explained_at(path: Path) -> Iterator[None]:
        """Turn an error of SQLite into one that says what a user can do."""
        try:
            yield
        except sqlite3.Error as error:
            message = str(error)
            for symptom, text in EXPLANATIONS.items():
                if symptom in message:
                    # SQLite's own words may have several lines
                    said = " ".join(message.split())
                    explanation = text.format(error=said, folder=path.parent)
                    raise RunError(f"{path} {explanation}.") from error
            if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError):
                raise RunError(
                    f"{path} is damaged ({in_short(error)}). Use a copy of the run."
                ) from error
            raise


DAMAGED = (
    "is damaged ({error}). Use a copy of the run, or see what can be saved: jaxtune "
    "check {folder}"
)
EXPLANATIONS = {
    "disk is full": (
        "cannot be written to: the disk is full. All blocks before this one are kept: "
        "free some space, then use jaxtune resume"
    ),
    "disk I/O error": (
        "cannot be read or written: the disk failed ({error}). Blocks that were "
        "finished before are kept: check the disk, then use jaxtune resume"
    ),
    "readonly": "cannot be written to. Make the directory writable",
    "not a database": "is no database. Use a copy of the run, or another directory",
    "malformed": DAMAGED,
    "no such table": DAMAGED,
    "Could not decode": DAMAGED,
    "no such column": DAMAGED,
    "unable to open": "cannot be opened ({error}). Make the directory readable",
    "locked": "is locked: another program is writing to it. Wait for it, or stop it",
}
