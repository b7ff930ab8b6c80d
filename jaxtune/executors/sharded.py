"""All devices of this process as one: each trains its share of a block's lanes.

For models of which one device holds few lanes. Lanes have nothing to say to each other,
so a share is a narrower block: its program, and its bits, are those of a block of that
width on one device.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np

from jaxtune.executors.workers import Crashed, Made, Run, WorkerPool
from jaxtune.programs.job import Done, Finished, Job
from jaxtune.types import PyTree


class Sharded(WorkerPool):
    """Hands that get a share of a block's lanes each.

    Args:
      hands: those of all devices.
      across: how many devices; a block's width is a multiple.
    """

    def __init__(self, hands: WorkerPool, across: int):
        self._hands, self._across = hands, across

    def beside(self, more: PyTree) -> Sharded:
        """The same devices; what they share, a tuple, gets one thing more."""
        return Sharded(self._hands.beside(more), self._across)

    def each(self, run: Run, jobs: Iterable[Any]) -> Iterator[Made | None]:
        """See `WorkerPool`."""
        shares = itertools.chain.from_iterable(self._shares(job) for job in jobs)
        made = self._hands.each(run, shares)
        while block := list(itertools.islice(made, self._across)):
            yield _joined([share for share in block if share is not None])

    def _shares(self, job: Any) -> list[Any]:
        """A job for each device; none for those that would get padding alone."""
        if job is None:
            return [None] * self._across
        width, live = _size(job)
        share, rest = divmod(width, self._across)
        if rest:
            raise ValueError(
                f"a block of {width} lanes cannot be shared by {self._across} devices. "
                f"Use a multiple: block={width + self._across - rest}."
            )
        starts = [i * share for i in range(self._across)]
        return [_part(job, at, at + share) if at < live else None for at in starts]


def _size(job: Any) -> tuple[int, int]:
    """Lanes of a job's block, with padding and without."""
    if isinstance(job, Job):
        return len(job.block.trial), len(job.going)
    block, group = job
    return len(block.trial), len(group.lanes)


def _part(job: Any, start: int, stop: int) -> Any:
    """The job of some lanes of a block."""

    def rows(tree: PyTree) -> PyTree:
        return jax.tree.map(lambda a: a[start:stop], tree)

    if isinstance(job, Job):
        own = {"block": rows(job.block), "fresh": rows(job.fresh)}
        own |= {"state": rows(job.state), "going": rows(job.going)}
        return job._replace(**own)
    block, group = job
    return rows(block), group._replace(lanes=rows(group.lanes))


def _joined(shares: list[Made]) -> Made | None:
    """What came out of a block, from what came out of its shares."""
    if not shares:
        return None
    results = [share.result for share in shares]
    crashed = [result for result in results if isinstance(result, Crashed)]
    first = crashed[0] if crashed else results[0]
    if not crashed:
        leaves = [done.state for done in results if done.state]
        finished = Finished(*_concatenated([done.finished for done in results]))
        first = Done(finished, _concatenated(leaves) if leaves else [])
    return Made(first, shares[0].device)


def _concatenated(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *parts: np.concatenate(parts), *trees)
