"""Tables in files: one row for each trial, with the columns of ``result.trials``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jaxtune.integrations.tool import Tool
from jaxtune.results.result import Result, Setup


class Table(Tool):
    """A file that is rewritten after every round."""

    def on_start(self, setup: Setup) -> None:
        """Raise ``ValueError`` if the file exists already."""
        import pandas  # noqa: F401  # if missing, fail before anything trains

        if Path(self.where).exists():
            raise ValueError(
                f"export: {self.where} exists already. Use another file, or remove it."
            )

    def on_round(self, result: Result) -> None:
        """Write all trials so far; a reader finds the old table or the new one."""
        unfinished = f"{self.where}.tmp"
        self.write(result.trials.to_pandas(), unfinished)
        os.replace(unfinished, self.where)

    def write(self, frame: Any, where: str) -> None:
        """Write a data frame to a file."""
        raise NotImplementedError


class Csv(Table):
    """A comma-separated file; missing values are empty."""

    def write(self, frame: Any, where: str) -> None:
        frame.to_csv(where, index=False)


class Parquet(Table):
    """A parquet file; values other than numbers are written as strings."""

    def write(self, frame: Any, where: str) -> None:
        for name in frame.columns:
            # a column of parquet has one type, and a choice may mix several
            if frame[name].dtype == object:
                frame[name] = frame[name].map(_text)
        frame.to_parquet(where, index=False)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
