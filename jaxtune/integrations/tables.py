"""Tables in files: one row for each trial, one column for each thing known of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jaxtune.integrations.tool import Tool
from jaxtune.results.result import Result, Setup


class Table(Tool):
    """A file, written anew when a round ends."""

    def on_start(self, setup: Setup) -> None:
        """Refuse to write over a file; ``ValueError``."""
        import pandas  # noqa: F401  # missing? then before anything trains

        if Path(self.where).exists():
            why = f"export: {self.where} exists. Use another file, or remove it."
            raise ValueError(why)

    def on_round(self, result: Result) -> None:
        """Write all trials; a reader finds the old table or the new one."""
        unfinished = f"{self.where}.tmp"
        self.write(result.trials.to_pandas(), unfinished)
        os.replace(unfinished, self.where)

    def write(self, frame: Any, where: str) -> None:
        """Write a data frame."""
        raise NotImplementedError


class Csv(Table):
    """A comma-separated file; what is missing is empty."""

    def write(self, frame: Any, where: str) -> None:
        """Write a data frame."""
        frame.to_csv(where, index=False)


class Parquet(Table):
    """A parquet file; values that are no numbers are written as strings."""

    def write(self, frame: Any, where: str) -> None:
        """Write a data frame."""
        for name in frame.columns:
            if frame[name].dtype == object:
                frame[name] = frame[name].map(_text)
        frame.to_parquet(where, index=False)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
