"""Progress while a search runs: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from jaxtune.checks import tell

EVERY = 10.0  # seconds between two lines


class Report(Protocol):
    """Show the state of a search; called after every block.

    Takes the round from 1, the work done in trainings of full length, the best score
    and the number of trainings that failed.
    """

    def __call__(
        self, round: int, done: float, best: float, failed: int, /
    ) -> None: ...


class ProgressLine(NamedTuple):
    """One state of the progress display, in words.

    Args:
      round: as in ``round 2/4``.
      done: work done, in trials trained in full.
      trials: work of the whole search, in the same unit.
      rest: blocks, rate, best score and share of trainings that failed.
    """

    round: str
    done: float
    trials: int
    rest: str

    def __str__(self) -> str:
        return (
            f"{self.round}, {self.done:.0f} of {self.trials} full trials, {self.rest}"
        )


def show_line(text: str) -> None:
    """Print a line where the progress is shown."""
    tell(text)


@contextmanager
def progress_bar(
    trainings: int, seeds: int, rounds: int, verbose: int, now: Any = time.monotonic
) -> Iterator[Report]:
    """Show the round, trials done, their rate, the best score and the share failed.

    Args:
      trainings: work of the whole search at most, in trainings of full length.
      seeds: trainings of each trial.
      rounds: rounds in the whole search.
      verbose: 0 shows nothing.
      now: a clock, in seconds.

    Yields:
      The function to call after every block.
    """
    if not verbose:
        yield lambda *_: None
        return
    begin, blocks, trials = now(), [0], -(-trainings // seeds)
    terminal = sys.stderr is not None and sys.stderr.isatty()
    display = _bar if terminal else _lines
    with display(trials, rounds, now) as show:

        def report(round: int, done: float, best: float, failed: int) -> None:
            blocks[0] += 1
            rate = done / seeds / max(now() - begin, 1e-9)
            # a training that failed early adds less than 1 to what is done
            share = failed / max(done, failed, 1)
            rest = (
                f"block {blocks[0]}, {rate:.3g} trials/s, best {best:.4g}, "
                f"{share:.0%} failed"
            )
            show(ProgressLine(f"round {round}/{rounds}", done / seeds, trials, rest))

        yield report


@contextmanager
def _bar(
    trials: int, rounds: int, now: Any
) -> Iterator[Callable[[ProgressLine], None]]:
    """Yield a function that moves a bar on the terminal."""
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

        def show(line: ProgressLine) -> None:
            bar.update(
                task, completed=line.done, description=line.round, rest=line.rest
            )

        yield show


@contextmanager
def _lines(
    trials: int, rounds: int, now: Any
) -> Iterator[Callable[[ProgressLine], None]]:
    """Yield a function that prints a line every ten seconds, and print the last one."""
    begin = now()
    latest: list[ProgressLine] = []  # not printed yet
    printed = [begin]

    def show(line: ProgressLine) -> None:
        latest[:] = [line]
        if now() - printed[0] < EVERY:
            return
        printed[0] = now()
        left = (now() - begin) * (trials / max(line.done, 1e-9) - 1)
        show_line(f"{line}, {left:.0f} s left")
        latest.clear()

    yield show
    if latest:
        show_line(f"{latest[0]}, {now() - begin:.0f} s")
