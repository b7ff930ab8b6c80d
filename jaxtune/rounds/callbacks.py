"""Hooks that a search calls while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from jaxtune.results.result import Result, Setup
from jaxtune.training.ledger import Rungs
from jaxtune.training.round_state import BlockEvent


class Callback:
    """Hooks that a search calls while it runs; override those that you need.

    Calls come in the order of blocks, which does not depend on the devices. A run
    that is resumed calls ``on_round`` once for each finished round, and ``on_block``
    from the first block of the round in which it stopped. A callback sees the search
    and changes nothing in it; an exception that it raises ends the search.

    >>> import jax
    >>> import jaxtune as jt
    >>> class Rounds(jt.Callback):
    ...     def on_start(self, setup):
    ...         print(setup.trials, "trials, best is", setup.mode)
    ...
    ...     def on_round(self, result):
    ...         print(len(result.trials["score"]), "trials so far")
    >>> result = jt.search(
    ...     lambda key, h: (h["x"] - 0.3) ** 2,
    ...     jt.Space(x=jt.uniform(0.0, 1.0)),
    ...     key=jax.random.key(0),
    ...     trials=8,
    ...     rounds=2,
    ...     mode="min",
    ...     callbacks=[Rounds()],
    ...     verbose=0,
    ... )
    8 trials, best is min
    4 trials so far
    8 trials so far
    """

    def on_start(self, setup: Setup) -> None:
        """Act when the search starts or is resumed.

        Args:
          setup: what is searched and how: space, metric, mode, number of trials.
        """

    def on_block(self, round: int, block: BlockEvent) -> None:
        """Act when a block has finished.

        Args:
          round: its number, from 0.
          block: the lanes of the block that were scored, or failed.
        """

    def on_rung(self, round: int, rungs: Rungs) -> None:
        """Act when trials have reached a rung, or failed on the way to one.

        Never called where all trials train in full.

        Args:
          round: its number, from 0.
          rungs: the trials, with the epochs they trained and their scores.
        """

    def on_round(self, result: Result) -> None:
        """Act when a round has ended.

        Args:
          result: of all rounds until now; ``result.finished`` after the last one.
        """

    def on_end(self) -> None:
        """Act when the search has ended or was interrupted: the last call."""


class Callbacks(Callback):
    """Several callbacks as one, called in order.

    Args:
      members: any callbacks.
    """

    def __init__(self, members: Sequence[Callback]):
        self._members = check_callbacks(members)

    def on_start(self, setup: Setup) -> None:
        for member in self._members:
            member.on_start(setup)

    def on_block(self, round: int, block: BlockEvent) -> None:
        for member in self._members:
            member.on_block(round, block)

    def on_rung(self, round: int, rungs: Rungs) -> None:
        for member in self._members:
            member.on_rung(round, rungs)

    def on_round(self, result: Result) -> None:
        for member in self._members:
            member.on_round(result)

    def on_end(self) -> None:
        for member in self._members:
            member.on_end()


@contextmanager
def notify_start_and_end(callback: Callback, setup: Setup) -> Iterator[None]:
    """Call ``on_start`` at the beginning of a search, ``on_end`` however it ends."""
    callback.on_start(setup)
    try:
        yield
    finally:
        callback.on_end()


def check_callbacks(members: Sequence[Callback]) -> tuple[Callback, ...]:
    """Return the callbacks; raise ``ValueError`` for anything but a list of them."""
    if isinstance(members, Callback) or not isinstance(members, list | tuple):
        raise ValueError(
            f"callbacks: got {type(members).__name__}. Use a list of callbacks."
        )
    for member in members:
        if not isinstance(member, Callback):
            raise ValueError(
                f"callbacks: {member!r} is no callback. Subclass jaxtune.Callback."
            )
    return tuple(members)
