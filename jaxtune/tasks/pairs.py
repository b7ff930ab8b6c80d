"""Losses and metrics that combine a column with a row, found by trying.

Outputs ``[batch, 1]`` minus targets ``[batch]`` have a number for every pair of rows,
and the mean of these looks like any other. So a function is traced again, with another
number of rows for targets than for outputs: what is made of rows one by one cannot be
computed then, and what is made of all pairs can.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxtune.types import PyTree

PRIMES = (7, 11, 13, 17, 19, 23, 29, 31, 37, 41)


def check_pairs(
    where: str, function: Callable[..., Any], outputs: PyTree, rest: tuple[Any, ...]
) -> None:
    """Refuse a function that broadcasts outputs against targets.

    Pairs that a function makes of outputs alone, or of axes that it writes out, are
    meant.

    Args:
      where: the name of the function in messages.
      function: ``(outputs, y, ...)`` of the user.
      outputs: a batch of them.
      rest: ``y``, and what else has its rows.

    Raises:
      ValueError: it makes pairs of rows.
    """
    rows, leaves = rest[0].shape[0], jax.tree.leaves((outputs, rest))
    taken = {size for leaf in leaves for size in getattr(leaf, "shape", ())}
    left, right = [prime for prime in PRIMES if prime not in taken][:2]
    given = _with_rows(outputs, rows, left), *_with_rows(rest, rows, right)
    shapes = _promoted(function, given)
    found = [shape for shape in shapes if left in shape]
    other = [shape for shape in shapes if right in shape]
    if not (found and other and _fit(found[0], other[0])):
        return
    columns = "outputs" if len(found[0]) > len(other[0]) else "y"
    raise ValueError(
        f"{where} combines outputs of shape {_shown(found[0], left, rows)} with y of "
        f"shape {_shown(other[0], right, rows)}, which gives every pair of rows. Use "
        f"{columns}[..., 0]."
    )


def _promoted(
    function: Callable[..., Any], given: tuple[Any, ...]
) -> list[tuple[int, ...]]:
    """Return the shapes of the first operation that adds an axis to one of them."""
    try:
        with jax.numpy_rank_promotion("raise"):
            # a new function each time, because traces are kept
            jax.eval_shape(lambda *arrays: function(*arrays), *given)
    except ValueError as error:
        if "rank_promotion" not in str(error):
            return []
        texts = re.findall(r"\((\d[\d, ]*)\)", str(error))
        return [tuple(map(int, re.findall(r"\d+", text))) for text in texts]
    except Exception:  # rows that do not fit, as they should not
        return []
    return []


def _fit(left: tuple[int, ...], right: tuple[int, ...]) -> bool:
    try:
        np.broadcast_shapes(left, right)
    except ValueError:
        return False
    return True


def _with_rows(tree: PyTree, rows: int, new: int) -> Any:
    def resized(leaf: Any) -> Any:
        shape = getattr(leaf, "shape", None)
        if not shape or shape[0] != rows:
            return leaf
        return jax.ShapeDtypeStruct((new, *shape[1:]), leaf.dtype)

    return jax.tree.map(resized, tree)


def _shown(shape: tuple[int, ...], rows: int, real: int) -> tuple[int, ...]:
    return tuple(real if size == rows else size for size in shape)
