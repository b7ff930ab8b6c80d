"""Trials into blocks and scores out of them: the loop over blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.population import block as blocks
from jaxtune.population.block import Block, Static
from jaxtune.population.lane import DIVERGED
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
    split: str = "valid"

    @property
    def trains(self) -> bool:
        """Whether trials are trained, or a plain function is evaluated."""
        return isinstance(self.subject, Task)


class Outcome(NamedTuple):
    """What came back, for ``n`` trials and ``s`` seeds."""

    metrics: dict[str, np.ndarray]  # name to [n, s] float32
    status: np.ndarray  # [n, s] int32


class Group(NamedTuple):
    """Lanes that share their static hyperparameters, hence a program."""

    static: Static
    lanes: np.ndarray  # [m] int, indices of trial * seeds + seed


def default_width(subject: Task | Objective) -> int:
    """Lanes in a block. A constant of the device: a lane's rounding depends on it."""
    if not isinstance(subject, Task):
        return OBJECTIVE_WIDTH
    return CPU_WIDTH if jax.default_backend() == "cpu" else ACCELERATOR_WIDTH


def groups(space: Space, hparams: HparamArrays, seeds: int) -> list[Group]:
    """Partition lanes by the values of static dimensions.

    Args:
      space: says which dimensions are static.
      hparams: name to ``[n]`` decoded values.
      seeds: lanes of each trial.

    Returns:
      One group per combination of static values, in order of first appearance.
    """
    names = [name for name in space.names if space[name].static]
    listed = [name for name in space.names if space[name].kind == "choice"]
    choices = tuple((name, space[name].choices) for name in listed if name not in names)
    trials = len(next(iter(hparams.values())))
    columns = [
        [space[name].value(v) for v in np.asarray(hparams[name])] for name in names
    ]
    members: dict[tuple, list[int]] = {}
    for trial in range(trials):
        values = tuple(column[trial] for column in columns)
        lanes = range(trial * seeds, (trial + 1) * seeds)
        members.setdefault(values, []).extend(lanes)
    return [
        Group(
            Static(tuple(zip(names, values, strict=True)), choices), np.asarray(lanes)
        )
        for values, lanes in members.items()
    ]


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

    def commit(lanes: np.ndarray, result: tuple[Any, Any]) -> None:
        values, statuses = jax.device_get(result)
        kept = {name: value[: len(lanes)] for name, value in values.items()}
        for name, value in kept.items():
            empty = np.full(len(status), np.nan, np.float32)
            metrics.setdefault(name, empty)[lanes] = value
        status[lanes] = statuses[: len(lanes)]
        on_block(lanes // count, kept)

    waiting: list[tuple[np.ndarray, Any]] = []
    for static, lanes in _blocks(workload, space, hparams, count):
        rows = lanes // count
        traced = {
            name: values[rows]
            for name, values in hparams.items()
            if name not in dict(static.values)
        }
        ids = trials[rows].astype(np.uint32)
        block = Block(ids, seeds[lanes % count].astype(np.uint32), traced)
        result = _run(workload, blocks.pad(block, workload.width), static)
        waiting.append((lanes, result))
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
    for group in groups(space, hparams, seeds):
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


def unread(task: Task | Objective, space: Space) -> list[str]:
    """Searched dimensions that neither the model nor the optimiser looks at.

    Traces one lane abstractly: nothing is compiled or computed.

    Args:
      task: a task or a plain function.
      space: the space to search.

    Returns:
      Names, in the order of the space.
    """
    decoded = jax.eval_shape(
        lambda s: s.decode(jnp.zeros((1, space.dim), jnp.float32)), space
    )
    traced = {n: jax.ShapeDtypeStruct((), v.dtype) for n, v in decoded.items()}
    fixed = {n: space[n].default for n in space.names if space[n].static}
    choices = {n: space[n].choices for n in space.names if space[n].kind == "choice"}
    seen: set[str] = set()

    def trace(key, values):
        hparams = Hparams({**values, **fixed}, choices)
        result = _trace_lane(task, key, hparams)
        seen.update(hparams.read)
        return result

    key = jax.eval_shape(lambda: jax.random.key(0))
    jax.eval_shape(trace, key, {n: v for n, v in traced.items() if n not in fixed})
    return [name for name in space.searched if name not in seen]


def _trace_lane(task: Task | Objective, key: Key, hparams: Hparams) -> Any:
    from jaxtune.population import lane

    if not isinstance(task, Task):
        return task(key, hparams)
    started = lane.start(task, key, hparams)
    trained = lane.advance(task, key, hparams, started)
    return lane.score(task, hparams, trained, task.valid)
