"""Open the SQLite file of a run, which may be a stranger's.

A database can do more than hold rows: a view may compute for ever, a trigger changes
rows that it should not, a damaged tree of pages may lead back to itself. So before any
other query the file must be a regular one and its schema one of ours, to the letter;
every query has a number of steps after which it ends, and hears Ctrl-C.
"""

from __future__ import annotations

import functools
import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from jaxtune.checks import RunError
from jaxtune.reading import is_there

Item = tuple[str, str, str, str | None]
"""A row of ``sqlite_master``: type, name, table, text."""

PATIENCE = 5.0  # seconds to wait for another program's lock
TICK = 100_000  # steps of SQLite between two calls of Python: some milliseconds
STEPS = 2 * 10**6  # of a query at least, such as for the schema
STEPS_PER_BYTE = 20  # of a query, for each byte of the file: one reads each row once
LONGEST_STATEMENT = 2**20  # bytes
MOST_ITEMS = 1000  # rows of a schema that are compared
# at the end of a journal that names another file, which SQLite would delete
SUPER_JOURNAL = bytes.fromhex("d9d505f920a163d7")


ITEMS = f"SELECT type, name, tbl_name, sql FROM sqlite_master LIMIT {MOST_ITEMS}"


@functools.cache
def items_of(script: str) -> frozenset[Item]:
    """Return the rows of ``sqlite_master`` that statements make.

    Args:
      script: such as ``CREATE TABLE ...;``.
    """
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(script)
        return frozenset(db.execute(ITEMS).fetchall())


def check_schema(
    db: sqlite3.Connection, path: Path, needed: str, known: Iterable[str]
) -> None:
    """Raise ``RunError`` unless a file has the tables of a run, and nothing else.

    Args:
      db: the open file.
      path: of the file.
      needed: statements whose tables every run has, in whatever version of them.
      known: all statements of all versions; a run has some of what they make, as they
        are to the letter.
    """
    found = frozenset(db.execute(ITEMS).fetchall())
    foreign = sorted(found - frozenset[Item]().union(*map(items_of, known)), key=repr)
    if foreign:
        kind, name = foreign[0][:2]
        raise RunError(
            f"{path} has a {kind} {str(name)[:100]!r} that is not of a run as jaxtune "
            "writes it. Use a copy of the run."
        )
    tables = {name for kind, name, *_ in items_of(needed) if kind == "table"}
    missing = sorted(tables - {name for _, name, *_ in found})
    if missing:
        raise RunError(
            f"{path} is damaged (it has no table {missing[0]!r}). Use a copy of the "
            "run."
        )


class Steps:
    """Count the steps of queries, which SQLite reports after each `TICK`.

    Args:
      db: an open file.
      most: steps of a query.
    """

    def __init__(self, db: sqlite3.Connection, most: int = STEPS):
        self._db, self._most, self._taken = db, most, 0
        db.set_progress_handler(self._tick, TICK)

    def begin(self, size: int = 0) -> None:
        """Count from here on, for a file of so many bytes."""
        self._most, self._taken = STEPS + STEPS_PER_BYTE * size, 0

    def end(self) -> None:
        """Count no more."""
        self._db.set_progress_handler(None, 0)

    @property
    def spent(self) -> bool:
        """True if a query was ended; any other end of one is that of Ctrl-C."""
        return self._taken > self._most

    def _tick(self) -> bool:
        # Python handles Ctrl-C on the way here; SQLite hears of an error as of True
        self._taken += TICK
        return self.spent


def connected(path: Path, write: bool) -> sqlite3.Connection:
    """Open a file of which nothing but its header is read yet.

    Args:
      path: the file.
      write: whether it is to be changed.

    Raises:
      RunError: a file that is missing or no regular one, or that cannot be read as it
        is.
      sqlite3.Error: it cannot be opened.
    """
    if not is_there(path):
        raise RunError(
            f"{path} is missing, so there is no run to open. Use a copy of the run."
        )
    for suffix in ("-wal", "-shm"):
        is_there(_beside(path, suffix))
    _check_journal(_beside(path, "-journal"))
    if write:
        return _connect(path, "mode=rw")
    try:
        return _connect(path, "mode=ro")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):  # by another program, which may be writing
            raise
        return _connect(path, _way_of(path, error))


def _way_of(path: Path, error: sqlite3.Error) -> str:
    """Return how to open a file that cannot just be read; raise if there is no way.

    A change that was cut off is in a journal beside the file, and must be undone before
    the file is read. And even a reader of a WAL file writes files beside it.
    """
    cut = [s for s in ("-journal", "-wal") if is_there(_beside(path, s))]
    if not _is_read_only(path.parent):
        if "readonly" not in str(error):
            raise error
        # SQLite undoes the change, unless its writer lives
        _connect(path, "mode=rw").close()
        return "mode=ro"
    if cut:
        raise RunError(
            f"{path} has changes that are in {path.name}{cut[0]} yet, and its folder "
            "cannot be written to. Copy the whole folder to another place, and use "
            "that one."
        ) from error
    return "immutable=1"  # right as there is no journal, and nobody can write


def _is_read_only(folder: Path) -> bool:
    """Return whether nobody, or at least not we, can write to a folder."""
    flags = os.statvfs(folder).f_flag if hasattr(os, "statvfs") else 0
    mounted = bool(flags & getattr(os, "ST_RDONLY", 0))
    return mounted or not os.access(folder, os.W_OK)


def _connect(path: Path, how: str) -> sqlite3.Connection:
    # the folder may be a link, the file is none
    where = (path.parent.resolve() / path.name).as_uri()
    db = sqlite3.connect(
        f"{where}?{how}",
        uri=True,
        timeout=PATIENCE,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("PRAGMA cell_size_check = ON")
        db.execute("PRAGMA mmap_size = 0")
        # no value is longer than the file, which SQLite itself sees to
        db.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, LONGEST_STATEMENT)
        db.setlimit(sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 0)
        db.execute("PRAGMA schema_version").fetchone()  # a lock is seen here
    except BaseException:
        db.close()
        raise
    return db


def file_size(path: Path) -> int:
    """Return the bytes of a file, with what is not merged into it yet."""
    files = [path, _beside(path, "-wal")]
    return sum(file.stat().st_size for file in files if is_there(file))


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _check_journal(path: Path) -> None:
    """Raise ``RunError`` for a journal by which SQLite would delete another file."""
    if not is_there(path):
        return
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - len(SUPER_JOURNAL)))
        end = file.read(len(SUPER_JOURNAL))
    if end == SUPER_JOURNAL:
        raise RunError(
            f"{path} names other files, which no journal of a run does. Remove it if "
            "the run is not yours, or use a copy of the run."
        )
