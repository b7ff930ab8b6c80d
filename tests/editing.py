"""Edits runs as nobody should: tests of what else is told than a checksum."""

import json
import sqlite3
from contextlib import closing


def without_sums(directory):
    """Make a record one of an earlier version, which had no checksums; return it."""
    with closing(sqlite3.connect(directory / "run.sqlite")) as db:
        for table in ("sums", "files"):
            db.execute(f"DROP TABLE IF EXISTS {table}")
        db.execute("PRAGMA user_version = 1")
        db.commit()
    return directory


def edit_settings(directory, change):
    """Change the settings of a run, in place, by a function."""
    path = without_sums(directory) / "run.json"
    settings = json.loads(path.read_text())
    change(settings)
    path.write_text(json.dumps(settings))
