"""Arrays from other libraries' data sets, and streams of data too large for a device.

Nothing here imports those libraries: a caller who has a data frame has pandas.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jaxtune.door import NAME, Argument, either, guarded, optional, shown
from jaxtune.tasks import Stream, stream
from jaxtune.tasks.arrays import to_32_bits
from jaxtune.tasks.containers import as_array, columns

__all__ = ["Stream", "from_datasets", "from_grain", "from_pandas", "stream"]

Arrays = tuple[np.ndarray, np.ndarray]

FRAME = Argument("a data frame", lambda value: hasattr(value, "columns"))
DATASET = Argument(
    "a dataset of Hugging Face", lambda value: hasattr(value, "with_format")
)
EXAMPLES = Argument(
    "a dataset of examples, pairs or dicts",
    lambda value: hasattr(value, "__iter__") or hasattr(value, "__getitem__"),
)
COLUMNS = Argument(
    "a list of names of columns",
    lambda value: isinstance(value, Iterable) and not isinstance(value, str | bytes),
)


@guarded(frame=FRAME, inputs=optional(COLUMNS))
def from_pandas(frame: Any, target: str, inputs: Sequence[str] | None = None) -> Arrays:
    """Return columns of a data frame as ``(x [N, d] float32, y [N])``.

    >>> import jaxtune as jt
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"length": [5, 6], "width": [3, 2], "kind": [0, 1]})
    >>> x, y = jt.data.from_pandas(frame, target="kind")
    >>> x.shape, y.tolist()
    ((2, 2), [0, 1])

    Args:
      frame: a ``pandas.DataFrame``.
      target: name of the column to predict.
      inputs: names of the columns to predict from; all others if not given.

    Returns:
      A pair for ``train``, ``valid`` or ``test`` of a task.

    Raises:
      KeyError: no such column.
      ValueError: a column that does not hold numbers, has missing values, or values
        that 32 bits cannot hold or tell apart. A column to predict may be strings.
    """
    listed = list(frame.columns)
    names = [name for name in listed if name != target] if inputs is None else inputs
    table = [(name, _column(frame, name, listed, "inputs")) for name in names]
    if not table:
        raise ValueError("from_pandas: no column is left to predict from.")
    x = columns("from_pandas", table)
    where = f"from_pandas: column {target!r}"
    y = np.asarray(as_array(where, _column(frame, target, listed)))
    # labels may be strings, which are no numbers to compute with
    y = y if y.dtype.kind in "UM" else to_32_bits(where, y)
    return x.astype(np.float32), _numbers(y)


@guarded(dataset=DATASET, inputs=either(NAME, COLUMNS))
def from_datasets(dataset: Any, inputs: str | Sequence[str], target: str) -> Arrays:
    """Return columns of a Hugging Face dataset as ``(x [N, ...], y [N])``.

    >>> import datasets
    >>> import jaxtune as jt
    >>> rows = datasets.Dataset.from_dict({"pixels": [[0, 9], [9, 0]], "label": [0, 1]})
    >>> x, y = jt.data.from_datasets(rows, inputs="pixels", target="label")
    >>> x.shape, y.tolist()
    ((2, 2), [0, 1])

    Args:
      dataset: a ``datasets.Dataset`` in memory or on disk; use `stream` for one that
        does not fit on a device.
      inputs: name of one column of numbers, vectors or images, or names of several
        columns of numbers, which are stacked along axis 1.
      target: name of the column to predict.

    Returns:
      A pair for ``train``, ``valid`` or ``test`` of a task.

    Raises:
      KeyError: no such column.
    """
    names = [inputs] if isinstance(inputs, str) else list(inputs)
    # whatever format the user set, columns come as NumPy arrays
    table = dataset.with_format("numpy")[:]
    found = [np.asarray(_column(table, n, list(table), "inputs")) for n in names]
    x = found[0] if isinstance(inputs, str) else np.stack(found, axis=1)
    return x, _numbers(np.asarray(_column(table, target, list(table))))


@guarded(dataset=EXAMPLES)
def from_grain(dataset: Iterable[Any], inputs: str = "x", target: str = "y") -> Arrays:
    """Return the elements of a Grain dataset as ``(x [N, ...], y [N])``.

    >>> import grain
    >>> import jaxtune as jt
    >>> rows = grain.MapDataset.source([{"x": [0, 9], "y": 0}, {"x": [9, 0], "y": 1}])
    >>> x, y = jt.data.from_grain(rows)
    >>> x.shape, y.tolist()
    ((2, 2), [0, 1])

    Args:
      dataset: a finite ``grain.MapDataset``, ``IterDataset`` or ``DataLoader`` of
        single examples, each a pair or a dict; use `stream` for one that does not fit
        on a device.
      inputs: key of the input, if the elements are dicts.
      target: key of the target, if the elements are dicts.

    Returns:
      A pair for ``train``, ``valid`` or ``test`` of a task.

    Raises:
      KeyError: no such key.
      ValueError: no elements.
    """
    pairs = [
        (_column(e, inputs, list(e), "inputs"), _column(e, target, list(e)))
        if isinstance(e, dict)
        else _pair(e)
        for e in dataset
    ]
    if not pairs:
        raise ValueError("from_grain: the dataset is empty.")
    x, y = (np.stack(part) for part in zip(*pairs, strict=True))
    return x, _numbers(y)


def _column(table: Any, name: str, names: list[str], argument: str = "target") -> Any:
    if name not in names:
        there = ", ".join(map(str, names))
        raise KeyError(f"{argument}: no column {name!r}. There are {there}.")
    return table[name]


def _pair(example: Any) -> Any:
    if not isinstance(example, tuple | list) or len(example) != 2:
        raise ValueError(
            f"from_grain: dataset has the element {shown(example)}. Use one of pairs, "
            "or of dicts."
        )
    return example


def _numbers(target: np.ndarray) -> np.ndarray:
    """Return a target as numbers: ``False`` and ``True`` become classes 0 and 1."""
    return target.astype(np.int32) if target.dtype == bool else target
