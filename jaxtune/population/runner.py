"""Blocks in order: asked of the journal, run on the devices, halved if need be.

A block that does not fit into memory is cut in two and run again. Blocks that were in
flight beside it are run again too; nothing that had finished is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

from jaxtune.journal import Journal, Work
from jaxtune.population.devices import Devices
from jaxtune.population.narrow import Narrow, narrowed
from jaxtune.types import PyTree
from jaxtune.warn import warn

# of XLA, CUDA, its libraries, and C++
OUT_OF_MEMORY = (
    *("resource_exhausted", "out of memory", "out_of_memory", "alloc_failed"),
    *("bad_alloc", "failed to allocate"),
)


class Ran(NamedTuple):
    """A block that is done.

    Args:
      piece: its part of what was to run.
      number: of the block.
      width: how wide it was.
      work: how far it trained whom.
      result: what came out of it, or what the journal knew.
    """

    piece: Any
    number: int
    width: int
    work: Work
    result: Any


class Runner:
    """Runs pieces of work as blocks; mutable, for one round.

    Args:
      shared: what all blocks read.
      width: lanes in a block, unless the journal says otherwise.
      journal: asked whether it knows a block.
      run: ``(shared, job) -> result``.
      devices: who runs them; all devices of this process if not given.
    """

    def __init__(
        self,
        shared: PyTree,
        width: int,
        journal: Journal,
        run: Callable[[Any, Any], Any],
        devices: Any = None,
    ):
        self._devices = devices or Devices(shared)
        self._width, self._journal, self._run = width, journal, run
        self._narrower: list[tuple[Work, int]] = []

    @property
    def narrow(self) -> Narrow:
        """Blocks that had another width than they should have."""
        return narrowed(self._narrower)

    def each(
        self,
        pieces: list[Any],
        work: Callable[[Any], Work],
        job: Callable[[Any, Work, int], Any],
    ) -> Iterator[Ran]:
        """Run pieces, and hand them back in order.

        Args:
          pieces: named tuples with ``lanes`` ``[m]``; those wider than a block are cut.
          work: how far a piece trains whom.
          job: what ``run`` needs for a piece, its work, and the width of its block.

        Yields:
          Blocks that are done, each as soon as all before it are.

        Raises:
          MemoryError: a single lane that does not fit.
        """
        waiting, flying = deque(pieces), deque[Ran]()

        def entered() -> Iterator[Any]:
            """The job of each block; nothing for one that the journal knows."""
            while waiting:
                piece, width = waiting.popleft(), self._journal.width(self._width)
                if len(piece.lanes) > width:
                    waiting.appendleft(piece._replace(lanes=piece.lanes[width:]))
                    piece = piece._replace(lanes=piece.lanes[:width])
                told = work(piece)
                number, known = self._journal.enter(told)
                flying.append(Ran(piece, number, width, told, known))
                yield job(piece, told, width) if known is None else None

        while waiting:
            try:
                for result in self._devices.each(self._run, entered()):
                    ran = flying.popleft()
                    ran = ran if result is None else ran._replace(result=result)
                    if ran.width != self._width:
                        self._narrower.append((ran.work, ran.width))
                    yield ran
            except jax.errors.JaxRuntimeError as error:
                self._halve(flying[0].width, error)
                waiting.extendleft(ran.piece for ran in reversed(flying))
                self._journal.back(flying[0].number)
                flying.clear()

    def _halve(self, width: int, error: Exception) -> None:
        if not out_of_memory(error):
            raise error
        device = jax.local_devices()[0]
        if width == 1:
            raise MemoryError(
                f"one lane does not fit on {device}. Use a smaller model, smaller "
                "batches, or less data."
            ) from error
        smaller = width // 2
        self._journal.choose(smaller)
        warn(
            f"a block of {width} lanes does not fit on {device}: it is run again, and "
            f"the search goes on, with blocks of {smaller}. The last bits of "
            f"these trials are those of block={smaller}.",
        )


def out_of_memory(error: Exception) -> bool:
    """Whether an error of XLA, or of a library that it calls, says so."""
    return any(word in str(error).lower() for word in OUT_OF_MEMORY)
