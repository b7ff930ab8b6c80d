"""A study: what the values of a hyperparameter do, each with the others tuned."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxtune.analysis import ComparedValues, comparisons
from jaxtune.checks import extra
from jaxtune.door import NAME, PATH, guarded, optional
from jaxtune.markup import html_table
from jaxtune.printing import printable
from jaxtune.report.cells import cell
from jaxtune.report.study_words import bounds_of, conclusion_of
from jaxtune.results.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


# to the best value; with spaces, as no hyperparameter is named
DIFFERENCE = ("difference", "difference low", "difference high", "p")


class StudyTable(tuple[dict[str, Any], ...]):
    """A row for each value that a study compares, the best mean first."""

    def __repr__(self) -> str:
        rows = [[*self[0]], *self.cells]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return "\n".join(map(printable, lines))

    def _repr_html_(self) -> str:
        return html_table([*self[0]], self.cells)

    @property
    def cells(self) -> list[list[str]]:
        """The text of each row."""
        return [[*map(_cell, row.values())] for row in self]

    def to_pandas(self) -> DataFrame:
        """Return the table as a DataFrame of pandas."""
        return extra("pandas", "pandas").DataFrame(list(self))


def _cell(value: Any) -> str:
    """Return a number as text; a dash where there is none, as of the best value."""
    return "–" if isinstance(value, float) and math.isnan(value) else cell(value)


@dataclasses.dataclass(frozen=True, eq=False)
class Study:
    """The findings of a study; see `jaxtune.study`.

    Args:
      result: all its trials, as of a search.
    """

    result: Result

    def __post_init__(self) -> None:
        if not self.result.compared:
            raise ValueError(
                "study: this search compares no values. Use jaxtune.study(task, space, "
                "scientific=[...])."
            )

    @property
    def scientific(self) -> tuple[str, ...]:
        """Names of the hyperparameters whose effect is measured."""
        return self.result.compared

    @functools.cached_property
    def comparisons(self) -> Mapping[str, ComparedValues]:
        """Name of each scientific hyperparameter to its values and their tests.

        Of several, all combinations are under ``""``.
        """
        return comparisons(self.result)

    @property
    def _whole(self) -> ComparedValues:
        """The values; of several hyperparameters all combinations."""
        return [*self.comparisons.values()][-1]

    @property
    def table(self) -> StudyTable:
        """A row for each value, or combination of values, the best mean first.

        Columns are the scientific hyperparameters; ``trials`` and how many ``failed``;
        ``tuned``, the best score of the tuning; ``mean`` over fresh seeds of that
        setting, with the ends of its 95 % interval; the ``difference`` to the first
        row, positive where that is better, with its interval, and the adjusted ``p``;
        the ``trial`` and the hyperparameters of the best setting.
        """
        found = self._whole
        names = dict.fromkeys(n for value in found.values for n in value.nuisances)
        return StudyTable(
            found.values[place].values
            | _numbers(found, place)
            | {name: found.values[place].nuisances.get(name, "–") for name in names}
            for place in found.order
        )

    @property
    def conclusions(self) -> Mapping[str, str]:
        """As `comparisons`, to a sentence on the best value and the others."""
        return {
            name: _concluded(self.result, found)
            for name, found in self.comparisons.items()
        }

    @property
    def conclusion(self) -> str:
        """As far as the data carry: a sentence for each scientific hyperparameter."""
        if len(self.conclusions) == 1 or not self.result.finished:
            return next(iter(self.conclusions.values()))
        return "\n".join(
            f"{name or 'all together'}: {said}"
            for name, said in self.conclusions.items()
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """All that bounds the conclusion, one sentence each."""
        return tuple(bounds_of(self.result, [*self.comparisons.values()]))

    @guarded(name=optional(NAME))
    def figure(self, name: str | None = None) -> Figure:
        """Draw the values of one scientific hyperparameter: its isolation plot.

        Args:
          name: of the hyperparameter; the first one if not given.

        Returns:
          A matplotlib figure, not shown: all scores of the tuning, the best one, and
          the mean over fresh seeds with its interval.

        Raises:
          ValueError: a name that is not scientific.
        """
        from jaxtune.report.study_pictures import isolation

        name = self.scientific[0] if name is None else name
        if name not in self.scientific:
            raise ValueError(
                f"figure: {name!r} is not scientific. Use one of: "
                f"{', '.join(self.scientific)}."
            )
        return isolation(self, name)

    @guarded(path=PATH)
    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write one self-contained page: the conclusion, the values, and all trials.

        Args:
          path: where; its folder must exist.

        Returns:
          The path.
        """
        return self.result.report(Path(path))

    def __repr__(self) -> str:
        head = f"Study of {', '.join(self.scientific)}"
        lines = [head, *self.conclusion.split("\n"), *self.notes]
        return "\n".join([*map(printable, lines), repr(self.table)])

    def _repr_html_(self) -> str:
        """Return HTML for a notebook: the conclusion, the table, the notes."""
        said = [
            f"<p><strong>{escape(c)}</strong></p>" for c in self.conclusion.split("\n")
        ]
        told = [f"<p>{escape(note)}</p>" for note in self.notes]
        return "\n".join([*said, self.table._repr_html_(), *told])


def _concluded(result: Result, found: ComparedValues) -> str:
    if not result.finished:
        why = f" It stopped: {result.stopped}." if result.stopped else ""
        return f"The study is not finished: {result.counts}.{why}"
    return conclusion_of(found, result.setup.metric)


def _numbers(found: ComparedValues, place: int) -> dict[str, Any]:
    """Return the numbers of a value, and of its difference to the best one."""
    value, best = found.values[place], found.order[0]
    row: dict[str, Any] = {
        "trials": value.trials,
        "failed": value.failed,
        "tuned": value.tuned,
        "mean": value.mean,
        "mean low": value.low,
        "mean high": value.high,
    }
    pairs = [p for p in found.contrasts if {p.better, p.other} == {best, place}]
    numbers = dict.fromkeys(DIFFERENCE, math.nan)
    for pair in pairs:
        sign = 1 if pair.better == best else -1
        ends = sorted((sign * pair.test.low, sign * pair.test.high))
        values = (sign * pair.test.difference, *ends, pair.p)
        numbers = dict(zip(DIFFERENCE, values, strict=True))
    return row | numbers | {"trial": value.trial}
