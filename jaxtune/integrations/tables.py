"""Tables in files: one row for each trial, with the columns of ``result.trials``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from jaxtune.checks import extra
from jaxtune.integrations.tool import Tool
from jaxtune.results.result import Result, Setup


class Table(Tool):
    """A file that is rewritten after every round."""

    def on_start(self, setup: Setup) -> None:
        """Raise ``ValueError`` if the file exists already."""
        extra("pandas", "export")  # if missing, fail before anything trains

        if Path(self.where).exists():
            raise ValueError(
                f"export: {self.where} exists already. Use another file, or remove it."
            )

    def on_round(self, result: Result) -> None:
        """Write all trials so far; a reader finds the old table or the new one."""
        unfinished = f"{self.where}.tmp"
        self.write(self.frame(result), unfinished)
        os.replace(unfinished, self.where)

    def frame(self, result: Result) -> Any:
        """Return what is written, as a data frame."""
        return result.trials.to_pandas()

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
        pd = extra("pandas", "export")

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

    def write(self, frame: Any, where: str) -> None:
        frame.to_csv(where, index=False)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
