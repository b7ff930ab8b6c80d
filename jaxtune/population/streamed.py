"""Blocks side by side through one reading of a stream.

The rows are read once for all blocks: each part of an epoch goes to the devices, every
block trains on it, and only then comes the next part, which has been read meanwhile.
Between two parts the states of blocks are on the host, so the devices hold a part, the
blocks that train, and no more, however many there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxtune.population import block as blocks
from jaxtune.population.devices import Devices
from jaxtune.population.job import Done, Job, begin, end
from jaxtune.population.lane import Lane
from jaxtune.population.pool import from_host, to_host
from jaxtune.tasks import Stream, Task
from jaxtune.types import Key, PyTree


class Carried(NamedTuple):
    """A block between two parts of an epoch.

    Args:
      job: what is to be done with it.
      leaves: its states and open batches ``[W, ...]``; ``None`` before the first part.
      like: their abstract form.
    """

    job: Job
    leaves: list[np.ndarray] | None = None
    like: PyTree = None


class Streamed:
    """In the place of `Devices`, for jobs of one and the same epoch.

    Args:
      shared: the task without its training data, and the root key.
      stream: where the data come from.
    """

    def __init__(self, shared: tuple[Task, Key], stream: Stream):
        self._devices, self._stream = Devices(shared), stream

    def each(
        self, run: Callable[[PyTree, Job], Any], jobs: Iterable[Job | None]
    ) -> Iterator[Done | None]:
        """Train all jobs for an epoch, and hand their results back in order.

        Args:
          run: not asked: a job is cut into parts here.
          jobs: of one and the same epoch; ``None`` is nothing to do.

        Yields:
          Results; ``None`` for ``None``.
        """
        del run
        all_jobs = list(jobs)
        done = iter(self._epoch([job for job in all_jobs if job is not None]))
        for job in all_jobs:
            yield None if job is None else next(done)

    def _epoch(self, jobs: list[Job]) -> list[Done]:
        if not jobs:
            return []
        carried: list[Any] = [Carried(job) for job in jobs]
        size, examples = _cut(jobs, self._stream)
        start = 0
        for part in _ahead(self._stream.parts(_epoch_of(jobs[0]), size)):
            # an epoch ends with the last whole micro-batch; the rest is read, not used
            part = jax.tree.map(lambda a: a[: examples - start], part)  # noqa: B023
            rows = len(jax.tree.leaves(part)[0])
            if rows:
                devices = self._devices.beside((part, np.int32(start)))
                carried = list(devices.each(_train, carried))
            start += rows
        return list(self._devices.each(_end, carried))


def _train(shared: Any, carried: Carried) -> Carried:
    """One block, one part."""
    task, root, (part, start) = shared
    job = carried.job
    if carried.leaves is None:
        state = begin(task, root, job)
        both = state, blocks.open_batches(state, job.static)
    else:
        both = from_host(carried.leaves, carried.like)
    own = (both, part, start, job.static)
    both = blocks.advance_part(task, root, job.block, *own)
    like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), both)
    return Carried(job, to_host(both, slice(None)), like)


def _end(shared: Any, carried: Carried) -> Done:
    assert carried.leaves is not None, "an epoch has rows"
    state: Lane = from_host(carried.leaves, carried.like)[0]
    return end(shared[0], carried.job, state)


def _cut(jobs: list[Job], stream: Stream) -> tuple[int, int]:
    """Rows of a part, a multiple of everybody's micro-batch, and of an epoch."""
    batchings = [job.static.batching for job in jobs]
    micro = math.lcm(*{b.micro for b in batchings if b is not None})
    (examples,) = {b.examples for b in batchings if b is not None}
    return max(1, stream.rows // micro) * micro, examples


def _epoch_of(job: Job) -> int:
    """The epoch that all lanes of all jobs are in."""
    return 0 if job.state is None else int(np.max(job.state.epoch))


def _ahead(parts: Iterator[PyTree]) -> Iterator[PyTree]:
    """The same, the next one read while this one is used."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, parts, None)
        while (part := following.result()) is not None:
            following = pool.submit(next, parts, None)
            yield part
