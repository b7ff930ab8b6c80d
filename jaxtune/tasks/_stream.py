"""Training data that do not fit on a device, read once an epoch for all lanes."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from jaxtune.checks import is_whole
from jaxtune.tasks.arrays import to_32_bits
from jaxtune.types import PyTree

Prepare = Callable[[str, Any], PyTree]
"""``(name, batch) -> tree``: a batch as a task takes it, checked; name says which."""


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True, eq=False)
class Stream:
    """The training split of a task, from `jaxtune.data.stream`.

    Args:
      source: epoch to its batches.
      examples: rows of an epoch, ``N``.
      rows: how many of them are on a device at once.
      head: the first rows of epoch 0.
      prepare: what is done with every batch.
      sums: epoch to a checksum of what it brought; mutable, filled while reading.
    """

    source: Callable[[int], Iterable[Any]]
    examples: int
    rows: int
    head: PyTree
    prepare: Prepare
    sums: dict[int, int] = dataclasses.field(default_factory=dict, repr=False)

    def through(self, prepare: Prepare) -> Stream:
        """The same rows, each batch made into something else.

        Args:
          prepare: ``(name, batch) -> tree``; the name is for its messages.

        Returns:
          A stream.
        """
        inner = self.prepare

        def both(name: str, batch: Any) -> PyTree:
            return prepare(name, inner(name, batch))

        head = _checked("train", prepare("train", self.head))
        return dataclasses.replace(self, prepare=both, head=head, sums={})

    def parts(self, epoch: int, size: int) -> Iterator[PyTree]:
        """An epoch's rows in order, ``size`` at a time, the rest at last.

        Args:
          epoch: which, from 0.
          size: rows of a part.

        Yields:
          Trees of NumPy arrays in 32 bits.

        Raises:
          ValueError: rows of another kind than the first ones, more or fewer than
            ``examples``, or others than when this epoch was read before.
        """
        waiting: list[PyTree] = []
        have, total, known = 0, 0, 0
        for number, raw in enumerate(self.source(epoch)):
            name = f"train of epoch {epoch}, batch {number}"
            batch = _checked(name, self.prepare(name, raw))
            _check_like(name, batch, self.head)
            total += length(batch)
            if total > self.examples:
                self._refuse(epoch, f"more than {self.examples}")
            for leaf in jax.tree.leaves(batch):
                known = zlib.crc32(np.ascontiguousarray(leaf).data, known)
            waiting.append(batch)
            have += length(batch)
            while have >= size:
                joined = _joined(waiting)
                yield jax.tree.map(lambda a: a[:size], joined)
                waiting, have = [jax.tree.map(lambda a: a[size:], joined)], have - size
        if total != self.examples:
            self._refuse(epoch, str(total))
        if self.sums.setdefault(epoch, known) != known:
            raise ValueError(
                f"stream: epoch {epoch} brought other rows than when it was read "
                "before. source(epoch) must depend on the epoch alone: seed it by it."
            )
        if have:
            yield _joined(waiting)

    def _refuse(self, epoch: int, found: str) -> None:
        raise ValueError(
            f"stream: examples={self.examples}, but epoch {epoch} has {found} rows. "
            "Every epoch needs the same number; say the right one."
        )


def stream(
    source: Callable[[int], Iterable[Any]], *, examples: int, rows: int = 16384
) -> Stream:
    """Training data that are read while a search trains: ``train=jt.data.stream(...)``.

    All lanes of all blocks that are in the same epoch train on one reading of it, on
    the rows in the order in which they come; what is shuffled is shuffled by the
    source. The numbers are those of the same rows on the device with ``shuffle=False``,
    but for the rounding of two compiled programs.

    Args:
      source: ``epoch -> batches``, an iterable of pairs ``(x, y)`` for classification
        and regression, of trees for a `Task`; arrays with a common first axis of
        any length. Called again for every round, so it must depend on the epoch alone.
      examples: rows in an epoch.
      rows: how many of them are on a device at once; at least a batch.

    Returns:
      A stream; its first rows have been read, for their shapes.

    Raises:
      ValueError: no function, or rows that do not make sense.
    """
    if not callable(source):
        raise ValueError(
            f"stream: source is a {type(source).__name__}. Use a function epoch -> "
            "batches, such as lambda epoch: loader."
        )
    for name, size in (("examples", examples), ("rows", rows)):
        if not is_whole(size, 1):
            raise ValueError(f"stream: {name}={size!r}. Use a whole number from 1.")
    first: list[Any] = []
    have = 0
    for batch in source(0):
        first.append(jax.tree.map(np.asarray, batch))
        have += length(first[-1])
        if have >= min(rows, examples):
            break
    if have < min(rows, examples):
        raise ValueError(f"stream: examples={examples}, but epoch 0 has {have} rows.")
    head = _checked("train", jax.tree.map(lambda a: a[:rows], _joined(first)))
    return Stream(source, examples, rows, head, lambda name, batch: batch)


def length(batch: PyTree) -> int:
    """Rows of a batch; ``ValueError`` if its arrays differ or there are none."""
    lengths = {np.shape(leaf)[0] for leaf in jax.tree.leaves(batch) if np.ndim(leaf)}
    if len(lengths) != 1:
        raise ValueError(
            f"stream: a batch has arrays of {sorted(lengths) or 'no'} rows. They need "
            "a common first axis."
        )
    return lengths.pop()


def _joined(batches: list[PyTree]) -> PyTree:
    if len(batches) == 1:
        return batches[0]
    return jax.tree.map(lambda *parts: np.concatenate(parts), *batches)


def _checked(name: str, batch: PyTree) -> PyTree:
    """Finite numbers in 32 bits."""
    length(batch)
    leaves, tree = jax.tree_util.tree_flatten_with_path(batch)
    checked = [
        to_32_bits(f"{name}{jax.tree_util.keystr(p)}", leaf) for p, leaf in leaves
    ]
    return jax.tree.unflatten(tree, checked)


def _check_like(name: str, batch: PyTree, head: PyTree) -> None:
    def kind(tree: PyTree) -> Any:
        leaves, form = jax.tree.flatten(tree)
        return form, [(leaf.dtype.name, *leaf.shape[1:]) for leaf in leaves]

    if kind(batch) != kind(head):
        raise ValueError(
            f"{name} has {kind(batch)}, but the first rows have {kind(head)}. All "
            "batches need the same arrays, dtypes and shapes."
        )
