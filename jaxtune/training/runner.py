"""Blocks in order: looked up in the journal, run by a worker pool, halved if too large.

A block that does not fit into memory is cut in two and run again. Blocks that were in
flight beside it are run again too; nothing that had finished is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from jaxtune.checks import warn
from jaxtune.executors.workers import OutOfMemory, WorkerPool
from jaxtune.programs.job import BlockResult, Job, run
from jaxtune.programs.lane import CRASHED
from jaxtune.training.journal import BlockAssignment, FinishedBlock, Journal
from jaxtune.training.packing import Segment
from jaxtune.training.stopping import Stopped, Stopping
from jaxtune.training.widths import WidthOverrides, overrides_of

SHOWN = 8  # trials in a warning

PENDING = BlockResult({}, np.zeros(0, np.int32))


class BlockRunner:
    """Runs segments as blocks; mutable, lives for one round.

    Args:
      pool: the workers.
      width: lanes in a block, unless the journal has another width.
      journal: looked up for every block.
      across: devices that share the lanes of a block; the width is a multiple of it.
      stopping: may end the search after a block.
    """

    def __init__(
        self,
        pool: WorkerPool,
        width: int,
        journal: Journal,
        across: int = 1,
        stopping: Stopping | None = None,
    ):
        self._stopping = stopping or Stopping()
        self._pool, self._width, self._journal = pool, width, journal
        self._across = across
        self._other_widths: list[tuple[BlockAssignment, int]] = []
        self._ran_on: dict[str, list[np.ndarray]] = {}

    @property
    def width_overrides(self) -> WidthOverrides:
        """Blocks of another width than was planned."""
        return overrides_of(self._other_widths)

    @property
    def devices(self) -> dict[str, np.ndarray]:
        """Kind of device to the ids of the trials it ran, ascending."""
        ran_on = self._ran_on.items()
        # counted and not sorted, since there may be very many
        return {
            kind: np.flatnonzero(np.bincount(np.concatenate(trials)))
            for kind, trials in ran_on
        }

    def run(
        self,
        segments: list[Segment],
        assign: Callable[[Segment], BlockAssignment],
        prepare: Callable[[Segment, BlockAssignment, int], Job],
        make_room: Callable[[], bool] = lambda: False,
    ) -> Iterator[FinishedBlock]:
        """Run segments, and yield their blocks in order.

        Args:
          segments: those wider than a block are cut.
          assign: ``segment -> assignment``.
          prepare: ``(segment, assignment, width) -> job``.
          make_room: frees memory of the devices, and returns whether there was any.

        Yields:
          Finished blocks, each as soon as all before it are.

        Raises:
          MemoryError: a single lane that does not fit.
          Stopped: a block is left, and the search is to stop.
        """
        waiting, flying = deque(segments), deque[FinishedBlock]()
        stopping = self._stopping

        def jobs() -> Iterator[Job | None]:
            """Yield the job of each block; ``None`` for one that the journal knows."""
            while waiting and not stopping.reason:
                # block by block: the width may have been halved since the last block,
                # and one on record may have another
                segment, width = waiting.popleft(), self._journal.width(self._width)
                if len(segment.lanes) > width:
                    waiting.appendleft(segment._replace(lanes=segment.lanes[width:]))
                    segment = segment._replace(lanes=segment.lanes[:width])
                assignment = assign(segment)
                number, known = self._journal.lookup_block(assignment)
                # pools run ahead, but results come in the order of jobs: first in,
                # first out finds the block of a result
                result = known or PENDING
                flying.append(FinishedBlock(segment, number, width, assignment, result))
                yield None if known else prepare(segment, assignment, width)

        while waiting:
            if stopping.reason:
                raise Stopped
            try:
                for result in self._pool.map_ordered(run, jobs()):
                    if stopping.drops:
                        raise Stopped
                    yield self._noted(flying.popleft(), result)
            except OutOfMemory as error:
                if not make_room():
                    self._halve(flying[0].width, error)
                # the generator of jobs has ended, and with it all that was in flight:
                # those blocks are numbered again, in order, from the one that failed
                waiting.extendleft(block.segment for block in reversed(flying))
                self._journal.rewind(flying[0].number)
                flying.clear()

    def _noted(self, block: FinishedBlock, result: BlockResult | None) -> FinishedBlock:
        if result is not None:
            if result.error:
                result = _given_up(block, result)
            block = block._replace(result=result, new=True)
        if block.width != self._width:
            self._other_widths.append((block.assignment, block.width))
        if block.result.device:
            trials = self._ran_on.setdefault(block.result.device, [])
            trials.append(block.assignment.trial)
        return block

    def _halve(self, width: int, error: OutOfMemory) -> None:
        across = self._across
        if width <= across:
            raise MemoryError(
                f"one lane does not fit on {error.where}. Use a smaller model, smaller "
                f"batches, or less data. ({error.shortly})"
            ) from error
        smaller = max(across, width // 2 // across * across)
        self._journal.set_width(smaller)
        warn(
            f"a block of {width} lanes does not fit on {error.where}: it is run again, "
            f"and the search continues, with blocks of {smaller}. The last bits of "
            f"these trials are those of block={smaller}.",
        )


def _given_up(block: FinishedBlock, result: BlockResult) -> BlockResult:
    """Return a result in which all lanes of a block have failed, and warn."""
    trials = np.unique(block.assignment.trial)
    some = ", ".join(map(str, trials[:SHOWN].tolist()))
    more = ", ..." if len(trials) > SHOWN else ""
    warn(
        f"block {block.number} is given up, and its {len(trials)} trials have failed "
        f"({some}{more}): {result.error}",
    )
    status = np.full(len(block.assignment.trial), CRASHED, np.int32)
    # no device, even if one is named: none brought the block to its end
    return result._replace(status=status, device="")
