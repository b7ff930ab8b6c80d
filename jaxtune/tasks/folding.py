"""Folds inside a program: tables of rows, of which each lane has one line.

Nothing is copied: a lane takes the rows of its batches from the training data of all,
as every lane does that trains in an order of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.brevity import brief
from jaxtune.tasks import batches
from jaxtune.types import Array, PyTree


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["table", "count"],
    meta_fields=["sizes"],
)
@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows of the training data, of ``k`` folds.

    Args:
      table: ``[k, n]`` uint32; a line is filled up with copies of its last row.
      count: ``[k]`` int32, the rows of each that are no filling.
      sizes: the different counts, ascending; known when a program is compiled.
    """

    table: Array
    count: Array
    sizes: tuple[int, ...]

    def of(self, fold: Array) -> FoldRows:
        """Return the rows of one fold; its number may be traced."""
        begin = fold.astype(jnp.uint32) * self.table.shape[1]
        return FoldRows(self.table.reshape(-1), begin, self.count[fold], self.sizes)

    def listed(self) -> list[np.ndarray]:
        """Return the rows of each fold, on the host and without filling."""
        table, count = np.asarray(self.table), np.asarray(self.count)
        return [line[:size] for line, size in zip(table, count, strict=True)]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["table", "begin", "count"],
    meta_fields=["sizes"],
)
@dataclasses.dataclass(frozen=True)
class FoldRows:
    """Rows of the training data, of the one fold of a lane.

    Args:
      table: ``[k * n]`` uint32, of all folds: a line apart would be a copy by lane.
      begin: ``[]`` uint32, the place of the fold's first row in it.
      count: ``[]`` int32, how many there are.
      sizes: of all folds, see `Rows`.
    """

    table: Array
    begin: Array
    count: Array
    sizes: tuple[int, ...]

    def at(self, places: Array) -> Array:
        """Return the rows at places ``[m]`` uint32 below ``count``."""
        return self.table.at[self.begin + places].get(mode="promise_in_bounds")

    def first(self, size: int) -> Array:
        """Return the first rows; ``size`` is at most ``count``."""
        return jax.lax.dynamic_slice(self.table, (self.begin,), (size,))


def rows_table(rows: Sequence[np.ndarray]) -> Rows:
    """Return the table of some folds.

    >>> rows_table([np.asarray([0, 1, 4]), np.asarray([2, 3])]).table.tolist()
    [[0, 1, 4], [2, 3, 3]]

    Args:
      rows: ``[n_i]`` int of each.
    """
    count = [len(line) for line in rows]
    filled = [np.pad(line, (0, max(count) - len(line)), mode="edge") for line in rows]
    return Rows(
        jnp.asarray(np.stack(filled), jnp.uint32),
        jnp.asarray(count, jnp.int32),
        tuple(sorted(set(count))),
    )


@brief
class Folds(NamedTuple):
    """The rows on which each fold trains, and those on which it is scored."""

    train: Rows
    valid: Rows

    def of(self, fold: Array) -> LaneFold:
        """Return one of the folds."""
        return LaneFold(self.train.of(fold), self.valid.of(fold))

    @property
    def number(self) -> int:
        """Number of folds, ``k``."""
        return len(self.train.count)


class LaneFold(NamedTuple):
    """The rows on which a lane trains, and those on which it is scored."""

    train: FoldRows
    valid: FoldRows


class HeldOut(NamedTuple):
    """The split of a lane: its rows of the data of all.

    Args:
      data: pytree of arrays ``[N, ...]``.
      rows: of one fold.
    """

    data: PyTree
    rows: FoldRows


def on_split(measure: Callable[[PyTree], Any], split: PyTree) -> Any:
    """Call a function with a split as arrays, of a fold's rows and no others.

    Args:
      measure: ``split -> results``, arrays of shapes that the split does not change.
      split: arrays, or the rows of a fold.
    """
    if not isinstance(split, HeldOut):
        return measure(split)
    data, rows = split

    def of_size(size: int) -> Any:
        return measure(batches.take(data, rows.first(size)))

    if len(rows.sizes) == 1:
        return of_size(rows.sizes[0])
    # a measure may be anything, so filling cannot be masked: one of each size, and
    # vmap, which computes all, keeps that of the lane
    which = jnp.searchsorted(jnp.asarray(rows.sizes, jnp.int32), rows.count)
    return jax.lax.switch(which, [partial(of_size, size) for size in rows.sizes])
