"""The true sizes of trials: parameters and operations, without any padding.

A model that is padded is traced at the trial's own sizes, as `plan` does to count what
padding costs. Nothing is compiled, and trials of equal sizes are traced once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import jax
import numpy as np

from jaxtune.environment import on_host, thread_settings
from jaxtune.planning import flops
from jaxtune.planning.layout import groups, values_of
from jaxtune.planning.workload import Workload
from jaxtune.programs.block import Static
from jaxtune.recent import Recent
from jaxtune.space import Space
from jaxtune.tasks import Hparams, Task
from jaxtune.tasks.hparams import is_traced
from jaxtune.types import HparamArrays


def count_parameters(task: Task, hparams: Hparams) -> int:
    """Return the number of parameters of a lane, without its state.

    Args:
      task: any task that trains.
      hparams: one lane's hyperparameters, with the static ones that set its shapes.
    """
    static = {k: v for k, v in hparams.items() if not is_traced(v)}
    traced = {k: v for k, v in hparams.items() if k not in static}

    def init(key: Any, values: dict[str, Any]) -> Any:
        return task.init(key, Hparams({**values, **static}, hparams.choices))

    key = jax.eval_shape(lambda: jax.random.key(0))
    made = jax.eval_shape(init, key, traced)
    params = made[0] if task.stateful else made
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


COUNTS: dict[str, tuple[Callable[[Task, Hparams], float], Any]] = {
    "parameters": (count_parameters, np.int64),
    "flops": (flops.per_example, np.float64),
}
"""Name of a size to the function that counts it, and the dtype of its column."""


@on_host()
def sizes_of(
    workload: Workload, space: Space, hparams: HparamArrays, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return the true sizes of trials.

    Args:
      workload: the task and its layout.
      space: the whole space.
      hparams: name to ``[n]`` decoded values.
      names: of the sizes, some of `COUNTS`.

    Returns:
      Name to ``[n]`` numbers.
    """
    if not names:
        return {}
    workload, count = workload.sample, len(next(iter(hparams.values())))
    columns = {name: np.empty(count, COUNTS[name][1]) for name in names}
    buckets = workload.layout.buckets
    for group in groups(workload.layout, space, hparams, 1):
        # a trial has the arithmetic of its own sizes, and computes that of its bucket
        own = np.zeros((len(group.lanes), len(buckets)), np.int64)
        for column, bucket in enumerate(buckets):
            decoded = hparams[bucket.name][group.lanes]
            own[:, column] = values_of(space[bucket.name], decoded)
        alike: dict[tuple[int, ...], list[int]] = {}
        for lane, sizes in zip(group.lanes, map(tuple, own.tolist()), strict=True):
            alike.setdefault(sizes, []).append(lane)
        row = group.lanes[0]
        fixed = dict(group.static.values)
        first = {n: v[row] for n, v in hparams.items() if n not in fixed}
        for sizes, lanes in alike.items():
            exact = fixed | {b.field: s for b, s in zip(buckets, sizes, strict=True)}
            static = group.static._replace(values=tuple(exact.items()))
            for name in names:
                columns[name][lanes] = _count(name, workload.task, static, first)
    return columns


def _count(name: str, task: Task, static: Static, values: dict[str, Any]) -> float:
    leaves, tree = jax.tree.flatten((task, values))
    shapes = tuple(jax.ShapeDtypeStruct(np.shape(x), x.dtype) for x in leaves)
    once = _COUNTS.of(task)
    return once(name, static, tree, shapes, tuple(thread_settings().items()))


def _count_lane(
    name: str, static: Static, tree: Any, shapes: tuple, under: tuple
) -> float:
    """Count a size of a lane of these functions for these shapes."""
    del under  # the settings of JAX, on which a program depends as well
    task, values = jax.tree.unflatten(tree, shapes)
    # the values are shapes here: a size cannot depend on them
    empty: Any = {n: np.zeros(v.shape, v.dtype) for n, v in values.items()}
    lane = static.hparams(empty)
    return COUNTS[name][0](task, lane)


_COUNTS = Recent(lambda _: lru_cache(maxsize=4096)(_count_lane))
