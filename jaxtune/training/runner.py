"""Blocks in order: asked of the journal, run by whoever was hired, halved if need be.

A block that does not fit into memory is cut in two and run again. Blocks that were in
flight beside it are run again too; nothing that had finished is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxtune.checks import warn
from jaxtune.executors.workers import Crashed, Made, OutOfMemory, Run, WorkerPool
from jaxtune.programs.job import Done, Finished
from jaxtune.programs.lane import CRASHED
from jaxtune.training.journal import BlockAssignment, Journal
from jaxtune.training.widths import WidthOverrides, narrowed

SHOWN = 8  # trials in a warning


class FinishedBlock(NamedTuple):
    """A block that is done.

    Args:
      piece: its part of what was to run.
      number: of the block.
      width: how wide it was.
      work: how far it trained whom.
      done: what came out of it, or what the journal knew.
      device: the kind that ran it; as far as the journal knew.
      new: whether it ran now.
    """

    piece: Any
    number: int
    width: int
    work: BlockAssignment
    done: Done
    device: str
    new: bool = False


class BlockRunner:
    """Runs pieces of work as blocks; mutable, for one round.

    Args:
      hands: who runs them.
      width: lanes in a block, unless the journal says otherwise.
      journal: asked whether it knows a block.
      across: devices that share the lanes of a block, whose width is a multiple.
    """

    def __init__(
        self, hands: WorkerPool, width: int, journal: Journal, across: int = 1
    ):
        self._hands, self._width, self._journal = hands, width, journal
        self._across = across
        self._narrower: list[tuple[BlockAssignment, int]] = []
        self._ran_on: dict[str, list[np.ndarray]] = {}

    @property
    def narrow(self) -> WidthOverrides:
        """Blocks that had another width than they should have."""
        return narrowed(self._narrower)

    @property
    def devices(self) -> dict[str, np.ndarray]:
        """Kind of device to the trials that it ran, ascending."""
        ran_on = self._ran_on.items()
        return {kind: np.unique(np.concatenate(trials)) for kind, trials in ran_on}

    def each(
        self,
        run: Run,
        pieces: list[Any],
        work: Callable[[Any], BlockAssignment],
        job: Callable[[Any, BlockAssignment, int], Any],
    ) -> Iterator[FinishedBlock]:
        """Run pieces, and hand them back in order.

        Args:
          run: ``(shared, job) -> Done``.
          pieces: named tuples with ``lanes`` ``[m]``; those wider than a block are cut.
          work: how far a piece trains whom.
          job: what ``run`` needs for a piece, its work, and the width of its block.

        Yields:
          Blocks that are done, each as soon as all before it are.

        Raises:
          MemoryError: a single lane that does not fit.
        """
        waiting, flying = deque(pieces), deque[FinishedBlock]()

        def entered() -> Iterator[Any]:
            """The job of each block; nothing for one that the journal knows."""
            while waiting:
                piece, width = waiting.popleft(), self._journal.width(self._width)
                if len(piece.lanes) > width:
                    waiting.appendleft(piece._replace(lanes=piece.lanes[width:]))
                    piece = piece._replace(lanes=piece.lanes[:width])
                told = work(piece)
                number, known = self._journal.enter(told)
                done = Done(known or Finished({}, np.zeros(0)), [])
                device = "" if known is None else self._journal.device(number)
                flying.append(FinishedBlock(piece, number, width, told, done, device))
                yield job(piece, told, width) if known is None else None

        while waiting:
            try:
                for made in self._hands.each(run, entered()):
                    yield self._noted(flying.popleft(), made)
            except OutOfMemory as error:
                self._halve(flying[0].width, error)
                waiting.extendleft(ran.piece for ran in reversed(flying))
                self._journal.back(flying[0].number)
                flying.clear()

    def keep(self, ran: FinishedBlock, unneeded: list[int]) -> None:
        """Let the journal remember a block that ran now, and forget older states."""
        if ran.new:
            self._journal.keep(
                *(ran.number, ran.work, ran.done.finished, ran.width),
                *(ran.device, ran.done.state, unneeded),
            )

    def _noted(self, ran: FinishedBlock, made: Made | None) -> FinishedBlock:
        if made is not None:
            done, device = made
            if isinstance(done, Crashed):
                done, device = _given_up(ran, done), ""
            ran = ran._replace(done=done, device=device, new=True)
        if ran.width != self._width:
            self._narrower.append((ran.work, ran.width))
        if ran.device:
            self._ran_on.setdefault(ran.device, []).append(ran.work.trial)
        return ran

    def _halve(self, width: int, error: OutOfMemory) -> None:
        across = self._across
        if width <= across:
            raise MemoryError(
                f"one lane does not fit on {error.where}. Use a smaller model, smaller "
                f"batches, or less data. ({error.said})"
            ) from error
        smaller = max(across, width // 2 // across * across)
        self._journal.choose(smaller)
        warn(
            f"a block of {width} lanes does not fit on {error.where}: it is run again, "
            f"and the search goes on, with blocks of {smaller}. The last bits of these "
            f"trials are those of block={smaller}.",
        )


def _given_up(ran: FinishedBlock, crashed: Crashed) -> Done:
    """All lanes of a block have failed."""
    trials = np.unique(ran.work.trial)
    some = ", ".join(map(str, trials[:SHOWN].tolist()))
    more = ", ..." if len(trials) > SHOWN else ""
    warn(
        f"block {ran.number} ended {crashed.tries} processes that ran it. It is given "
        f"up, and its {len(trials)} trials have failed ({some}{more}). The last time: "
        f"{crashed.said}",
    )
    status = np.full(len(ran.work.trial), CRASHED, np.int32)
    return Done(Finished({}, status), [])
