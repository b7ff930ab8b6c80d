"""Progress while a search runs: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

EVERY = 10.0  # seconds between two lines


class Report(Protocol):
    """Called after every block: round, whole trainings' worth done, best, failures."""

    def __call__(
        self, round: int, done: float, best: float, failed: int, /
    ) -> None: ...


class Told(NamedTuple):
    """How far a search is, in words.

    Args:
      round: as in ``round 2/4``.
      done: trials' worth of training in full that is done.
      trials: of how many.
      rest: blocks, rate, best score and share of trainings that diverged.
    """

    round: str
    done: float
    trials: int
    rest: str

    def __str__(self) -> str:
        return (
            f"{self.round}, {self.done:.0f} of {self.trials} full trials, {self.rest}"
        )


@contextmanager
def progress(
    trainings: int, seeds: int, rounds: int, verbose: int, now: Any = time.monotonic
) -> Iterator[Report]:
    """Show the round, trials done, their rate, the best score and what diverged.

    Args:
      trainings: whole ones that the search is worth, at most.
      seeds: trainings of each trial.
      rounds: rounds in the whole search.
      verbose: 0 shows nothing.
      now: a clock, in seconds.

    Yields:
      The function to report to.
    """
    if not verbose:
        yield lambda *_: None
        return
    begin, blocks, trials = now(), [0], -(-trainings // seeds)

    def told(round: int, done: float, best: float, failed: int) -> Told:
        blocks[0] += 1
        rate = done / seeds / max(now() - begin, 1e-9)
        share = failed / max(done, failed, 1)
        rest = (
            f"block {blocks[0]}, {rate:.3g} trials/s, best {best:.4g}, "
            f"{share:.0%} diverged"
        )
        return Told(f"round {round}/{rounds}", done / seeds, trials, rest)

    show = _bar if sys.stderr.isatty() else _lines
    with show(trials, rounds, now) as say:
        yield lambda *step: say(told(*step))


@contextmanager
def _bar(trials: int, rounds: int, now: Any) -> Iterator[Callable[[Told], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rest]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    with bar:
        task = bar.add_task(f"round 1/{rounds}", total=trials, rest="compiling")

        def say(told: Told) -> None:
            shown: dict[str, Any] = {"description": told.round, "rest": told.rest}
            bar.update(task, completed=told.done, **shown)

        yield say


@contextmanager
def _lines(trials: int, rounds: int, now: Any) -> Iterator[Callable[[Told], None]]:
    """A line every ten seconds, with the time left, and the last one."""
    begin = now()
    latest: list[Told] = []
    printed = [begin]

    def say(told: Told) -> None:
        latest[:] = [told]
        if now() - printed[0] < EVERY:
            return
        printed[0] = now()
        left = (now() - begin) * (trials / max(told.done, 1e-9) - 1)
        print(f"{told}, {left:.0f} s left", file=sys.stderr, flush=True)
        latest.clear()

    yield say
    if latest:
        print(f"{latest[0]}, {now() - begin:.0f} s", file=sys.stderr, flush=True)
