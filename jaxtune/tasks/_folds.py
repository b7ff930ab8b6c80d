"""Cut the training data of a task into folds: stratified, by groups, or as given."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxtune.checks import is_whole, warn
from jaxtune.environment import on_host, unplaced
from jaxtune.random import FOLDS
from jaxtune.tasks.folding import Folds, rows_table
from jaxtune.tasks.task import Task
from jaxtune.types import ArrayLike, Key

Pairs = Sequence[tuple[np.ndarray, np.ndarray]]
"""Rows to train on and rows to score on, of each fold."""


class GroupedFolds(NamedTuple):
    """Folds that part no group; made by `folds`.

    Args:
      number: of folds.
      groups: ``[N]`` the group of each row.
    """

    number: int
    groups: np.ndarray


def folds(count: int, *, groups: ArrayLike) -> GroupedFolds:
    """Cut the training data into folds that part no group.

    Rows of one patient, speaker or day are alike: a model that has seen some of them
    is judged too well on the others. Groups are dealt from the largest to the smallest,
    each to the fold that has the fewest rows.

    >>> import jax, jaxtune as jt, numpy as np
    >>> x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    >>> task = jt.classification(
    ...     jt.models.MLP(classes=2, max_units=8),
    ...     train=(x, (x[:, 0] > 0).astype(int)),
    ...     batch_size=8,
    ... )
    >>> patients = np.arange(60) // 5
    >>> result = jt.search(
    ...     task,
    ...     jt.Space(learning_rate=jt.log_uniform(1e-2, 1.0)),
    ...     key=jax.random.key(0),
    ...     trials=4,
    ...     epochs=2,
    ...     folds=jt.folds(3, groups=patients),
    ... )
    >>> train, valid = result.folds.rows[0]
    >>> set(patients[train]) & set(patients[valid])
    set()

    Args:
      count: number of folds.
      groups: ``[N]`` the group of each row of ``train``: numbers or strings.

    Returns:
      What `jaxtune.search` takes as ``folds``.

    Raises:
      ValueError: fewer groups than folds, or groups that are no list of values.
    """
    known = np.asarray(groups)
    if known.ndim != 1 or known.dtype.kind not in "iubUS":
        raise ValueError(
            f"folds: groups have shape {known.shape} and dtype {known.dtype}. Use one "
            "whole number or string for each row."
        )
    _check_count(count)
    different = len(np.unique(known))
    if different < count:
        raise ValueError(
            f"folds: there are {different} groups for {count} folds. Use at most "
            f"{different} folds, or smaller groups."
        )
    return GroupedFolds(int(count), known)


def with_folds(task: Task, given: Any, key: Any) -> Task:
    """Return the task of a search, whose training data are cut into folds if asked for.

    Args:
      task: a task, checked.
      given: ``None``, a number of folds, a `GroupedFolds`, or pairs of rows.
      key: root key of the search; only folds need it.

    Raises:
      ValueError: folds that cannot be cut, or neither folds nor a validation split.
    """
    if given is None:
        if task.trains and task.valid is None:
            raise ValueError(
                "valid: the task has no rows to score trials on. Give it "
                "valid=(x, y), or search with folds=5."
            )
        return task
    if not task.trains:
        raise ValueError(
            "folds: a plain function has no data to cut. Leave folds out; "
            "seeds=5 evaluates every configuration five times."
        )
    if task.stream is not None:
        raise ValueError(
            "folds: a stream is read in its order, so that no fold can leave rows out. "
            "Use arrays as train."
        )
    if task.valid is not None:
        warn(
            "folds: trials are scored on the folds of train, and valid is not used. "
            "Put its rows into train, or make the task without valid."
        )
    return folded_task(task, _pairs(task, given, key))


def folded_task(task: Task, pairs: Pairs) -> Task:
    """Return the task with folds of these rows."""
    train, valid = (rows_table(rows) for rows in zip(*pairs, strict=True))
    return dataclasses.replace(task, valid=None, folds=Folds(train, valid))


def _pairs(task: Task, given: Any, key: Any) -> Pairs:
    rows = task.examples
    if isinstance(given, GroupedFolds):
        if len(given.groups) != rows:
            raise ValueError(
                f"folds: there are {len(given.groups)} groups, and train has {rows} "
                "rows. Use one group for each row."
            )
        return _complements(_of_groups(given, key))
    if isinstance(given, int | np.integer | float) or given is True:
        _check_count(given)
        if given > rows:
            raise ValueError(
                f"folds={given}: train has {rows} rows. Use at most {rows} folds."
            )
        return _complements(_dealt(task, int(given), key))
    return _checked(given, rows)


def _check_count(count: Any) -> None:
    if not is_whole(count, 2):
        raise ValueError(
            f"folds: got {count!r}. Use a whole number from 2, jt.folds(5, groups=...),"
            " or pairs (train rows, valid rows)."
        )


def _dealt(task: Task, count: int, key: Key) -> np.ndarray:
    """Return the fold ``[N]`` of each row, dealt class by class in a random order."""
    order = _random_order(key, task.examples)
    if task.classes:
        labels = np.asarray(task.train["y"])
        _warn_about_rare(labels, task.classes, count)
        order = order[np.argsort(labels[order], kind="stable")]
    fold = np.empty(task.examples, np.int64)
    # one deal through all classes, so that neither the sizes of folds nor their rows
    # of one class differ by more than one
    fold[order] = np.arange(task.examples) % count
    return fold


def _warn_about_rare(labels: np.ndarray, classes: tuple[Any, ...], count: int) -> None:
    codes, rows = np.unique(labels, return_counts=True)
    rare = np.flatnonzero(rows < count)
    if rare.size:
        code, named = codes[rare[0]].item(), isinstance(classes[0], str)
        shown = classes[code] if named else code
        warn(
            f"folds={count}: the label {shown!r} has {rows[rare[0]]} row(s), so that "
            "some folds are scored without it. Use fewer folds, or more rows of it."
        )


def _of_groups(given: GroupedFolds, key: Key) -> np.ndarray:
    """Return the fold ``[N]`` of each row; all rows of a group have the same."""
    place, rows = np.unique(given.groups, return_inverse=True, return_counts=True)[1:]
    order = _random_order(key, len(rows))
    of_group = np.empty(len(rows), np.int64)
    filled = np.zeros(given.number, np.int64)
    for group in order[np.argsort(-rows[order], kind="stable")]:
        of_group[group] = np.argmin(filled)
        filled[of_group[group]] += rows[group]
    return of_group[place]


@on_host()
def _random_order(key: Key, count: int) -> np.ndarray:
    return random_order(jax.random.fold_in(unplaced(key), FOLDS), count)


def random_order(stream: Key, count: int) -> np.ndarray:
    """Return a random order of rows, on the host."""
    # sorted on the host: a program for each number of rows would take longer
    bits = np.asarray(jax.random.bits(stream, (count,), np.uint32))
    return np.argsort(bits, kind="stable")


def _complements(fold: np.ndarray) -> Pairs:
    return [
        (np.flatnonzero(fold != number), np.flatnonzero(fold == number))
        for number in range(int(fold.max()) + 1)
    ]


def _checked(given: Any, rows: int) -> Pairs:
    """Return the pairs of a user as arrays of numbers of rows."""
    wanted = "Use a whole number from 2, or pairs (train rows, valid rows), such as "
    wanted += "list(KFold(5).split(x))."
    if not isinstance(given, Iterable) or isinstance(given, str | dict):
        raise ValueError(f"folds: got {given!r}. {wanted}")
    pairs = list(given)
    if not pairs:
        raise ValueError(f"folds: got no folds. {wanted}")
    found = []
    for number, pair in enumerate(pairs):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError(f"folds: fold {number} is no pair of rows. {wanted}")
        train, valid = (
            _row_numbers(f"folds: {name} rows of fold {number}", part, rows)
            for name, part in zip(("train", "valid"), pair, strict=True)
        )
        shared = np.intersect1d(train, valid)
        if shared.size:
            raise ValueError(
                f"folds: fold {number} trains on row {shared[0]} and is scored on it "
                f"({shared.size} such rows). Use rows apart."
            )
        found.append((train, valid))
    return found


def _row_numbers(name: str, given: Any, rows: int) -> np.ndarray:
    array = np.asarray(given)
    if array.dtype == bool and array.shape == (rows,):
        array = np.flatnonzero(array)
    if array.ndim != 1 or array.dtype.kind not in "iu" or not array.size:
        raise ValueError(
            f"{name} have shape {array.shape} and dtype {array.dtype}. Use the numbers "
            "of some rows of train."
        )
    outside = array[(array < 0) | (array >= rows)]
    if outside.size:
        raise ValueError(
            f"{name} name row {outside[0]}, and train has rows 0 to {rows - 1}."
        )
    values, counts = np.unique(array, return_counts=True)
    if len(values) < len(array):
        raise ValueError(f"{name} have row {values[counts > 1][0]} twice. Use it once.")
    return array.astype(np.int64)
