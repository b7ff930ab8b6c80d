"""A result on a terminal: its state, the box of each round, the best trials."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jaxtune import ranking
from jaxtune.report.cells import bounds_cell, cell
from jaxtune.results.names import FOLD_SPREAD
from jaxtune.results.result import Result
from jaxtune.space import Dimension


def print_result(result: Result, top: int = 10, console: Console | None = None) -> None:
    """Print a result as tables.

    Args:
      result: from a search, or from a run directory.
      top: number of trials to list.
      console: where to print; standard output if not given.
    """
    console = console or Console()
    status = result.trials["status"]
    counts = [f"{(status == word).sum()} {word}" for word in _words(status)]
    state = "finished" if result.finished else "not finished"
    state += f" ({result.stopped})" if result.stopped else ""
    # no markup: a user's names may hold square brackets, which rich would interpret
    console.print(
        f"{len(result.trials)} of {result.setup.trials} trials, {state}: "
        f"{', '.join(counts)}. Score: {result.setup.metric} ({result.setup.mode})",
        markup=False,
        highlight=False,
    )
    for kind, trials in _devices(result).items():
        text = f"{trials} trials trained on {kind}"
        console.print(text, markup=False, highlight=False)
    names = result.setup.space.searched
    boxes = [
        (number + 1, *(bounds_cell(box[name]) for name in names))
        for number, box in enumerate(result.spaces)
    ]
    _print(console, _table("The box of each round", ("round", *names), boxes))
    scored = _best(result, top)
    wanted = ("trial", "round", "status", "epochs", "score", FOLD_SPREAD, *names)
    # in the order of the table; a plain function has no epochs
    columns = [name for name in result.trials.names if name in wanted]
    rows = [[cell(result.trials[name][trial]) for name in columns] for trial in scored]
    title = f"The best {len(rows)} of {len(result.trials)} trials"
    _print(console, _table(title, columns, rows))


def summary_of(result: Result, top: int = 10) -> dict[str, Any]:
    """Return what `print_result` prints, for programs.

    Args:
      result: from a search, or from a run directory.
      top: number of trials to list.

    Returns:
      A dict of plain Python values; values of choices are the user's own objects.
    """
    status = result.trials["status"]
    scored = _best(result, top)
    names = result.setup.space.searched
    folds = {} if result.setup.folds is None else {"folds": result.setup.folds}
    return {
        **folds,
        "metric": result.setup.metric,
        "mode": result.setup.mode,
        "finished": result.finished,
        "stopped": result.stopped,
        "trials": len(result.trials),
        "of": result.setup.trials,
        "status": {word: int((status == word).sum()) for word in _words(status)},
        "devices": {kind: len(trials) for kind, trials in result.devices.items()},
        "boxes": [
            {name: _remaining(box[name]) for name in names} for box in result.spaces
        ],
        "best": [result.trials.row(trial) for trial in scored],
    }


def _devices(result: Result) -> dict[str, int]:
    """Return the number of trials by kind of device, if there are several kinds."""
    counts = {kind: len(trials) for kind, trials in result.devices.items()}
    return counts if len(counts) > 1 else {}


def _remaining(dim: Dimension) -> list[Any]:
    """Return the values of a list that the box still has, or the ends of a range."""
    return list(dim.remaining if dim.choices else dim.bounds)


def _best(result: Result, top: int) -> list[int]:
    """Return the ids of the best trials that have a score."""
    order = ranking.order(result.standing).tolist()
    return [trial for trial in order if np.isfinite(result.standing[trial])][:top]


def _words(status: np.ndarray) -> list[str]:
    return sorted(set(status.tolist()))


def _print(console: Console, table: Table) -> None:
    """Print a table in its full width, also on a narrow terminal."""
    # a line that the terminal wraps can be read, a column that rich squeezes cannot
    endless = console.options.update(width=10_000)
    width = max(console.width, console.measure(table, options=endless).maximum)
    Console(file=console.file, width=width).print(table)


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    table = Table(title=escape(title), title_justify="left")
    for name in head:
        table.add_column(escape(name), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*[escape(str(value)) for value in row])
    return table
