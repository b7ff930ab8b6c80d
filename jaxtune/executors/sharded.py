"""All devices of this process as one: each trains its share of a block's lanes.

For models of which one device holds few lanes. Lanes do not interact, so a share is a
narrower block: its program, and its bits, are those of a block of that width on one
device.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np

from jaxtune.executors.workers import Run, WorkerPool
from jaxtune.programs.job import BlockResult, Job
from jaxtune.types import PyTree


class Sharded(WorkerPool):
    """A pool that gives each device a share of a block's lanes.

    Args:
      pool: of all devices.
      across: number of devices; the width of a block is a multiple.
    """

    def __init__(self, pool: WorkerPool, across: int):
        self._pool, self._across = pool, across

    def with_shared(self, more: PyTree) -> Sharded:
        """Return the same devices with ``more`` appended to what they share."""
        return Sharded(self._pool.with_shared(more), self._across)

    def map_ordered(self, run: Run, jobs: Iterable[Any]) -> Iterator[Any]:
        """Run jobs, see `WorkerPool`."""
        shares = itertools.chain.from_iterable(self._shares(job) for job in jobs)
        results = self._pool.map_ordered(run, shares)
        # results come in the order of jobs, so the next ones are those of one block
        while block := list(itertools.islice(results, self._across)):
            yield _joined([share for share in block if share is not None])

    def _shares(self, job: Job | None) -> list[Job | None]:
        """Return a job for each device; ``None`` for one that would get padding."""
        if job is None:
            return [None] * self._across
        width, live = len(job.block.trial), len(job.going)
        share, rest = divmod(width, self._across)
        if rest:
            raise ValueError(
                f"a block of {width} lanes cannot be shared by {self._across} devices. "
                f"Use a multiple: block={width + self._across - rest}."
            )
        starts = [i * share for i in range(self._across)]
        return [_part(job, at, at + share) if at < live else None for at in starts]


def _part(job: Job, start: int, stop: int) -> Job:
    """Return the job of some lanes of a block."""

    def rows(tree: PyTree) -> PyTree:
        return jax.tree.map(lambda a: a[start:stop], tree)

    return job._replace(
        block=rows(job.block),
        trained=rows(job.trained),
        sources=tuple(one._replace(rows=rows(one.rows)) for one in job.sources),
        going=rows(job.going),  # without padding, so it may be shorter than a share
    )


def _joined(shares: list[BlockResult]) -> BlockResult | None:
    """Return the result of a block from the results of its shares."""
    if not shares:
        return None
    for share in shares:
        if share.error:
            return share
    return BlockResult(
        metrics=_concatenated([share.metrics for share in shares]),
        status=np.concatenate([share.status for share in shares]),
        states=tuple(part for share in shares for part in share.states),
        device=shares[0].device,
        curves=_concatenated([share.curves for share in shares]),
        outputs=_concatenated([share.outputs for share in shares]),
    )


def _concatenated(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *parts: np.concatenate(parts), *trees)
