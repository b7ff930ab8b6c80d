"""The page of a comparison: what the tests say first, then curves and differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtune.analysis.paired import fewest_pairs
from jaxtune.report import html
from jaxtune.report.cells import cell
from jaxtune.report.palette import theme
from jaxtune.report.sections import wide_table
from jaxtune.writing import replace_file

if TYPE_CHECKING:
    from jaxtune.report._compare import Comparison


def write_comparison(comparison: Comparison, path: Path) -> Path:
    """Write the page of a comparison.

    Args:
      comparison: what `compare` returns.
      path: the file to write; its folder must exist.

    Returns:
      The path.
    """
    replace_file(path, page_of(comparison).encode())
    return path


def page_of(comparison: Comparison) -> str:
    """Return the page as text; it needs no other file, address or font."""
    with theme("light"):  # the page chooses the colours
        parts = {name: make(comparison) for name, make in SECTIONS.items()}
    return html.document("jaxtune comparison", head_of(comparison), parts)


def head_of(comparison: Comparison) -> list[Any]:
    """Return the head of the page: what the tests say, and what has to be known."""
    said = [f"<p><strong>{escape(text)}</strong></p>" for text in comparison.conclusion]
    told = [f'<p class="note">{escape(text)}</p>' for text in comparison.notes]
    return [f"<h1>{escape(comparison.answer)}</h1>", *said, *told]


def _curves(comparison: Comparison) -> list[Any]:
    shown = [*comparison.curves, *(["seconds"] if comparison.timed else [])]
    pictures = [comparison.figure(along) for along in shown]
    notes = []
    if any(1 < len(group.searches) < fewest_pairs() for group in comparison.groups):
        notes.append(
            f"A bootstrap never leaves the range of its searches: with fewer than "
            f"{fewest_pairs()} keys the bands are too narrow."
        )
    if comparison.timed:
        notes.append(
            "Seconds hold compiling, which of searches alike only the first one pays."
        )
    told = [f'<p class="soft">{escape(text)}</p>' for text in notes]
    return ['<div class="pairs">', *pictures, "</div>", *told]


def _tests(comparison: Comparison) -> list[Any]:
    rows = [
        (
            f"{found.better} against {found.other}",
            f"{found.amount:,} {along}",
            found.test.pairs,
            cell(found.test.difference),
            f"{cell(found.test.low)} to {cell(found.test.high)}",
            f"{found.test.wins} of {found.test.pairs}",
            f"{found.test.p:.3g}",
            f"{found.p:.3g}",
        )
        for along, contrasts in comparison.contrasts.items()
        for found in contrasts
        if found.test is not None
    ]
    if not rows:
        return []
    head = (
        "methods",
        "after",
        "keys",
        f"difference in {comparison.metric}",
        "95 % interval",
        "better with",
        "p",
        "p, adjusted",
    )
    return [
        comparison.figure("differences"),
        wide_table(head, rows, "Paired tests"),
        '<p class="soft">Where a difference is positive, the first is better. The test '
        "is a paired permutation test over keys that both methods have, two-sided; the "
        "interval is Student's t; p-values are adjusted for all pairs of methods "
        "(Holm).</p>",
    ]


def _differences(comparison: Comparison) -> list[Any]:
    if len(comparison.groups) < 2:
        return []
    if not comparison.differences:
        return ["<p>The methods have the same space, settings and task.</p>"]
    rows = [(name, *values) for name, values in comparison.differences]
    return [wide_table(("setting", *comparison.names), rows, "What differs")]


def _best(comparison: Comparison) -> list[Any]:
    found = {
        name: result.best
        for name, result in comparison.best.items()
        if np.isfinite(result.standing).any()
    }
    if not found:
        return []
    names = dict.fromkeys(name for best in found.values() for name in best.hparams)
    metric = comparison.groups[0].searches[0].result.setup.metric
    rows = [
        (metric, *(cell(best.score) for best in found.values())),
        ("trial", *(cell(best.trial) for best in found.values())),
    ]
    rows += [
        (name, *(cell(best.hparams.get(name, "–")) for best in found.values()))
        for name in names
    ]
    return [wide_table(("best trial", *found), rows, "The best trials")]


def _searches(comparison: Comparison) -> list[Any]:
    rows = [[cell(value) for value in row.values()] for row in comparison.table]
    return [wide_table([*comparison.table[0]], rows, "The searches")]


SECTIONS: dict[str, Callable[[Comparison], Sequence[Any]]] = {
    "Best score so far": _curves,
    "Paired test": _tests,
    "What differs": _differences,
    "Best trials": _best,
    "Searches": _searches,
}
"""Heading of each section to the function that makes it, in the order of the page."""
