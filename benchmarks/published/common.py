"""What the commands of this folder share: options, clocks, intervals, tables."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks import record

RESULTS = Path(__file__).parent / "results"
NUMBER = re.compile(r"\W*\d\S*( ± \S+| %| [a-zµ]{1,2})?\W*$")  # **68.1 ± 0.4**, 3 s


def arguments(about: str | None, name: str) -> argparse.ArgumentParser:
    """Return the parser that every command begins with.

    Args:
        about: The docstring of the command.
        name: The name of the command, and of its file of figures.
    """
    form = argparse.RawDescriptionHelpFormatter
    parser = _Parser(description=about, formatter_class=form)
    parser.add_argument(
        "--json",
        type=Path,
        help=f"the file that gets the figures (results/{name}.json; with --small a "
        "temporary one)",
    )
    parser.set_defaults(command=name)
    parser.add_argument(
        "--small",
        action="store_true",
        help="run everything with small numbers, to see that it runs: no figure counts",
    )
    parser.add_argument(
        "--add",
        action="store_true",
        help="keep what the file has, and measure the rest",
    )
    return parser


class _Parser(argparse.ArgumentParser):
    """Write small figures to a file of their own: they are not to be published."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        options, others = super().parse_known_args(args, namespace)
        folder = Path(tempfile.mkdtemp()) if options.small else RESULTS
        options.json = options.json or folder / f"{options.command}.json"
        return options, others


def recorded(options: argparse.Namespace) -> Any:
    """Return the rows that the file has; nothing if it is not there."""
    if not options.json.exists():
        return {}
    return json.loads(options.json.read_text())["rows"]


def so_far(options: argparse.Namespace) -> Any:
    """Return what the file has, with ``--add``; otherwise nothing."""
    return recorded(options) if options.add else {}


def complete(
    row: dict[str, Any], parts: dict[str, Callable], options: Any, rows: Any
) -> None:
    """Measure the parts that a row lacks, in their order, and write after each.

    Args:
        row: one of the ``rows``; what is known of it.
        parts: name to a function of the row that measures it.
        options: those of the command.
        rows: all that is written.
    """
    for name, measure in parts.items():
        if name not in row:
            row[name] = measure(row)
            record.write(options, rows)


def run_parts(
    options: argparse.Namespace, parts: dict[str, Callable], tables: Callable
) -> None:
    """Measure the parts that ``--parts`` names, and write whenever one knows more.

    Args:
        options: those of the command.
        parts: name to a function of the options that yields its row, again and again.
        tables: what prints all rows.
    """
    rows = so_far(options)
    for name in options.parts.split(","):
        for found in parts[name](options):
            rows[name] = found
            record.write(options, rows)
    finish(options, rows, tables)


def outcome(result: Any, spent: dict[str, float]) -> dict[str, Any]:
    """Return what a search found, and what it took."""
    return {
        "trials": len(result.trials),
        "epochs": result.cost.epochs,
        "accuracy": result.best.score,
        "setting": result.best.hparams,
        **spent,
    }


def finish(options: argparse.Namespace, rows: Any, tables: Callable) -> None:
    """Write the rows with their versions, and print the tables made of them."""
    record.write(options, rows)
    print(tables(json.loads(options.json.read_text())))


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table in Markdown; columns of numbers are aligned to the right."""
    rows = [[str(cell) for cell in row] for row in rows]
    sides = ["---"] * len(header)
    for column, cells in enumerate(zip(*rows, strict=True)):
        if column and all(NUMBER.match(cell) or not cell for cell in cells):
            sides[column] = "---:"
    return "\n".join(f"| {' | '.join(row)} |" for row in [list(header), sides, *rows])


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean, and half the width of its 95 % interval (Student's t)."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return float(values.mean()), float("nan")
    error = stats.sem(values)
    return float(values.mean()), float(error * stats.t.ppf(0.975, len(values) - 1))


def shown(values: Sequence[float], digits: int = 1, times: float = 1.0) -> str:
    """Return a mean with its interval as a cell of a table: ``68.1 ± 0.4``."""
    mean, half = (times * part for part in interval(values))
    if not np.isfinite(half):
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


@contextmanager
def clock() -> Iterator[dict[str, float]]:
    """Measure a block of code: ``seconds``, and ``cpu`` seconds with its children's."""
    spent: dict[str, float] = {}
    begun, before = time.perf_counter(), os.times()
    try:
        yield spent
    finally:
        spent["seconds"] = time.perf_counter() - begun
        spent["cpu"] = sum(os.times()[:4]) - sum(before[:4])


def contenders(
    options: argparse.Namespace, command: str, given: dict[str, list[Any]]
) -> dict[str, Any]:
    """Run contenders in turn, each in a process in which nothing is compiled yet.

    The figures are written after each one. Those of contenders that are not run again
    stay in the file, unless it is a run with small numbers.

    Args:
        options: of the command; ``--json`` is the file.
        command: its module's name. Run with ``--only NAME`` it prints the figures of
            one contender as JSON in its last line.
        given: by contender what else to give it.

    Returns:
        The rows of the file, by contender.
    """
    rows = {} if options.small else recorded(options)
    module = [sys.executable, "-m", f"benchmarks.published.{command}"]
    environment = {**os.environ, "JAXTUNE_CACHE": "off"}
    for name, more in given.items():
        called = [*module, "--only", name, *map(str, more)]
        done = subprocess.run(
            called, env=environment, stdout=subprocess.PIPE, check=True
        )
        rows[name] = json.loads(done.stdout.decode().splitlines()[-1])
        record.write(options, rows)
    return rows


def timed(searches: Iterable[Callable[[], Any]]) -> tuple[list[Any], dict[str, float]]:
    """Call one after the other; the first one is cold, the median of the others warm.

    Returns:
        What they return, and ``cold``, ``warm``, ``cold_cpu`` and ``warm_cpu`` seconds.
    """
    found, spent = [], []
    for search in searches:
        with clock() as took:
            found.append(search())
        spent.append([took["seconds"], took["cpu"]])
    cold, warm = spent[0], np.median(spent[1:], axis=0).tolist()
    names = ("cold", "cold_cpu", "warm", "warm_cpu")
    return found, dict(zip(names, [*cold, *warm], strict=True))
