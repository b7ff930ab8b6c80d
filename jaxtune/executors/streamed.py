"""Blocks side by side through one reading of a stream.

The rows are read once for all blocks: each part of an epoch goes to the devices, every
block trains on it, and only then comes the next part, which has been read meanwhile.
Between two parts the states of blocks are on the host, so the devices hold a part, the
blocks that train, and no more, however many there are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxtune.executors.devices import Devices
from jaxtune.executors.workers import Crashed, Made, Run, WorkerPool
from jaxtune.programs import block as blocks
from jaxtune.programs.job import Done, Job, begin, end
from jaxtune.programs.lane import Lane
from jaxtune.programs.transfer import from_host, to_host
from jaxtune.tasks import Stream
from jaxtune.types import PyTree


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


class Streamed(WorkerPool):
    """Other hands, with a stream read for them: for jobs of one and the same epoch.

    Args:
      hands: those that train; they share the task without its training data, and the
        root key.
      stream: where the data come from.
    """

    def __init__(self, hands: WorkerPool, stream: Stream):
        self._hands, self._stream = hands, stream

    def beside(self, more: PyTree) -> Streamed:
        """The same stream."""
        return Streamed(self._hands.beside(more), self._stream)

    def each(self, run: Run, jobs: Iterable[Job | None]) -> Iterator[Made | None]:
        """See `WorkerPool`; all jobs train for an epoch, cut into parts here."""
        del run
        all_jobs = list(jobs)
        done = iter(self._epoch([job for job in all_jobs if job is not None]))
        for job in all_jobs:
            yield None if job is None else next(done)

    def _epoch(self, jobs: list[Job]) -> list[Made]:
        if not jobs:
            return []
        carried = [Made(Carried(job), "") for job in jobs]
        size, examples = _cut(jobs, self._stream)
        start = 0
        for part in _ahead(self._stream.parts(_epoch_of(jobs[0]), size)):
            # an epoch ends with the last whole micro-batch; the rest is read, not used
            part = jax.tree.map(lambda a: a[: examples - start], part)  # noqa: B023
            rows = len(jax.tree.leaves(part)[0])
            if rows:
                hands = self._hands.beside((part, np.int32(start)))
                carried = _each(hands, _train, carried)
            start += rows
        return _each(self._hands, _end, carried)


def _each(hands: WorkerPool, run: Run, carried: list[Made]) -> list[Made]:
    """A step of all blocks but those that have crashed."""
    going = [None if isinstance(m.result, Crashed) else m.result for m in carried]
    done = hands.each(run, going)
    return [made or before for made, before in zip(done, carried, strict=True)]


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


def local(shared: PyTree, stream: Stream | None = None) -> WorkerPool:
    """The devices of this process.

    Args:
      shared: what all blocks read.
      stream: where training data come from that are not among it.

    Returns:
      Hands.
    """
    return over(Devices(shared), stream)


def over(hands: WorkerPool, stream: Stream | None) -> WorkerPool:
    """Hands with a stream read for them, if there is one."""
    return hands if stream is None else Streamed(hands, stream)
