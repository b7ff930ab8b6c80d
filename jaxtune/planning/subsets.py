"""Budgets that are subsets of the training data, in place of epochs.

A budget of ``b`` of ``epochs`` is a training of all ``epochs`` on the subset ``b /
epochs`` of the rows. It sees about as many examples as ``b`` epochs of all rows, and so
budgets of both kinds are counted in epochs of all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxtune.planning.layout import constants
from jaxtune.planning.workload import Workload
from jaxtune.programs.block import Static
from jaxtune.programs.lane import Batching, Subset
from jaxtune.schedulers import Plan
from jaxtune.space import Space

EPOCHS, EXAMPLES = "epochs", "examples"
BUDGETS = (EPOCHS, EXAMPLES)


def rows_in_subset(rows: Any, budget: Any, whole: int) -> np.ndarray:
    """Return the rows of subsets.

    >>> rows_in_subset(1200, [2, 9, 27], 27).tolist()
    [88, 400, 1200]

    Args:
      rows: of all the data, one number or several.
      budget: of trainings, one or several.
      whole: the largest budget.
    """
    # in 64 bits, since the product of two numbers of 32 may need them
    return np.asarray(rows, np.int64) * np.asarray(budget, np.int64) // whole


def subset_of(workload: Workload, batching: Batching, budget: int) -> Subset | None:
    """Return the subset of the training data that a budget buys; ``None`` if all.

    Args:
      workload: of the search.
      batching: of the lanes.
      budget: of their training.
    """
    if not workload.budget_rows:
        return None
    folds, whole = workload.task.folds, workload.epochs
    counts = [workload.task.examples] if folds is None else folds.train.count
    rows = rows_in_subset(counts, budget, whole)
    examples = rows.min() // batching.micro * batching.micro
    if budget == whole:  # with the last batch, which may be smaller
        examples = batching.examples
    return Subset(rows.astype(np.int32), np.asarray(examples, np.int32))


def told(static: Static, subset: Subset) -> Static:
    """Return what a program is compiled for, if its optimiser is told the lengths."""
    batching = static.batching
    assert batching is not None, "what has subsets is trained"
    if batching.epochs is None:
        return static
    return static._replace(batching=batching._replace(told=int(subset.examples)))


def check_subsets(workload: Workload, space: Space, plans: Sequence[Plan]) -> None:
    """Raise ``ValueError`` if there is no subset, or one of less than a batch.

    Args:
      workload: of the search.
      space: that the trials come from.
      plans: of its rounds.
    """
    if not workload.budget_rows:
        return
    if not any(plan.compares for plan in plans):
        raise ValueError(
            f"budget={EXAMPLES!r}: without a scheduler that compares trials, every one "
            "trains on all the data. Use one such as hyperband(), or leave budget out."
        )
    least = min(bracket.epochs[0] for plan in plans for bracket in plan.brackets)
    rows = rows_in_subset(workload.budget_rows, least, workload.epochs)
    batch = _largest_step(workload, space)
    if rows < batch:
        raise ValueError(
            f"budget={EXAMPLES!r}: the first rung is a training on {least}/"
            f"{workload.epochs} of the data, which has {rows} examples, and a "
            f"batch has {batch}. Use smaller batches, or a larger min_epochs."
        )


def _largest_step(workload: Workload, space: Space) -> int:
    """Return the most examples of one gradient, which no subset may be smaller than."""
    batching = workload.layout.batching
    assert batching is not None, "what has subsets is trained"
    sizes = [batching.micro, *(one.micro for one in workload.layout.by_size)]
    if "batch_size" in constants(workload.layout, space):
        sizes += space["batch_size"].members
    return int(max(sizes))
