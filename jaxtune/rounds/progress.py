"""Progress while a search runs: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from jaxtune.checks import tell
from jaxtune.printing import printable
from jaxtune.results.result import Result

LINES = 10.0  # seconds between two lines
WORDS = 1.0  # seconds between two changes of what stands beside the bar


class Report(Protocol):
    """Show the state of a search; called after every block, and when a round has ended.

    Takes the round from 0, the epochs of all trainings until now (of a plain function
    its values), and what makes the result so far, which is called when it is shown.
    """

    def __call__(
        self, round: int, turns: int, so_far: Callable[[], Result], /
    ) -> None: ...


class Moment(NamedTuple):
    """One state of a search, as the progress shows it.

    Args:
      round: as in ``round 2/4``.
      turns: epochs of all trainings until now, or values of a plain function.
      of: those of the whole search, at most.
      rate: as in ``25 epochs/s``.
      so_far: makes the result so far.
    """

    round: str
    turns: int
    of: int
    rate: str
    so_far: Callable[[], Result]

    @property
    def words(self) -> str:
        """The words of the result so far, so that no two differ, and the rate."""
        result = self.so_far()
        epochs = f"{self.turns} of at most {self.of} epochs, "
        work = epochs * result.setup.workload.trains + self.rate
        return "; ".join(filter(None, [str(result.counts), result.best_in_words, work]))


def show_line(text: str) -> None:
    """Print a line where the progress is shown."""
    tell(text)


@contextmanager
def progress_bar(
    turns: int, trains: bool, rounds: int, verbose: int, now: Any = time.monotonic
) -> Iterator[Report]:
    """Show the round, what became of the trials, the best score, and the rate.

    Args:
      turns: epochs of all trainings of the search at most, or values of a function.
      trains: whether they are epochs.
      rounds: rounds in the whole search.
      verbose: 0 shows nothing.
      now: a clock, in seconds.

    Yields:
      The function to call after every block, and when a round has ended.
    """
    if not verbose:
        yield lambda *_: None
        return
    begin, unit = now(), "epochs" if trains else "values"
    terminal = sys.stderr is not None and sys.stderr.isatty()
    display = _bar if terminal else _lines
    with display(turns, rounds, now) as show:

        def report(round: int, done: int, so_far: Callable[[], Result]) -> None:
            rate = f"{done / max(now() - begin, 1e-9):.3g} {unit}/s"
            show(Moment(f"round {round + 1}/{rounds}", done, turns, rate, so_far))

        yield report


@contextmanager
def _bar(turns: int, rounds: int, now: Any) -> Iterator[Callable[[Moment], None]]:
    """Yield a function that moves a bar on the terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        # names of metrics are the user's, and rich would interpret square brackets
        TextColumn("{task.fields[words]}", markup=False),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    latest: list[Moment] = []  # whose words are not shown yet
    changed = [-WORDS]
    with bar:
        task = bar.add_task(f"round 1/{rounds}", total=turns, words="compiling")

        def show(moment: Moment) -> None:
            bar.update(task, completed=moment.turns, description=moment.round)
            latest[:] = [moment]
            if now() - changed[0] >= WORDS:
                bar.update(task, words=printable(moment.words))
                changed[0] = now()
                latest.clear()

        yield show
        if latest:
            bar.update(task, words=printable(latest[0].words))


@contextmanager
def _lines(turns: int, rounds: int, now: Any) -> Iterator[Callable[[Moment], None]]:
    """Yield a function that prints a line every ten seconds, and print the last one."""
    begin = now()
    latest: list[Moment] = []  # not printed yet
    printed = [begin]

    def show(moment: Moment) -> None:
        latest[:] = [moment]
        if now() - printed[0] < LINES:
            return
        printed[0] = now()
        left = (now() - begin) * (turns / max(moment.turns, 1) - 1)
        show_line(f"{moment.round}; {moment.words}; {left:.0f} s left")
        latest.clear()

    yield show
    if latest:
        show_line(f"{latest[0].round}; {latest[0].words}; {now() - begin:.0f} s")
