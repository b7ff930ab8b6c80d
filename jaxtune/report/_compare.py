"""Searches side by side: curves, a paired test, and what differs between them."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtune import analysis, ranking
from jaxtune.analysis import Contrast, MeanCurve
from jaxtune.analysis.between import Tracks, common_end
from jaxtune.door import PATH, Argument, an, either, guarded, list_of, one_of, optional
from jaxtune.goals.order import oriented
from jaxtune.markup import html_table
from jaxtune.printing import printable
from jaxtune.report.cells import cell
from jaxtune.report.comparability import (
    check_comparable,
    notes_of,
    same_clock,
    title_of,
)
from jaxtune.report.searches import SearchGroup, differing_rows, groups_of
from jaxtune.report.verdict import answer_of, sentence_of
from jaxtune.results.result import A_RESULT, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = ("trials", "epochs", "seconds", "differences")


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """Searches side by side; what `compare` returns.

    Args:
      groups: the searches of each method, one for each key; the method with the best
        mean after equal work first.
      metric: name of the score; ``"hypervolume"`` with several goals.
      mode: ``"max"`` or ``"min"``.
      curves: ``"trials"``, and ``"epochs"`` where trials trained for different numbers
        of them, to the mean best score of each method.
      contrasts: as for ``curves``, a paired test of each pair of methods.
      differences: what differs between the methods: name, and the value of each.
      notes: what has to be known about the searches, one sentence each.
    """

    groups: tuple[SearchGroup, ...]
    metric: str
    mode: str
    curves: Mapping[str, Mapping[str, MeanCurve]]
    contrasts: Mapping[str, tuple[Contrast, ...]]
    differences: tuple[tuple[str, tuple[str, ...]], ...]
    notes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the methods, the best first."""
        return tuple(group.name for group in self.groups)

    @property
    def answer(self) -> str:
        """The shortest answer: the method that is better after equal work, if any is.

        Equal work is equal epochs, where trials trained for different numbers of them,
        and otherwise equal trials.
        """
        along = [*self.contrasts][-1]
        after = f" after equal {along}" if len(self.contrasts) > 1 else ""
        return f"{answer_of(self.names, self.contrasts[along])}{after}"

    @property
    def conclusion(self) -> tuple[str, ...]:
        """The words of the tests: a sentence for each pair of methods and axis."""
        return tuple(
            sentence_of(contrast, along, self.metric, self.mode)
            for along, found in self.contrasts.items()
            for contrast in found
        )

    @property
    def table(self) -> tuple[dict[str, Any], ...]:
        """A row for each search: trials, failures, the best score, epochs, seconds."""
        rows = []
        for group in self.groups:
            for one in group.searches:
                result, scored = one.result, np.isfinite(one.result.standing).any()
                rows.append(
                    {
                        "search": group.name,
                        "key": one.key_in_words,
                        "trials": result.counts.done,
                        "failed": result.counts.failed,
                        "best": result.best.score if scored else math.nan,
                        "trial": result.best.trial if scored else None,
                        "epochs": result.cost.epochs,
                        "seconds": result.seconds,
                    }
                )
        return tuple(rows)

    @property
    def best(self) -> Mapping[str, Result]:
        """Name of a method to its search with the best trial, by `Result.best`."""
        return {group.name: _best_of_group(group) for group in self.groups}

    @property
    def timed(self) -> bool:
        """True if seconds of all searches are known, on one kind of device."""
        return same_clock(self.groups)

    @guarded(along=one_of(*PICTURES))
    def figure(self, along: str = "trials") -> Figure:
        """Draw the best score so far of each method, or the tests.

        Args:
          along: ``"trials"`` or ``"epochs"``: the mean over the keys, with a 95 %
            interval, and each search as a thin line; ``"seconds"``: the best score of
            each search against the time that it took; ``"differences"``: between
            methods, for each key, with the interval of their mean.

        Returns:
          A matplotlib figure, not shown.
        """
        from jaxtune.report import comparison_pictures

        return comparison_pictures.DRAWN[along](self, along)

    @guarded(path=PATH)
    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write the comparison as one self-contained HTML page.

        Args:
          path: the file to write; its folder must exist.

        Returns:
          The path.
        """
        from jaxtune.report import comparison_page

        return comparison_page.write_comparison(self, Path(path))

    def __repr__(self) -> str:
        counts = [f"{g.name} ({len(g.searches)})" for g in self.groups]
        head = f"Comparison of {', '.join(counts)}: {self.answer}"
        return "\n".join(map(printable, [head, *self.conclusion]))

    def _repr_html_(self) -> str:
        """Return HTML for a notebook: what the tests say, and the searches."""
        lines = (*self.conclusion, *self.notes)
        said = f"<p><strong>{escape(self.answer)}</strong></p>"
        said += "".join(f"<p>{escape(text)}</p>" for text in lines)
        rows = [[cell(value) for value in row.values()] for row in self.table]
        return f"{said}\n{html_table([*self.table[0]], rows)}"


SEARCH = either(A_RESULT, PATH)
ENTRY = either(SEARCH, list_of(SEARCH, 1))
SEARCHES = Argument(
    "results or run directories in a list, lists of them for each method, or a dict "
    "from names to these",
    lambda value: list_of(ENTRY, 1).holds(
        [*value.values()] if isinstance(value, Mapping) else value
    ),
    "Use what jaxtune.search or jaxtune.load returns, or the path of a run.",
)


@guarded(searches=SEARCHES, names=optional(list_of(an("a name", str), 1)))
def compare(
    searches: Sequence[Any] | Mapping[str, Any], names: Sequence[str] | None = None
) -> Comparison:
    """Compare searches: curves of the best score, a paired test, and what differs.

    Searches that differ in their key alone are repetitions of one method, and become
    one group. Methods are compared over the keys that they share, after as many trials,
    and epochs, as the shortest search has.

    >>> import jax, jaxtune as jt
    >>> def objective(key, hparams):
    ...     return (hparams["x"] - 0.3) ** 2
    >>> space = jt.Space(x=jt.uniform(0.0, 1.0))
    >>> found = [
    ...     jt.search(objective, space, key=jax.random.key(seed), trials=8,
    ...               sampler=sampler, mode="min", verbose=0)
    ...     for seed in range(6)
    ...     for sampler in ("sobol", "halton")
    ... ]
    >>> comparison = jt.report.compare(found)
    >>> comparison.names
    ('halton', 'sobol')

    Args:
      searches: results or run directories; a list of lists, one for each method; or a
        dict from the names of methods to these.
      names: names of the entries of a list; entries of one name are one group. If not
        given, methods are named after what they were made with or their directories.

    Returns:
      Curves, tests, differences and notes, which show themselves in a notebook.

    Raises:
      RunError: a directory that is no run.
      ValueError: searches whose scores mean different things, such as those of another
        metric or on other data; or one search twice in a group.
    """
    groups = groups_of(searches, names)
    check_comparable(groups)
    setup = groups[0].searches[0].result.setup
    metric, mode = setup.metric, setup.mode
    if setup.goals:
        metric, mode = "hypervolume", "max"
    reference = _reference(groups) if setup.goals else None
    tracks = {along: _tracks(groups, along, reference) for along in _axes(groups)}
    groups = _best_first(groups, [*tracks.values()][-1], mode)
    found = {
        along: {g.name: analysis.mean_over_keys([*of[g.name].values()]) for g in groups}
        for along, of in tracks.items()
    }
    settings = [group.searches[0].settings for group in groups]
    return Comparison(
        groups,
        metric,
        mode,
        found,
        {along: analysis.contrasts(of, mode) for along, of in tracks.items()},
        tuple((title_of(path), tuple(row)) for path, row in differing_rows(settings)),
        (*notes_of(groups), *_lengths(tracks)),
    )


def _tracks(groups: Sequence[SearchGroup], along: str, reference: Any) -> Tracks:
    return {
        group.name: {
            one.key: analysis.best_so_far(one.result, along, reference)
            for one in group.searches
        }
        for group in groups
    }


def _axes(groups: Sequence[SearchGroup]) -> tuple[str, ...]:
    """Return the axes of the curves: epochs too, where trials have other numbers."""
    epochs: set[int] = set()
    for group in groups:
        for one in group.searches:
            trials = one.result.trials
            known = np.isin(trials["status"].astype(str), ("ok", "stopped"))
            epochs |= {*(trials.epochs[known] * one.result.setup.repeats).tolist()}
    return ("trials", "epochs") if len(epochs) > 1 else ("trials",)


def _reference(groups: Sequence[SearchGroup]) -> dict[str, float]:
    """Return the worst of each goal among the feasible trials of all searches."""
    goals = groups[0].searches[0].result.setup.goals
    results = [one.result for group in groups for one in group.searches]
    rows = [
        oriented(goals, result.trials.columns)[result.feasible]
        for result in results
        if result.feasible.any()
    ]
    worst = np.concatenate(rows).min(axis=0) if rows else np.zeros(len(goals))
    signs = [ranking.direction(goal.mode) for goal in goals]
    return {g.name: float(s * w) for g, s, w in zip(goals, signs, worst, strict=True)}


def _best_first(
    groups: Sequence[SearchGroup], tracks: Tracks, mode: str
) -> tuple[SearchGroup, ...]:
    """Return groups by their mean score at the end of the shortest; ties by name."""
    end = np.asarray([common_end(tracks)])

    def place(group: SearchGroup) -> tuple[float, str]:
        scores = [float(curve.at(end)[0]) for curve in tracks[group.name].values()]
        fine = [score for score in scores if np.isfinite(score)]
        mean = ranking.direction(mode) * float(np.mean(fine)) if fine else -np.inf
        return -mean, group.name

    return tuple(sorted(groups, key=place))


def _lengths(tracks: Mapping[str, Tracks]) -> list[str]:
    """Return notes about searches of different lengths."""
    notes = []
    for along, of in tracks.items():
        ends = {
            name: max(c.amount[-1] for c in keyed.values())
            for name, keyed in of.items()
        }
        least = common_end(of)
        longer = [
            f"{name} has {end:,}" for name, end in sorted(ends.items()) if end > least
        ]
        if longer:
            notes.append(
                f"Compared after {least:,} {along}, the length of the shortest search; "
                f"{', '.join(longer)}."
            )
    return notes


def _best_of_group(group: SearchGroup) -> Result:
    """Return the result of a group with the best trial; ties by key."""

    def value(result: Result) -> float:
        if not np.isfinite(result.standing).any():
            return -np.inf
        return ranking.direction(result.setup.mode) * result.best.score

    return max((one.result for one in group.searches), key=value)
