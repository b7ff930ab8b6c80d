"""Data of other libraries as arrays, and streams of what does not fit on a device.

Nothing here imports the libraries: who has a data frame has pandas.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jaxtune.tasks import Stream, stream

__all__ = ["Stream", "from_datasets", "from_grain", "from_pandas", "stream"]

Arrays = tuple[np.ndarray, np.ndarray]


def from_pandas(frame: Any, target: str, inputs: Sequence[str] | None = None) -> Arrays:
    """Columns of a data frame as ``(x [N, d] float32, y [N])``.

    Args:
      frame: a ``pandas.DataFrame``.
      target: the column to learn.
      inputs: the columns to learn from; all others if not given.

    Returns:
      A pair for ``train``, ``valid`` or ``test``.

    Raises:
      KeyError: no such column.
      ValueError: a column that has no numbers, or misses some.
    """
    names = [name for name in frame.columns if name != target]
    names = names if inputs is None else list(inputs)
    for name in (*names, target):
        column = _column(frame, name, list(frame.columns))
        if column.dtype.kind not in "fiub":
            raise ValueError(
                f"from_pandas: column {name!r} has dtype {column.dtype}, not numbers. "
                "Leave it out by inputs=..., or use its codes: "
                f"frame[{name!r}].astype('category').cat.codes"
            )
        missing = int(column.isna().sum())
        if missing:
            raise ValueError(
                f"from_pandas: column {name!r} misses {missing} of {len(column)} "
                "values. Fill them, or drop the rows."
            )
    return frame[names].to_numpy(np.float32), _numbers(frame[target].to_numpy())


def from_datasets(dataset: Any, inputs: str | Sequence[str], target: str) -> Arrays:
    """Columns of a Hugging Face dataset as ``(x [N, ...], y [N])``.

    Args:
      dataset: a ``datasets.Dataset`` in memory or on disk; see `stream` for one
        that does not fit.
      inputs: one column of numbers, vectors or images, or several columns of numbers,
        stacked.
      target: the column to learn.

    Returns:
      A pair for ``train``, ``valid`` or ``test``.

    Raises:
      KeyError: no such column.
    """
    names = [inputs] if isinstance(inputs, str) else list(inputs)
    table = dataset.with_format("numpy")[:]
    found = [np.asarray(_column(table, name, list(table))) for name in names]
    x = found[0] if isinstance(inputs, str) else np.stack(found, axis=1)
    return x, _numbers(np.asarray(_column(table, target, list(table))))


def from_grain(dataset: Iterable[Any], inputs: str = "x", target: str = "y") -> Arrays:
    """The elements of a Grain dataset as ``(x [N, ...], y [N])``.

    Args:
      dataset: a ``grain.MapDataset``, ``IterDataset`` or ``DataLoader`` of single
        examples, pairs or dicts, that ends; see `stream` for one that does not
        fit.
      inputs: key of the input, in a dict.
      target: key of the target, in a dict.

    Returns:
      A pair for ``train``, ``valid`` or ``test``.

    Raises:
      KeyError: no such key.
      ValueError: no elements.
    """
    pairs = [
        tuple(_column(e, name, list(e)) for name in (inputs, target))
        if isinstance(e, dict)
        else e
        for e in dataset
    ]
    if not pairs:
        raise ValueError("from_grain: the dataset is empty.")
    x, y = (np.stack(part) for part in zip(*pairs, strict=True))
    return x, _numbers(y)


def _column(table: Any, name: str, names: list[str]) -> Any:
    if name not in names:
        raise KeyError(f"no column {name!r}. There are {', '.join(map(str, names))}.")
    return table[name]


def _numbers(target: np.ndarray) -> np.ndarray:
    """Truth values are the classes 0 and 1."""
    return target.astype(np.int32) if target.dtype == bool else target
