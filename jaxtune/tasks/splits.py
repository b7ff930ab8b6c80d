"""Splits as people pass them, ``(x, y)`` or ``(x, y, weights)``, as named arrays."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

import jax
import numpy as np

from jaxtune.tasks._stream import Stream
from jaxtune.tasks.containers import as_array, is_frame, is_one_array
from jaxtune.types import PyTree


def at_hand(split: PyTree | Stream) -> PyTree:
    """Return the arrays of a split; of a stream the first rows."""
    return split.head if isinstance(split, Stream) else split


def named_splits(train: Any, valid: Any, test: Any) -> dict[str, Any]:
    """Return each split as a dict of arrays ``x``, ``y`` and perhaps ``weights``.

    Args:
      train: a tuple of two or three, or a stream of such tuples.
      valid: a tuple of two or three.
      test: the same, or ``None``.

    Raises:
      ValueError: something else, values without one meaning as arrays, weights that are
        no numbers from 0, or splits with other inputs than the training data.
    """
    if train is None:
        raise ValueError("train: a task needs data, got None. Use a pair (x, y).")
    named: dict[str, Any] = {}
    for name, split in (("train", train), ("valid", valid), ("test", test)):
        if split is None:
            named[name] = None
        elif isinstance(split, Stream) and name == "train":
            named[name] = split
        else:
            named[name] = named_arrays(name, split)
            if not named[name].get("weights", np.ones(1)).any():
                raise ValueError(f"{name}: all weights are 0. Use some above 0.")
        check_columns(name, split, columns_of(train))
    head = train.head if isinstance(train, Stream) else None
    first = named["train"] if head is None else named_arrays("train", head)
    for name in ("valid", "test"):
        if named[name] is not None:
            _check_like(name, named[name], first)
    return named


def named_arrays(name: str, split: Any, form: str = "a pair (x, y)") -> dict[str, Any]:
    """Return one split, or one batch of a stream, as a dict of arrays."""
    if not isinstance(split, tuple | list) or len(split) not in (2, 3):
        size = f" of {len(split)}" if isinstance(split, tuple | list) else ""
        raise ValueError(
            f"{name}: got {type(split).__name__}{size}. Use {form}, or (x, y, weights)."
        )
    y = split[1]
    if is_frame(y) and len(y.columns) == 1:
        y = y.iloc[:, 0]
    arrays = {"x": _inputs(name, split[0]), "y": as_array(f"{name}['y']", y)}
    if len(split) == 3:
        arrays["weights"] = _weights(f"{name}['weights']", split[2])
    return arrays


def _inputs(name: str, x: Any) -> PyTree:
    """Return one array, or a tree of arrays; a list is one, also a list of images."""

    def is_leaf(value: Any) -> bool:
        return isinstance(value, list) or is_one_array(value)

    leaves, tree = jax.tree_util.tree_flatten_with_path(x, is_leaf=is_leaf)
    if not leaves:
        raise ValueError(f"{name}: x is {x!r}. Use arrays.")
    found = []
    for path, leaf in leaves:
        where = f"{name}['x']{jax.tree_util.keystr(path)}"
        array = as_array(where, leaf)
        if array.ndim == 0:
            raise ValueError(
                f"{where} is one value, {leaf!r}. Use an array of rows; a tuple or a "
                "dict as x stands for several arrays."
            )
        found.append(array)
    return jax.tree.unflatten(tree, found)


def _weights(name: str, weights: Any) -> np.ndarray:
    array = np.asarray(as_array(name, weights))
    if array.ndim != 1 or array.dtype.kind not in "fiub":
        raise ValueError(
            f"{name} has shape {array.shape} and dtype {array.dtype}. Use one number "
            "for each row."
        )
    if array.size and array.min() < 0:
        raise ValueError(
            f"{name} goes from {array.min()} to {array.max()}. Use numbers from 0."
        )
    return array.astype(np.float64)


def columns_of(split: Any) -> tuple[str, ...]:
    """Return the names of the columns of a data frame as ``x``; empty for arrays."""
    pair = isinstance(split, tuple | list) and len(split) > 1
    return tuple(map(str, split[0].columns)) if pair and is_frame(split[0]) else ()


def check_columns(name: str, split: Any, columns: tuple[str, ...]) -> None:
    """Raise ``ValueError`` for a data frame with other columns than training has."""
    mine = columns_of(split)
    if mine and columns and mine != columns:
        at = next(
            i for i, pair in enumerate(zip_longest(mine, columns)) if len({*pair}) > 1
        )
        had, wants = (part[at] if at < len(part) else None for part in (mine, columns))
        raise ValueError(
            f"{name}: column {at} of x is {had!r}, but that of train is {wants!r}. Use "
            "the same columns in the same order, as in frame[train.columns]."
        )


def _check_like(name: str, split: PyTree, train: PyTree) -> None:
    """Refuse a split whose inputs are not those of the training data."""
    mine, theirs = (_forms(part["x"]) for part in (split, train))
    if mine.keys() != theirs.keys():
        raise ValueError(
            f"{name}: x has {_keys(mine)}, but x of train has {_keys(theirs)}. Every "
            "split needs the same inputs."
        )
    for key, (shape, kind) in mine.items():
        wanted, other = theirs[key]
        if (shape, kind) != (wanted, other):
            raise ValueError(
                f"{name}['x']{key} has rows of shape {shape} ({kind}), but train['x']"
                f"{key} has {wanted} ({other}). Every split needs the same inputs."
            )


def _forms(tree: PyTree) -> dict[str, tuple[tuple[int, ...], str]]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path): _form(leaf) for path, leaf in leaves}


def _form(leaf: Any) -> tuple[tuple[int, ...], str]:
    kinds = {"i": "integers", "u": "integers", "b": "booleans"}
    return leaf.shape[1:], kinds.get(leaf.dtype.kind, "real numbers")


def _keys(forms: dict[str, Any]) -> str:
    return ", ".join(key or "one array" for key in forms)
