"""Tables in files: one row for each trial, one column for each thing known of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jaxtune.result import Result


def csv(result: Result, where: str) -> str:
    """Write a comma-separated file; what is missing is empty."""
    _free(where)
    result.trials.to_pandas().to_csv(where, index=False)
    return where


def parquet(result: Result, where: str) -> str:
    """Write a parquet file; values that are no numbers are written as strings."""
    _free(where)
    frame = result.trials.to_pandas()
    for name in frame.columns:
        if frame[name].dtype == object:
            frame[name] = frame[name].map(_text)
    frame.to_parquet(where, index=False)
    return where


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _free(where: str) -> None:
    """Refuse to write over a file; ``ValueError``."""
    if Path(where).exists():
        raise ValueError(f"export: {where} exists. Use another file, or remove it.")
