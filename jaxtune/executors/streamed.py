"""Blocks side by side through one reading of a stream.

The rows are read once for all blocks: each part of an epoch goes to the devices, every
block trains on it, and only then comes the next part, which has been read meanwhile.
Between two parts the states of blocks are on the host, so the devices hold a part, the
blocks that train, and no more, however many there are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxtune.background import Threads
from jaxtune.executors.devices import Devices
from jaxtune.executors.workers import Run, WorkerPool
from jaxtune.programs import block as block_program
from jaxtune.programs.job import BlockResult, Job, begin, end
from jaxtune.programs.lane import Lane
from jaxtune.programs.transfer import from_host, to_host
from jaxtune.tasks import Stream
from jaxtune.threads import one_thread
from jaxtune.types import PyTree


class Carried(NamedTuple):
    """A block between two parts of an epoch.

    Args:
      job: of the block.
      leaves: its states and open batches ``[W, ...]``; ``None`` before the first part.
      like: their abstract form.
      device: the kind of device that trained the last part.
      error: why the block was given up; empty if it trains.
    """

    job: Job
    leaves: list[np.ndarray] | None = None
    like: PyTree = None
    device: str = ""
    error: str = ""


class Streamed(WorkerPool):
    """A pool that reads a stream for another: all its jobs are of one epoch.

    Args:
      pool: of the devices that train; they share the task without its training data,
        and the root key.
      stream: the training data.
    """

    def __init__(self, pool: WorkerPool, stream: Stream):
        self._pool, self._stream = pool, stream

    def with_shared(self, more: PyTree) -> Streamed:
        """Return the same stream for a pool with ``more`` appended."""
        return Streamed(self._pool.with_shared(more), self._stream)

    def map_ordered(self, run: Run, jobs: Iterable[Job | None]) -> Iterator[Any]:
        """Train all jobs for an epoch, part by part, see `WorkerPool`."""
        del run  # a segment is cut into parts here, and scored after the last
        all_jobs = list(jobs)
        done = iter(self._epoch([job for job in all_jobs if job is not None]))
        for job in all_jobs:
            yield None if job is None else next(done)

    def _epoch(self, jobs: list[Job]) -> list[BlockResult]:
        if not jobs:
            return []
        carried: list[Any] = [Carried(job) for job in jobs]
        size, examples = _cut(jobs, self._stream)
        start = 0
        for part in _read_ahead(self._stream.parts(_epoch_of(jobs[0]), size)):
            # an epoch ends with the last whole micro-batch; the rest is read, not used
            part = jax.tree.map(lambda a: a[: examples - start], part)  # noqa: B023
            rows = len(jax.tree.leaves(part)[0])
            if rows:
                pool = self._pool.with_shared((part, np.int32(start)))
                carried = _step(pool, _train, carried)
            start += rows
        return _step(self._pool, _end, carried)


def _step(pool: WorkerPool, run: Run, carried: list[Any]) -> list[Any]:
    """Take all blocks one step further, but those that were given up."""
    going = [None if block.error else block for block in carried]
    done = pool.map_ordered(run, going)
    return [after or before for after, before in zip(done, carried, strict=True)]


@one_thread()
def _train(shared: Any, carried: Carried) -> Carried:
    """Train one block on one part."""
    task, root, (part, start) = shared
    job = carried.job
    if carried.leaves is None:
        state = begin(task, root, job)
        both = state, block_program.empty_batches(task, job.block, state, job.static)
    else:
        both = from_host(carried.leaves, carried.like)
    both = block_program.advance_part(
        task, root, job.block, both, part, start, job.static
    )
    like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), both)
    return Carried(job, to_host(both, slice(None)), like)


@one_thread()
def _end(shared: Any, carried: Carried) -> BlockResult:
    assert carried.leaves is not None, "an epoch has rows"
    state: Lane = from_host(carried.leaves, carried.like)[0]
    return end(shared[0], carried.job, state)


def _cut(jobs: list[Job], stream: Stream) -> tuple[int, int]:
    """Return the rows of a part, a multiple of all micro-batches, and of an epoch."""
    batchings = [job.static.batching for job in jobs]
    # static batch sizes differ by group; a part has to end a micro-batch of each, while
    # the length of an epoch is the same for all
    micro = math.lcm(*{b.micro for b in batchings if b is not None})
    (examples,) = {b.examples for b in batchings if b is not None}
    return max(1, stream.rows // micro) * micro, examples


def _epoch_of(job: Job) -> int:
    """Return the epoch that all lanes of all jobs are in."""
    return int(np.max(job.trained))


def _read_ahead(parts: Iterator[PyTree]) -> Iterator[PyTree]:
    """Yield the same parts, the next one read while this one is used."""
    # one thread: the user's source is an iterator, which two must not advance at once
    with Threads(1, "jaxtune-reading") as pool:
        following = pool.submit(next, parts, None)
        while (part := following.result()) is not None:
            following = pool.submit(next, parts, None)
            yield part


def local_pool(shared: PyTree, stream: Stream | None = None) -> WorkerPool:
    """Return a pool of the devices of this process.

    Args:
      shared: a tuple that all jobs read.
      stream: the training data that are not in it, if any.
    """
    return with_stream(Devices(shared), stream)


def with_stream(pool: WorkerPool, stream: Stream | None) -> WorkerPool:
    """Return a pool that reads the stream for another, if there is one."""
    return pool if stream is None else Streamed(pool, stream)
