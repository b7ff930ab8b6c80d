"""Which programs a search needs: batches, static values, and buckets of padded shapes.

Planned on the host, from the task and the whole space. The number of trials and the
present box have no say, so a trial's bits do not depend on them.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np

from jaxtune.population.block import Static
from jaxtune.population.lane import Batching
from jaxtune.space import Dimension, Space
from jaxtune.tasks import Task
from jaxtune.types import HparamArrays, Objective

SMALL = 4  # micro-batches below this size are slow


class Bucket(NamedTuple):
    """A hyperparameter that is data in a padded model, and the sizes of its padding."""

    name: str  # of the hyperparameter
    field: str  # of the model, which it bounds
    tops: tuple[int, ...]  # ascending; a lane is padded to the first that holds it


class Layout(NamedTuple):
    """How the shapes of a space become programs; the same for all rounds."""

    batching: Batching | None = None
    buckets: tuple[Bucket, ...] = ()


class Group(NamedTuple):
    """Lanes that share their static hyperparameters, hence a program."""

    static: Static
    lanes: np.ndarray  # [m] int, indices of trial * seeds + seed


def layout(subject: Task | Objective, space: Space) -> Layout:
    """Lay out a search.

    Args:
      subject: a task, or a plain function, which needs no layout.
      space: the whole space, before any zooming.

    Returns:
      The layout.

    Raises:
      ValueError: batch sizes that are no whole numbers or larger than the data.
    """
    if not isinstance(subject, Task):
        return Layout()
    return Layout(_batching(subject, space), _buckets(subject, space))


def _batching(task: Task, space: Space) -> Batching:
    if "batch_size" not in space.names:
        size = task.batch_size
        return Batching(size, task.examples // size * size, whole=True)
    dimension = space["batch_size"]
    sizes = _sizes(dimension, task.examples)
    micro = math.gcd(*sizes)
    if micro < SMALL and not dimension.static:
        warnings.warn(
            f"dimension 'batch_size': its values share no divisor above {micro}, so "
            f"gradients are computed {micro} example(s) at a time, which is slow. Use "
            "power_of_two(16, 256), or an ordinal of multiples of 16.",
            stacklevel=4,
        )
    return Batching(micro, task.examples // micro * micro, whole=len(sizes) == 1)


def _sizes(dimension: Dimension, examples: int) -> tuple[int, ...]:
    sizes = dimension.members
    if dimension.kind in ("choice", "named_ordinal") and not dimension.static:
        raise ValueError(
            "dimension 'batch_size': only its index would reach the program. Use "
            "power_of_two or ordinal, or static=True."
        )
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(
                f"dimension 'batch_size': {size!r} is not a whole number from 1."
            )
    if max(sizes) > examples:
        raise ValueError(
            f"dimension 'batch_size': the space goes up to {max(sizes)}, but train has "
            f"{examples} examples. Use a smaller range, such as "
            "space.restrict(batch_size=...)."
        )
    return sizes


def _buckets(task: Task, space: Space) -> tuple[Bucket, ...]:
    found = []
    for name, field in task.padding:
        if name in space.names and field not in space.names:
            dimension = space[name]
            sizes = dimension.members
            tops = tuple(sorted(sizes)) if dimension.static else (max(sizes),)
            found.append(Bucket(name, field, tops))
    return tuple(found)


def groups(
    plan: Layout, space: Space, hparams: HparamArrays, seeds: int
) -> list[Group]:
    """Partition lanes by static values and buckets.

    Args:
      plan: how shapes become programs.
      space: says which dimensions are static.
      hparams: name to ``[n]`` decoded values.
      seeds: lanes of each trial.

    Returns:
      One group per program, in order of first appearance.
    """
    static = [name for name in space.names if space[name].static]
    listed = [name for name in space.names if space[name].kind == "choice"]
    choices = tuple((n, space[n].choices) for n in listed if n not in static)
    columns = {n: [space[n].value(v) for v in np.asarray(hparams[n])] for n in static}
    for bucket in plan.buckets:
        columns[bucket.field] = _padded(bucket, hparams[bucket.name])
    members: dict[tuple, list[int]] = {}
    for trial in range(len(next(iter(hparams.values())))):
        values = tuple((name, column[trial]) for name, column in columns.items())
        lanes = range(trial * seeds, (trial + 1) * seeds)
        members.setdefault(values, []).extend(lanes)
    return [
        Group(Static(values, choices, _batches(plan, dict(values))), np.asarray(lanes))
        for values, lanes in members.items()
    ]


def _padded(bucket: Bucket, values: Any) -> list[int]:
    tops = np.asarray(bucket.tops)
    return tops[np.searchsorted(tops, np.asarray(values))].tolist()


def _batches(plan: Layout, static: dict[str, Any]) -> Batching | None:
    """A static batch size is the micro-batch itself."""
    if plan.batching is None or "batch_size" not in static:
        return plan.batching
    return plan.batching._replace(micro=static["batch_size"], whole=True)
