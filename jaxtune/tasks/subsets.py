"""Parts of the training data that grow: each one holds those that are smaller.

A subset is the beginning of one order of the rows, which is drawn from the key of the
search and is the same for all its trials.
"""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from jaxtune.environment import on_host, unplaced
from jaxtune.random import SUBSETS
from jaxtune.tasks._folds import random_order
from jaxtune.tasks.folding import rows_table
from jaxtune.tasks.task import Task
from jaxtune.types import Key


@on_host()
def with_subsets(task: Task, key: Key) -> Task:
    """Return the task with the order in which rows join a subset of its data.

    Args:
      task: with training data in memory. Without shuffling its rows join in the order
        that they have.
      key: root key of the search.
    """
    if not task.shuffle:
        return task
    if task.folds is None:
        lines = [np.arange(task.examples)]
    else:
        lines = task.folds.train.listed()
    labels = np.asarray(task.train["y"]) if task.classes else None
    if labels is not None and labels.ndim > 1:  # of parts of an example, such as pixels
        labels = None
    stream = jax.random.fold_in(unplaced(key), SUBSETS)
    places = [
        _order_of(jax.random.fold_in(stream, fold), rows, labels)
        for fold, rows in enumerate(lines)
    ]
    return dataclasses.replace(task, order=rows_table(places))


def _order_of(key: Key, rows: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """Return the order ``[n]`` in which places in ``rows [n]`` join."""
    order = random_order(key, len(rows))
    return order if labels is None else order[evenly(labels[rows[order]])]


def evenly(labels: np.ndarray) -> np.ndarray:
    """Return an order in which every beginning has each label in proportion.

    The rows of a label keep their order, and so do labels that are due at once.

    >>> evenly(np.asarray([0, 0, 0, 0, 1, 1])).tolist()
    [0, 4, 1, 2, 5, 3]

    Args:
      labels: ``[n]``.
    """
    by_label = np.argsort(labels, kind="stable")
    _, counts = np.unique(labels, return_counts=True)
    number = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    due = np.empty(len(labels))
    due[by_label] = (number + 0.5) / np.repeat(counts, counts)
    return np.argsort(due, kind="stable")
