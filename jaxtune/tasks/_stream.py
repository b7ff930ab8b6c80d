"""Training data too large for a device, read once an epoch for all lanes."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

from jaxtune.checks import RunError, is_whole
from jaxtune.door import as_plain, shown
from jaxtune.tasks.arrays import to_32_bits
from jaxtune.tasks.containers import as_array, is_one_array
from jaxtune.types import PyTree

Prepare = Callable[[str, Any], PyTree]
"""``(name, batch) -> tree``: check a batch and bring it into the form of a task."""


# static in the tree of a task; compared by identity, as its functions are
@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True, eq=False)
class Stream:
    """A training split that is read while a search trains, see `jaxtune.data.stream`.

    Args:
      source: ``epoch -> batches``.
      examples: number of rows in an epoch, ``N``.
      rows: number of rows on a device at once.
      head: the first rows of epoch 0, for shapes and checks; numbers are in 32 bits.
      prepare: function applied to every batch.
      sums: epoch to the checksum of its rows; mutable, filled while reading.
      expected: epoch to the checksum that a run has on record; mutable, see
        `expecting`.
    """

    source: Callable[[int], Iterable[Any]]
    examples: int
    rows: int
    head: PyTree
    prepare: Prepare
    sums: dict[int, str] = dataclasses.field(default_factory=dict, repr=False)
    expected: dict[int, str] = dataclasses.field(default_factory=dict, repr=False)

    def through(self, prepare: Prepare) -> Stream:
        """Return a stream of the same rows with one more function applied.

        Args:
          prepare: ``(name, batch) -> tree``; the name is for error messages.

        Returns:
          A stream.
        """
        inner = self.prepare

        def both(name: str, batch: Any) -> PyTree:
            return prepare(name, inner(name, batch))

        head = _checked("train", prepare("train", self.head))
        # other rows come out of it, so its checksums start anew
        return dataclasses.replace(self, prepare=both, head=head, sums={}, expected={})

    @contextmanager
    def expecting(self, sums: Mapping[int, str]) -> Iterator[None]:
        """Refuse inside rows of other checksums, with the error of another run.

        A run that goes on with later epochs reads the last one of these first, so that
        it cannot go on with other rows. A run that reads no more is not asked.

        Args:
          sums: epoch to the checksum of its rows.
        """
        self.expected.update(sums)
        try:
            for epoch in set(sums).intersection(self.sums):
                self._check_expected(epoch, self.sums[epoch])
            yield
        finally:
            self.expected.clear()

    def _check_expected(self, epoch: int, found: str) -> None:
        if self.expected.get(epoch, found) != found:
            raise RunError(
                f"the run has trained on other rows of epoch {epoch} than its stream "
                "gives now. Use the rows that the run began with, or another "
                "directory; source(epoch) must depend on the epoch alone."
            )

    def parts(self, epoch: int, size: int) -> Iterator[PyTree]:
        """Yield an epoch's rows in order, ``size`` at a time; the last part is shorter.

        Args:
          epoch: number of the epoch, from 0.
          size: number of rows in a part.

        Yields:
          Trees of NumPy arrays in 32 bits.

        Raises:
          ValueError: arrays unlike those of the first rows, more or fewer rows than
            ``examples``, or other rows than when this epoch was read before.
          RunError: other rows than those that a run has on record.
        """
        waiting: list[PyTree] = []
        if self.expected and not {epoch, *self.sums}.intersection(self.expected):
            for _ in self.parts(max(self.expected), self.rows):
                pass
        have, total = 0, 0
        # one for each array, so that it does not matter how rows are cut into batches
        known = [0] * len(jax.tree.leaves(self.head))
        for number, raw in enumerate(self.source(epoch)):
            name = f"train of epoch {epoch}, batch {number}"
            batch = _checked(name, self.prepare(name, raw))
            _check_like(name, batch, self.head)
            total += length(batch)
            if total > self.examples:
                self._refuse(epoch, f"more than {self.examples}")
            for at, leaf in enumerate(jax.tree.leaves(batch)):
                known[at] = zlib.crc32(np.ascontiguousarray(leaf).data, known[at])
            waiting.append(batch)
            have += length(batch)
            while have >= size:
                joined = _joined(waiting)
                yield jax.tree.map(lambda a: a[:size], joined)
                waiting, have = [jax.tree.map(lambda a: a[size:], joined)], have - size
        if total != self.examples:
            self._refuse(epoch, str(total))
        # rounds and reruns read an epoch again: other rows would give other scores
        found = "-".join(f"{one:08x}" for one in known)
        self._check_expected(epoch, found)
        if self.sums.setdefault(epoch, found) != found:
            raise ValueError(
                f"stream: epoch {epoch} brought other rows than when it was read "
                "before. source(epoch) must depend on the epoch alone: seed it by it."
            )
        if have:
            yield _joined(waiting)

    def _refuse(self, epoch: int, found: str) -> None:
        raise ValueError(
            f"stream: examples={self.examples}, but epoch {epoch} has {found} rows. "
            "Every epoch needs the same number of rows; pass it as examples."
        )


def stream(
    source: Callable[[int], Iterable[Any]], *, examples: int, rows: int = 16384
) -> Stream:
    """Stream training data that do not fit on a device: ``train=jt.data.stream(...)``.

    Each epoch is read once for all lanes that are in it. They train on the rows in the
    order in which they come, so shuffle in the source. The scores are those of the same
    rows on the device with ``shuffle=False``, up to rounding, since two programs are
    compiled.

    >>> import jaxtune as jt
    >>> import numpy as np
    >>> x = np.random.default_rng(0).random((200, 4), dtype=np.float32)
    >>> y = (x.sum(axis=1) > 2).astype(int)
    >>> def source(epoch):
    ...     order = np.random.default_rng(epoch).permutation(200)
    ...     for rows in np.array_split(order, 4):
    ...         yield x[rows], y[rows]
    >>> train = jt.data.stream(source, examples=200, rows=100)
    >>> task = jt.classification(jt.models.MLP(classes=2), train=train, valid=(x, y))
    >>> task.examples
    200

    Args:
      source: ``epoch -> batches``, an iterable of pairs ``(x, y)`` for classification
        and regression, of trees for a `Task`. The arrays of a batch have a common first
        axis of any length. It is called again in every round, so its rows must depend
        on the epoch alone.
      examples: number of rows in an epoch.
      rows: number of rows on a device at once; at least a batch.

    Returns:
      A stream. Its first rows have been read, for their shapes.

    Raises:
      ValueError: a source that is not a function, arrays without a common first axis,
        values that are not finite numbers, or fewer rows than ``examples``.
    """
    if not callable(source):
        raise ValueError(
            f"stream: source is a {type(source).__name__}. Use a function epoch -> "
            "batches, such as lambda epoch: loader."
        )
    examples, rows = (as_plain(size) for size in (examples, rows))
    for name, size in (("examples", examples), ("rows", rows)):
        if not is_whole(size, 1):
            raise ValueError(f"stream: {name}={size!r}. Use a whole number from 1.")
    first: list[Any] = []
    have = 0
    # no more batches than that, since an epoch need not fit into memory
    begun = source(0)
    if not hasattr(begun, "__iter__") and not hasattr(begun, "__getitem__"):
        raise ValueError(
            f"stream: source returned {shown(begun)}. Return batches, such as a list "
            "or a generator of pairs."
        )
    for batch in begun:
        first.append(_arrays(f"train of epoch 0, batch {len(first)}", batch))
        have += length(first[-1])
        if have >= min(rows, examples):
            break
    if have < min(rows, examples):
        raise ValueError(f"stream: examples={examples}, but epoch 0 has {have} rows.")
    head = jax.tree.map(lambda a: a[:rows], _joined(first))
    # labels may be strings, until a task has made numbers of them
    return Stream(source, examples, rows, _checked("train", head, "U"), _arrays)


def length(batch: PyTree) -> int:
    """Return the rows of a batch; raise ``ValueError`` if its arrays differ in them."""
    lengths = {np.shape(leaf)[0] for leaf in jax.tree.leaves(batch) if np.ndim(leaf)}
    if len(lengths) != 1:
        raise ValueError(
            f"stream: a batch has arrays of {sorted(lengths) or 'no'} rows. They need "
            "a common first axis."
        )
    return int(lengths.pop())


def _joined(batches: list[PyTree]) -> PyTree:
    if len(batches) == 1:
        return batches[0]
    return jax.tree.map(lambda *parts: np.concatenate(parts), *batches)


def _arrays(name: str, batch: Any) -> PyTree:
    """Return a batch of the source as NumPy arrays, whatever it holds them in."""
    leaves, tree = jax.tree_util.tree_flatten_with_path(batch, is_leaf=is_one_array)
    found = [
        np.asarray(as_array(f"{name}{jax.tree_util.keystr(path)}", leaf))
        for path, leaf in leaves
    ]
    return jax.tree.unflatten(tree, found)


def _checked(name: str, batch: PyTree, kept: str = "") -> PyTree:
    """Return a batch as finite numbers in 32 bits; dtypes of kinds ``kept`` stay."""
    length(batch)
    leaves, tree = jax.tree_util.tree_flatten_with_path(batch)
    checked = [
        leaf
        if leaf.dtype.kind in kept
        else to_32_bits(f"{name}{jax.tree_util.keystr(path)}", leaf)
        for path, leaf in leaves
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
