"""Tables in files: one row for each trial, with the columns of ``result.trials``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jaxtune.integrations.tool import Tool
from jaxtune.results.result import Result, Setup
from jaxtune.writing import replace_file


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
        replace_file(self.where, self.content(self.frame(result)))

    def frame(self, result: Result) -> Any:
        """Return what is written, as a data frame."""
        return result.trials.to_pandas()

    def content(self, frame: Any) -> bytes:
        """Return the file of a data frame."""
        raise NotImplementedError


class Csv(Table):
    """A comma-separated file; missing values are empty.

    A name or value that a spreadsheet would take for a formula has an apostrophe before
    it.
    """

    def content(self, frame: Any) -> bytes:
        return _csv(frame)


class Parquet(Table):
    """A parquet file; values other than numbers are written as strings."""

    def content(self, frame: Any) -> bytes:
        for name in frame.columns:
            # a column of parquet has one type, and a choice may mix several
            if frame[name].dtype == object:
                frame[name] = frame[name].map(_text)
        return frame.to_parquet(None, index=False)


class EveryEpoch(Table):
    """A comma-separated file with one row for each trial, seed and epoch.

    Epochs that a trial has not trained have no row; where it failed, values are empty.
    """

    def on_start(self, setup: Setup) -> None:
        """Raise ``ValueError`` if the file exists, or the search keeps no history."""
        if not setup.workload.scoring.history:
            raise ValueError(
                "export: this search kept no history. Use jaxtune.search(..., "
                "history=True)."
            )
        super().on_start(setup)

    def frame(self, result: Result) -> Any:
        import pandas as pd

        history = result.history
        if not history:  # nothing has been scored yet
            return pd.DataFrame(columns=["trial", "seed", "epoch"])
        epochs = np.arange(1, next(iter(history.values())).shape[-1] + 1)
        trained = result.trials.epochs[:, None, None] >= epochs
        known = [~np.isnan(values) for values in history.values()]
        shown = np.any([np.broadcast_to(trained, known[0].shape), *known], axis=0)
        trial, seed, place = np.nonzero(shown)
        columns = {"trial": trial, "seed": seed, "epoch": epochs[place]}
        return pd.DataFrame(columns | {n: v[shown] for n, v in history.items()})

    def content(self, frame: Any) -> bytes:
        return _csv(frame)


def _csv(frame: Any) -> bytes:
    """Return a data frame as CSV, in which nothing is a formula."""
    for name in frame.columns:
        if frame[name].dtype.kind not in "biuf":  # text, or values of several kinds
            frame[name] = frame[name].map(_no_formula)
    frame.columns = [_no_formula(name) for name in frame.columns]
    return frame.to_csv(None, index=False).encode()


# a cell that begins so is computed, and may call programs or send other cells away
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")


def _no_formula(value: Any) -> Any:
    """Return text with an apostrophe before what a spreadsheet would compute."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    if not text.lstrip(" ").startswith(FORMULAS) or _is_number(text):
        return value
    return f"'{text}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
