"""Trials into blocks and scores out of them: the loop over blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.population import block as blocks
from jaxtune.population import lane as lanes
from jaxtune.population.block import Block, Static
from jaxtune.population.lane import DIVERGED
from jaxtune.population.planner import Layout, groups, layout
from jaxtune.space import Space
from jaxtune.tasks import Hparams, Task
from jaxtune.types import HparamArrays, Key, Objective

CPU_WIDTH, ACCELERATOR_WIDTH, OBJECTIVE_WIDTH = 16, 512, 256


class Workload(NamedTuple):
    """What every block of a search has in common."""

    subject: Task | Objective
    key: Key
    width: int
    epochs: int = 0
    layout: Layout = Layout()
    split: str = "valid"

    @property
    def trains(self) -> bool:
        """Whether trials are trained, or a plain function is evaluated."""
        return isinstance(self.subject, Task)


class Outcome(NamedTuple):
    """What came back, for ``n`` trials and ``s`` seeds."""

    metrics: dict[str, np.ndarray]  # name to [n, s] float32
    status: np.ndarray  # [n, s] int32


def prepare(
    subject: Task | Objective,
    space: Space,
    key: Key,
    epochs: int = 0,
    width: int | None = None,
    programs: int | None = None,
) -> Workload:
    """What every block of a search over this space has in common.

    Args:
      subject: a task or a plain function.
      space: the whole space, before any zooming.
      key: root key.
      epochs: how long every lane trains.
      width: lanes in a block; chosen for the device if not given.
      programs: at most so many for padded shapes; chosen if not given.

    Returns:
      The workload, with the layout of its programs.

    Raises:
      ValueError: a space that the task cannot take.
    """
    width = width or default_width(subject)
    return Workload(subject, key, width, epochs, layout(subject, space, programs))


def default_width(subject: Task | Objective) -> int:
    """Lanes in a block. A constant of the device: a lane's rounding depends on it."""
    if not isinstance(subject, Task):
        return OBJECTIVE_WIDTH
    return CPU_WIDTH if jax.default_backend() == "cpu" else ACCELERATOR_WIDTH


def evaluate(
    workload: Workload,
    space: Space,
    trials: np.ndarray,
    hparams: HparamArrays,
    seeds: np.ndarray,
    on_block: Callable[[np.ndarray, dict[str, np.ndarray]], None] = lambda *_: None,
) -> Outcome:
    """Train or evaluate every trial with every seed, block by block.

    Args:
      workload: the task or function, root key, width and budget.
      space: the space that the trials come from, for its static dimensions.
      trials: ``[n]`` trial ids.
      hparams: name to ``[n]`` decoded values.
      seeds: ``[s]`` seed ids.
      on_block: called with the rows ``[m]`` of a finished block's trials and its
        metrics ``{name: [m]}``.

    Returns:
      Metrics ``{name: [n, s]}`` and statuses ``[n, s]``.
    """
    count = len(seeds)
    hparams = {name: np.asarray(values) for name, values in hparams.items()}
    metrics: dict[str, np.ndarray] = {}
    status = np.zeros(len(trials) * count, np.int32)

    def commit(members: np.ndarray, result: tuple[Any, Any]) -> None:
        values, statuses = jax.device_get(result)
        kept = {name: value[: len(members)] for name, value in values.items()}
        for name, value in kept.items():
            empty = np.full(len(status), np.nan, np.float32)
            metrics.setdefault(name, empty)[members] = value
        status[members] = statuses[: len(members)]
        on_block(members // count, kept)

    waiting: list[tuple[np.ndarray, Any]] = []
    for static, members in _blocks(workload, space, hparams, count):
        rows = members // count
        traced = {
            name: values[rows]
            for name, values in hparams.items()
            if name not in dict(static.values)
        }
        ids = trials[rows].astype(np.uint32)
        block = Block(ids, seeds[members % count].astype(np.uint32), traced)
        result = _run(workload, blocks.pad(block, workload.width), static)
        waiting.append((members, result))
        # one block computes while the next is prepared; memory is bounded by two
        if len(waiting) == 2:
            commit(*waiting.pop(0))
    for pair in waiting:
        commit(*pair)
    shape = (len(trials), count)
    return Outcome(
        {name: value.reshape(shape) for name, value in metrics.items()},
        status.reshape(shape),
    )


def _blocks(
    workload: Workload, space: Space, hparams: HparamArrays, seeds: int
) -> Iterator[tuple[Static, np.ndarray]]:
    for group in groups(workload.layout, space, hparams, seeds):
        for first in range(0, len(group.lanes), workload.width):
            yield group.static, group.lanes[first : first + workload.width]


def _run(workload: Workload, block: Block, static: Static) -> tuple[Any, Any]:
    """Dispatch one padded block; nothing is waited for."""
    if not isinstance(workload.subject, Task):
        values = blocks.measure(workload.subject, workload.key, block, static)
        # a function has no step at which to diverge: its status is its value's
        return {"value": values}, jnp.where(jnp.isfinite(values), 0, DIVERGED)
    task, root = workload.subject, workload.key
    state = blocks.start(task, root, block, static)
    state = blocks.advance(task, root, block, state, workload.epochs, static)
    return blocks.score(task, block, state, workload.split, static)


def unread(workload: Workload, space: Space) -> list[str]:
    """Searched dimensions that neither the model nor the optimiser looks at.

    Traces one lane of every program abstractly: nothing is compiled or computed.

    Args:
      workload: a task or a plain function, and its layout.
      space: the space to search.

    Returns:
      Names, in the order of the space.
    """
    # a task's own batches read the batch size, before any function of it does
    seen = {"batch_size"} if workload.trains else set()
    rows = _typical(space)
    for group in groups(workload.layout, space, rows, 1):
        static = group.static

        def trace(key, values, static=static):
            hparams = static.hparams(values)
            result = _trace_lane(workload.subject, key, hparams, static.batching)
            seen.update(hparams.read)
            return result

        fixed, row = dict(static.values), group.lanes[0]
        traced = {name: v[row] for name, v in rows.items() if name not in fixed}
        jax.eval_shape(trace, workload.key, traced)
    return [name for name in space.searched if name not in seen]


def _typical(space: Space) -> dict[str, np.ndarray]:
    """The middle of the space, and each static choice there one by one.

    A choice may decide what is read; a static number decides shapes only.
    """
    point = np.full((1, space.dim), 0.5, np.float32)
    middle = {name: np.asarray(v) for name, v in space.decode(point).items()}
    listed = [n for n in space.searched if space[n].static and space[n].by_index]
    rows = [middle]
    for name in listed:
        numbers = [space[name].decoded(value) for value in space[name].members]
        rows += [{**middle, name: np.asarray([n], np.int32)} for n in numbers]
    return {name: np.concatenate([row[name] for row in rows]) for name in middle}


def _trace_lane(
    task: Task | Objective, key: Key, hparams: Hparams, batching: Any
) -> Any:
    if not isinstance(task, Task):
        return task(key, hparams)
    started = lanes.start(task, key, hparams)
    trained = lanes.advance(task, key, hparams, started, batching)
    return lanes.score(task, hparams, trained, task.valid)
