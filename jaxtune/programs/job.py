"""One segment of one block: a pure function of host arrays, for any device."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from jaxtune.programs import block as blocks
from jaxtune.programs.block import Block, Group, Static
from jaxtune.programs.lane import DIVERGED, RUNNING, Lane
from jaxtune.programs.transfer import to_host
from jaxtune.tasks import Task
from jaxtune.types import Key, Objective


class Job(NamedTuple):
    """What a device needs to know besides the task and the root key.

    Args:
      block: ``W`` lanes, padded.
      static: what its program is compiled for.
      fresh: ``[W]`` bool, lanes that start now.
      state: stacked states ``[W, ...]`` of the others; ``None`` if all start.
      epochs: how long to train.
      split: what to score on; nowhere if ``None``.
      going: ``[m]`` bool, lanes whose states are wanted unless they diverge; the rest
        of the block is padding.
    """

    block: Block
    static: Static
    fresh: np.ndarray
    state: Any
    epochs: int
    split: str | None
    going: np.ndarray


class Done(NamedTuple):
    """What came out.

    Args:
      finished: metrics and statuses ``[m]``.
      state: leaves ``[k, ...]`` of the lanes that are wanted and have not diverged.
    """

    finished: Finished
    state: list[np.ndarray]


def run(shared: tuple[Task, Key], job: Job) -> Done:
    """Train a block, score it, and bring what is wanted to the host."""
    task, root = shared
    state = begin(task, root, job)
    state = blocks.advance(task, root, job.block, state, job.epochs, job.static)
    return end(task, job, state)


def end(task: Task, job: Job, state: Lane) -> Done:
    """Score a block, and bring what is wanted to the host."""
    metrics, status = {}, state.status
    if job.split is not None:
        metrics, status = blocks.score(task, job.block, state, job.split, job.static)
    metrics, status = jax.device_get((metrics, status))
    finished = _finished(metrics, status, len(job.going))
    wanted = np.flatnonzero(job.going & (finished.status == RUNNING))
    return Done(finished, to_host(state, wanted) if wanted.size else [])


def begin(task: Task, root: Key, job: Job) -> Lane:
    """States of a block's lanes: started, kept from before, or some of each."""
    if not job.fresh.any():
        return job.state
    started = blocks.start(task, root, job.block, job.static)
    if job.state is None:
        return started
    source = np.where(job.fresh, -1, np.arange(len(job.fresh))).astype(np.int32)
    return blocks.gather(job.state, started, source)


def _finished(metrics: dict[str, Any], status: Any, count: int) -> Finished:
    """Without padding, and with one NaN, so that records compare bit by bit."""
    plain = {
        name: np.where(np.isnan(values), np.float32(np.nan), values)[:count]
        for name, values in metrics.items()
    }
    return Finished(plain, np.asarray(status)[:count])


class Finished(NamedTuple):
    """What a block measured.

    Args:
      metrics: name to ``[m]`` float32; only those of lanes that arrived count.
      status: ``[m]`` int32.
    """

    metrics: dict[str, np.ndarray]
    status: np.ndarray


def values(objective: Objective, root: Key, job: tuple[Block, Group]) -> Done:
    """A block of a plain function, without the padding."""
    block, group = job
    values = blocks.measure(objective, root, block, group.static)
    return Done(_finite_or_not(jax.device_get(values)[: len(group.lanes)]), [])


def _finite_or_not(values: np.ndarray) -> Finished:
    """A function has no step at which to diverge: its status is its value's."""
    status = np.where(np.isfinite(values), RUNNING, DIVERGED).astype(np.int32)
    plain = np.where(np.isnan(values), np.float32(np.nan), values)
    return Finished({"value": plain}, status)
