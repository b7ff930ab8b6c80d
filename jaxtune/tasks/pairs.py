"""Losses and metrics that combine a column with a row, found by trying.

Outputs ``[batch, 1]`` minus targets ``[batch]`` have a number for every pair of rows,
and the mean of these looks like any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax

from jaxtune.types import PyTree


def check_pairs(
    where: str, function: Callable[..., Any], outputs: PyTree, rest: tuple[Any, ...]
) -> None:
    """Refuse a function that broadcasts outputs against targets.

    Args:
      where: the name of the function in messages.
      function: ``(outputs, y, ...)`` of the user.
      outputs: a batch of them.
      rest: ``y``, and what else has its rows.

    Raises:
      ValueError: it makes pairs of rows of a column and a row.
    """
    shapes = {leaf.shape for leaf in jax.tree.leaves(outputs) if hasattr(leaf, "shape")}
    target = rest[0].shape
    risky = {s for s in shapes if s == (*target, 1) or target == (*s, 1)}
    if not risky:
        return
    for shape in _promoted(function, (outputs, *rest)) & risky:
        column = "outputs" if len(shape) > len(target) else "y"
        raise ValueError(
            f"{where} combines outputs of shape {shape} with y of shape {target}, "
            f"which gives every pair of rows. Use {column}[..., 0]."
        )


def _promoted(
    function: Callable[..., Any], given: tuple[Any, ...]
) -> set[tuple[int, ...]]:
    """Return the shapes of the first operation to which JAX adds an axis."""
    try:
        with jax.numpy_rank_promotion("raise"):
            # a new function each time, because traces are kept
            jax.eval_shape(lambda *arrays: function(*arrays), *given)
    except ValueError as error:
        if "rank_promotion" not in str(error):
            return set()
        texts = re.findall(r"\((\d[\d, ]*)\)", str(error))
        return {tuple(map(int, re.findall(r"\d+", text))) for text in texts}
    except Exception:  # it is called again, and raises its own error
        return set()
    return set()
