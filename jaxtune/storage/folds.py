"""The rows of the folds of a run, in a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jaxtune.checks import RunError
from jaxtune.reading import LARGEST, decoding, read_regular
from jaxtune.storage.arrays import from_bytes, to_bytes
from jaxtune.storage.directory import ROWS
from jaxtune.tasks import Task
from jaxtune.tasks._folds import folded_task, with_folds


def document_of_folds(task: Task) -> bytes | None:
    """Return the rows of a task's folds as bytes; ``None`` if it has none."""
    if task.folds is None:
        return None
    train, valid = task.folds.train.listed(), task.folds.valid.listed()
    tree: dict[str, Any] = {"valid": dict(zip(_names(valid), valid, strict=True))}
    # most folds train on all other rows, which need not be written
    written = {
        name: rows
        for name, rows, out in zip(_names(train), train, valid, strict=True)
        if not np.array_equal(rows, _others(out, task.examples))
    }
    return to_bytes({**tree, "train": written})


def with_recorded_folds(path: Path, settings: dict[str, Any], task: Task) -> Task:
    """Return the task of a run with the folds that the run began with.

    Args:
      path: the run directory.
      settings: of the run.
      task: without folds.

    Raises:
      RunError: rows that are missing or damaged, or a task of other rows.
      ValueError: a run without folds, and a task without a validation split.
    """
    count = settings["folds"]
    if count is None or not task.trains:  # another task than the run's is told later
        return with_folds(task, None, None)
    known = settings["task"].get("examples")
    if task.examples != known:
        raise RunError(
            f"the run has folds of {known} rows, and train has {task.examples}. Use "
            "what the run began with, or another directory."
        )
    with decoding(path / ROWS, "is damaged or missing"):
        tree = from_bytes(read_regular(path / ROWS, LARGEST))
        train, valid = tree.get("train", {}), tree["valid"]
        if len(valid) != count:
            raise ValueError(f"{len(valid)} folds, not {count}")
        pairs = [
            (
                train[name] if name in train else _others(valid[name], task.examples),
                valid[name],
            )
            for name in map(str, range(count))
        ]
        for rows in (rows for pair in pairs for rows in pair):
            _check_rows(rows, task.examples)
    return folded_task(task, pairs)


def _names(rows: list[np.ndarray]) -> list[str]:
    return [str(number) for number in range(len(rows))]


def _check_rows(rows: np.ndarray, examples: int) -> None:
    outside = rows.size and not 0 <= rows.min() <= rows.max() < examples
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or outside:
        raise ValueError(f"rows of a fold that are not from 0 to {examples - 1}")


def _others(rows: np.ndarray, examples: int) -> np.ndarray:
    left = np.ones(examples, bool)
    left[rows] = False
    return np.flatnonzero(left)
