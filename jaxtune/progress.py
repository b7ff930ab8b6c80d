"""Progress while a search runs: a bar on a terminal, silence elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Report(Protocol):
    """Called after every block: round, whole trainings' worth done, best, failures."""

    def __call__(
        self, round: int, done: float, best: float, failed: int, /
    ) -> None: ...


@contextmanager
def progress(lanes: int, rounds: int, verbose: int) -> Iterator[Report]:
    """Show a bar with trainings done, their rate, the best score and the time left.

    Args:
      lanes: whole trainings that the search is worth, at most.
      rounds: rounds in the whole search.
      verbose: 0 shows nothing.

    Yields:
      The function to report to.
    """
    if not verbose or not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("round {task.fields[round]}/{task.fields[rounds]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("best {task.fields[best]}"),
        TextColumn("{task.fields[failed]} failed"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    fields: dict[str, Any] = {
        "round": 1,
        "rounds": rounds,
        "rate": "compiling",
        "best": "-",
        "failed": 0,
    }
    with bar:
        task = bar.add_task("", total=lanes, **fields)

        def report(round: int, done: float, best: float, failed: int, /) -> None:
            elapsed = bar.tasks[0].elapsed or 0.0
            rate = f"{done / elapsed:.1f}/s" if elapsed else "-"
            shown: dict[str, Any] = {"round": round, "rate": rate, "failed": failed}
            bar.update(task, completed=done, best=f"{best:.4g}", **shown)

        yield report
