"""Inputs of a trained model: in the form of the training data, or refused."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.tasks.arrays import check_numbers
from jaxtune.tasks.containers import as_array, is_frame, is_one_array
from jaxtune.types import PyTree

SMALLEST = 8  # rows that a program is compiled for, at least
CHUNK = 2048  # and of more rows, multiples of this


class Form(NamedTuple):
    """The form of one row of inputs.

    Args:
      path: of the array among the inputs; empty if they are one array.
      shape: of a row.
      dtype: name of the dtype.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str


def input_forms(x: PyTree) -> tuple[Form, ...]:
    """Return the form of each array of inputs ``[N, ...]``."""
    leaves = jax.tree_util.tree_flatten_with_path(x)[0]
    return tuple(
        Form(jax.tree_util.keystr(path), tuple(leaf.shape[1:]), leaf.dtype.name)
        for path, leaf in leaves
    )


def checked_inputs(
    x: Any, forms: tuple[Form, ...], columns: tuple[str, ...] = ()
) -> PyTree:
    """Return inputs as arrays in the dtypes of the training data.

    Args:
      x: one array ``[N, ...]``, or a tree of them.
      forms: of the training data.
      columns: of the data frame that the training data were; a data frame is put in
        their order.

    Raises:
      ValueError: other arrays than those of the training data, rows of other shapes,
        or no rows.
    """
    if columns and is_frame(x):
        x = _in_order(x, columns)
    leaves, tree = jax.tree_util.tree_flatten_with_path(
        x, is_leaf=lambda value: isinstance(value, list) or is_one_array(value)
    )
    found = {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
    wanted = {form.path: form for form in forms}
    if found.keys() != wanted.keys():
        names = [
            ", ".join(p or "one array" for p in part) or "nothing"
            for part in (found, wanted)
        ]
        raise ValueError(f"x has {names[0]}, but the training data had {names[1]}.")
    arrays = [_as_form(f"x{path}", v, wanted[path]) for path, v in found.items()]
    lengths = {array.shape[0] for array in arrays}
    if len(lengths) > 1:
        raise ValueError(
            f"x has arrays of {sorted(lengths)} rows. Use as many in each."
        )
    if lengths == {0}:
        raise ValueError("x is empty. Use one row or more.")
    return jax.tree.unflatten(tree, arrays)


def _in_order(frame: Any, columns: tuple[str, ...]) -> Any:
    """Return a data frame with the columns of the training data, in their order."""
    names = [str(name) for name in frame.columns]
    missing = [name for name in columns if name not in names]
    more = [name for name in names if name not in columns]
    if missing or more or len(names) != len(columns):
        wrong = (
            f"no column {missing[0]!r}"
            if missing
            else f"a column {more[0]!r}"
            if more
            else "a column twice"
        )
        raise ValueError(
            f"x has {wrong}. Use the columns of the training data: "
            f"{', '.join(columns)}."
        )
    return frame.iloc[:, [names.index(name) for name in columns]]


def _as_form(name: str, value: Any, form: Form) -> Any:
    array = value if isinstance(value, jax.core.Tracer) else as_array(name, value)
    if array.ndim == 0 or tuple(array.shape[1:]) != form.shape:
        rows = ", ".join(map(str, ("n", *form.shape)))
        one = " For a single row, use x[None]." if array.shape == form.shape else ""
        raise ValueError(f"{name} has shape {array.shape}. Use ({rows}).{one}")
    check_numbers(name, array)
    dtype = jnp.dtype(form.dtype)
    if array.dtype.kind not in "iub" and dtype.kind in "iub":
        raise ValueError(
            f"{name} has dtype {array.dtype}, but the training data had {dtype}."
        )
    if isinstance(array, jax.core.Tracer):
        return array.astype(dtype)
    _check_finite(name, array)
    if isinstance(array, jax.Array):
        return array.astype(dtype)
    with np.errstate(over="ignore"):
        narrow = array.astype(dtype)
    if dtype.kind in "iub" and (narrow != array).any():
        raise ValueError(
            f"{name} has values that {dtype}, as in training, cannot hold."
        )
    return narrow


def _check_finite(name: str, array: Any) -> None:
    if array.dtype.kind != "f":
        return
    bad = np.argwhere(~np.isfinite(np.asarray(array)))
    if bad.size:
        raise ValueError(
            f"{name} in row {bad[0][0]} has {array[tuple(bad[0])]}. Use finite "
            "numbers, as in the training data."
        )


def padded(x: PyTree) -> tuple[PyTree, int]:
    """Repeat the last row until few programs serve any number of rows.

    Returns:
      The inputs, and the number of rows that are real.
    """
    count = jax.tree.leaves(x)[0].shape[0]
    size = max(SMALLEST, 1 << (count - 1).bit_length())
    if size > CHUNK:
        size = -(-count // CHUNK) * CHUNK
    rows = np.minimum(np.arange(size), count - 1)
    return jax.tree.map(lambda a: a[rows], x), count
