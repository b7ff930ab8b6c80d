"""Who is told of a search while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from jaxtune.results.result import Result, Setup
from jaxtune.training.ledger import Rungs
from jaxtune.training.round_state import BlockEvent


class Callback:
    """Told of a search while it runs; override what you want to hear.

    Everything is told from the beginning and in the order of the table, however many
    devices train. A run that goes on tells of its finished rounds by ``on_round``, and
    of the round that it was in from that round's first block. A callback sees the
    search and changes nothing in it; what it raises ends the search.
    """

    def on_start(self, setup: Setup) -> None:
        """The search begins, or goes on.

        Args:
          setup: what is searched and how: space, metric, mode, number of trials.
        """

    def on_block(self, round: int, block: BlockEvent) -> None:
        """A block has finished.

        Args:
          round: from 0.
          block: the lanes that were scored in it, or failed.
        """

    def on_rung(self, round: int, rungs: Rungs) -> None:
        """Trials reached rungs of a scheduler; never called without one.

        Args:
          round: from 0.
          rungs: which trials, after how many epochs, with which scores.
        """

    def on_round(self, result: Result) -> None:
        """A round has ended.

        Args:
          result: of all rounds until now; ``result.finished`` after the last one.
        """

    def on_end(self) -> None:
        """The search is over, or was cut off: nothing more will come."""


class Callbacks(Callback):
    """Several as one, told in order.

    Args:
      members: any callbacks.
    """

    def __init__(self, members: Sequence[Callback]):
        self._members = check_callbacks(members)

    def on_start(self, setup: Setup) -> None:
        """Tell all."""
        for member in self._members:
            member.on_start(setup)

    def on_block(self, round: int, block: BlockEvent) -> None:
        """Tell all."""
        for member in self._members:
            member.on_block(round, block)

    def on_rung(self, round: int, rungs: Rungs) -> None:
        """Tell all."""
        for member in self._members:
            member.on_rung(round, rungs)

    def on_round(self, result: Result) -> None:
        """Tell all."""
        for member in self._members:
            member.on_round(result)

    def on_end(self) -> None:
        """Tell all."""
        for member in self._members:
            member.on_end()


@contextmanager
def told(callback: Callback, setup: Setup) -> Iterator[None]:
    """Tell of a search's beginning, and of its end however it comes."""
    callback.on_start(setup)
    try:
        yield
    finally:
        callback.on_end()


def check_callbacks(members: Sequence[Callback]) -> tuple[Callback, ...]:
    """Raise ``ValueError`` for anything but a list of callbacks."""
    if isinstance(members, Callback) or not isinstance(members, list | tuple):
        raise ValueError(
            f"callbacks: got {type(members).__name__}. Use a list of callbacks."
        )
    for member in members:
        if not isinstance(member, Callback):
            raise ValueError(
                f"callbacks: {member!r} is none. Subclass jaxtune.Callback."
            )
    return tuple(members)
