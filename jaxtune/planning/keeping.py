"""Predictions of trials that a search keeps, for the asking."""

from __future__ import annotations

import os
from typing import Any

import jax
import numpy as np

from jaxtune.planning.layout import groups
from jaxtune.planning.scoring import LAST
from jaxtune.planning.tracing import typical
from jaxtune.planning.workload import Workload
from jaxtune.programs import block as block_program
from jaxtune.space import Space

PREDICTIONS = "predictions"
SHARE = 0.5  # of this machine's memory that they may take


def check_keep(workload: Workload, space: Space, lanes: int, own_pace: bool) -> None:
    """Check what a search is asked to keep besides scores.

    Args:
      workload: of the search, which was traced before.
      space: the whole space.
      lanes: trials times seeds.
      own_pace: whether its scheduler ends trials that are complete then.

    Raises:
      ValueError: an unknown word, a search that has no predictions to keep, or more of
        them than fit into memory.
    """
    keep: Any = workload.keep
    if keep is None:
        return
    if keep != PREDICTIONS:
        raise ValueError(f"keep: got {keep!r}. Use {PREDICTIONS!r} or None.")
    task = workload.task
    if not task.trains or task.predict is None:
        raise ValueError(
            f"keep={PREDICTIONS!r}: the task cannot predict. Use a task from "
            "jaxtune.classification or jaxtune.regression, or give it predict=."
        )
    if task.folds is not None:
        raise ValueError(
            f"keep={PREDICTIONS!r}: with folds, result.out_of_fold() returns them. "
            "Leave it out."
        )
    if workload.scoring.score != LAST:
        raise ValueError(
            f"keep={PREDICTIONS!r} keeps those of the last epoch, and score="
            f"{workload.scoring.score!r}. Leave one of them out."
        )
    if own_pace:
        raise ValueError(
            f"keep={PREDICTIONS!r} keeps those of trials that train all epochs, and "
            "this scheduler ends others that are complete too. Leave one of them out."
        )
    need, have = lanes * _bytes_of_a_lane(workload, space), _memory()
    if need > SHARE * have:
        raise ValueError(
            f"keep={PREDICTIONS!r}: those of {lanes} trainings take {need / 2**30:.1f} "
            f"GiB, and this machine has {have / 2**30:.1f} GiB. Leave it out, and "
            "result.ensemble() trains its candidates again."
        )


def _bytes_of_a_lane(workload: Workload, space: Space) -> int:
    """Return the bytes of the outputs of one lane for the validation split."""
    rows = typical(workload.layout, space)
    group = groups(workload.layout, space, rows, 1)[0]
    block = block_program.fill(
        group.lanes[:1],
        trials=np.arange(len(next(iter(rows.values())))),
        hparams=rows,
        seeds=np.arange(1),
        static=group.static,
        width=1,
    )
    task, key = workload.sample.task, workload.key
    state = block_program.shape(task, key, block, group.static)
    outputs = block_program.predict.eval_shape(
        task, block, state, "valid", group.static
    )
    leaves = jax.tree.leaves(outputs)
    return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in leaves)


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
