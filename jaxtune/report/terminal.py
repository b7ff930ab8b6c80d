"""A result on a terminal: its state, its boxes, the best trials; or a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jaxtune import ranking
from jaxtune.goals.order import names_in
from jaxtune.printing import counted, printable
from jaxtune.report._compare import Comparison
from jaxtune.report.cells import bounds_cell, cell
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
    state = "Finished" if result.finished else "Not finished"
    state += f" ({result.stopped})" if result.stopped else ""
    _line(
        console,
        f"{result.counts}. {state}. Score: {result.setup.metric} ({result.setup.mode})",
    )
    for kind, trials in _devices(result).items():
        _line(console, f"{counted(trials, 'trial')} trained on {kind}")
    if result._told_spread:
        _line(console, result.best_in_words)
    names = result.setup.space.searched
    boxes = [
        (number + 1, *(bounds_cell(box[name]) for name in names))
        for number, box in enumerate(result.spaces)
        if number not in result.confirming_rounds
    ]
    _print(console, _table("The box of each round", ("round", *names), boxes))
    aims = names_in(result.setup.constraints.limits, result.setup.goals)
    rows_of_subset = ["examples"] if result.setup.workload.budget_rows else []
    wanted = ("trial", "round", "status", "epochs", *rows_of_subset, "score")
    wanted = (*wanted, *names, *aims)
    if result.setup.goals:
        _print_front(result, top, console, wanted)
    if result.setup.constraints.limits:
        shown = " and ".join(map(str, result.setup.constraints.limits))
        count = int(result.feasible.sum())
        _line(console, f"{count} of {len(result.trials)} trials have {shown}")
    scored = _best(result, top)
    columns, rows = _listed(result, scored, wanted)
    again = [] if result.compared else _measured_again(result)
    if again:  # they are ordered by these means, and not by their first scores
        means = {row["trial"]: cell(row["mean"]) for row in again}
        place = columns.index("score") + 1
        columns.insert(place, "mean")
        for trial, row in zip(scored, rows, strict=True):
            row.insert(place, means.get(trial, ""))
    ranked = int(np.isfinite(result.standing).sum())
    title = f"The best {len(rows)} of {ranked} trials that have a score"
    title += " by non-dominated sorting" if result.setup.goals else ""
    _print(console, _table(title, columns, rows))
    if result.compared:
        for line in [*result.study.conclusion.split("\n"), *result.study.notes]:
            _line(console, line)
        table = result.study.table
        title = f"Each value of {', '.join(result.compared)}, the others tuned"
        _print(console, _table(title, [*table[0]], table.cells))
    elif again:
        title = f"Measured again: {result.confirmed.words}"
        cells = [[*map(cell, row.values())] for row in again]
        _print(console, _table(title, [*again[0]], cells))


def _measured_again(result: Result) -> list[dict[str, Any]]:
    """Return a row for each configuration that was measured again, the best first."""
    try:
        found = result.confirmed
    except ValueError:  # none was, or not all of them yet
        return []
    names = ["trial", "measurements", "mean", "error", "low", "high", "probability"]
    names += ["out"] if len(found.out) else []
    columns = [getattr(found, name).tolist() for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def summary_of(result: Result, top: int = 10) -> dict[str, Any]:
    """Return what `print_result` prints, for programs.

    Args:
      result: from a search, or from a run directory.
      top: number of trials to list.

    Returns:
      A dict of plain Python values; values of choices are the user's own objects.
    """
    scored = _best(result, top)
    names = result.setup.space.searched
    folds = {} if result.setup.folds is None else {"folds": result.setup.folds}
    again = _measured_again(result)
    confirmed: dict[str, Any] = {"confirmed": again} if again else {}
    if result.compared:
        study = result.study
        confirmed["study"] = {
            "conclusions": dict(study.conclusions),
            "notes": list(study.notes),
            "values": list(study.table),
        }
    return {
        **folds,
        **confirmed,
        "metric": result.setup.metric,
        "mode": result.setup.mode,
        "finished": result.finished,
        "stopped": result.stopped,
        "trials": result.counts.done,
        "of": result.counts.asked,
        "status": result.counts.named,
        "devices": {kind: len(trials) for kind, trials in result.devices.items()},
        "boxes": [
            {name: _remaining(box[name]) for name in names}
            for number, box in enumerate(result.spaces)
            if number not in result.confirming_rounds
        ],
        "best": [result.trials.row(trial) for trial in scored],
        **_aims(result),
    }


def _aims(result: Result) -> dict[str, Any]:
    """Return constraints and goals, if the search has any."""
    constraints, goals = result.setup.constraints, result.setup.goals
    found: dict[str, Any] = {}
    if constraints.limits or constraints.rules:
        found["constraints"] = [*map(str, constraints.limits)]
        found["constraints"] += [*map(repr, constraints.rules)]
        found["feasible"] = int(result.feasible.sum())
    if goals:
        found["goals"] = [list(goal) for goal in goals]
        found["front"] = [result.trials.row(trial) for trial in result.front]
    return found


def _print_front(
    result: Result, top: int, console: Console, wanted: Sequence[str]
) -> None:
    """Print the trials of the front, the best in the first goal first."""
    goal = result.setup.goals[0]
    values = ranking.orient(result.trials[goal.name], goal.mode)
    trials = sorted(result.front, key=lambda trial: -values[trial])
    columns, rows = _listed(result, trials[:top], wanted)
    named = ", ".join(f"{goal.name} ({goal.mode})" for goal in result.setup.goals)
    shown = "" if len(rows) == len(trials) else f", the first {len(rows)}"
    title = f"The front of {named}: {len(trials)} trials{shown}"
    _print(console, _table(title, columns, rows))


def _listed(
    result: Result, trials: Sequence[int], wanted: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of a table of trials, rounds counted from 1."""
    # in the order of the table; a plain function has no epochs
    head = [name for name in result.trials.names if name in wanted]
    columns = {name: result.trials[name] for name in head}
    columns["round"] = columns["round"] + 1
    return head, [[cell(columns[name][trial]) for name in head] for trial in trials]


def _devices(result: Result) -> dict[str, int]:
    """Return the number of trials by kind of device, if there are several kinds."""
    counts = {kind: len(trials) for kind, trials in result.devices.items()}
    return counts if len(counts) > 1 else {}


def _remaining(dim: Dimension) -> list[Any]:
    """Return the values of a list that the box still has, or the ends of a range."""
    return list(dim.remaining if dim.choices else dim.bounds)


def _best(result: Result, top: int) -> list[int]:
    """Return the ids of the best trials that have a score."""
    standing = result.standing
    order = ranking.order(standing).tolist()
    return [trial for trial in order if np.isfinite(standing[trial])][:top]


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print a comparison: what the tests say, what to know, what differs, the searches.

    Args:
      comparison: of searches.
      console: where to print; standard output if not given.
    """
    console = console or Console()
    for text in (comparison.answer, *comparison.conclusion, *comparison.notes):
        _line(console, text)
    if comparison.differences:
        rows = [(name, *values) for name, values in comparison.differences]
        head = ("setting", *comparison.names)
        _print(console, _table("What differs", head, rows))
    searches = [[*map(cell, row.values())] for row in comparison.table]
    _print(console, _table("The searches", [*comparison.table[0]], searches))


def summary_of_comparison(comparison: Comparison) -> dict[str, Any]:
    """Return what `print_comparison` prints, with the numbers of the tests.

    Args:
      comparison: of searches.

    Returns:
      A dict of plain Python values.
    """
    tests = [
        {"along": along}
        | {name: value for name, value in found._asdict().items() if name != "test"}
        | ({} if found.test is None else found.test._asdict() | {"adjusted": found.p})
        for along, contrasts in comparison.contrasts.items()
        for found in contrasts
    ]
    return {
        "metric": comparison.metric,
        "mode": comparison.mode,
        "names": list(comparison.names),
        "answer": comparison.answer,
        "conclusion": list(comparison.conclusion),
        "notes": list(comparison.notes),
        "tests": tests,
        "differences": {
            name: dict(zip(comparison.names, values, strict=True))
            for name, values in comparison.differences
        },
        "searches": list(comparison.table),
    }


def _print(console: Console, table: Table) -> None:
    """Print a table in its full width, also on a narrow terminal."""
    # a line that the terminal wraps can be read, a column that rich squeezes cannot
    endless = console.options.update(width=10_000)
    width = max(console.width, console.measure(table, options=endless).maximum)
    Console(file=console.file, width=width).print(table)


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    table = Table(title=_safe(title), title_justify="left")
    for name in head:
        table.add_column(_safe(name), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*[_safe(value) for value in row])
    return table


def _safe(value: Any) -> str:
    """Return text that neither rich nor the terminal interprets."""
    return escape(printable(str(value)))


def _line(console: Console, text: str) -> None:
    """Print a line as it is: names may hold square brackets, which rich interprets."""
    console.print(printable(text), markup=False, highlight=False)
