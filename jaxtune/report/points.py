"""Trials as points of a picture: their values and colours, and which are drawn."""

from __future__ import annotations

from textwrap import fill
from typing import Any

import numpy as np

from jaxtune import ranking
from jaxtune.printing import counted
from jaxtune.report.axes import by_place
from jaxtune.report.cells import beginning_of
from jaxtune.report.palette import colour
from jaxtune.report.panels import new_figure
from jaxtune.results.result import Result
from jaxtune.space import Space

MOST = 2000  # points in a picture; more would hide each other


def numbers(result: Result, name: str) -> np.ndarray:
    """Return decoded numbers ``[n]``; NaN where a dimension is closed or inactive."""
    space, trials = result.setup.space, result.trials
    dim, values = space[name], trials.decoded[name].astype(np.float64)
    if by_place(dim) and not dim.by_index:
        table = np.asarray(dim.choices, np.float32)
        values = np.argmax(values[:, None] == table[None], axis=1).astype(np.float64)
    column = space.searched.index(name)
    # a tier that is not open yet has NaN for its coordinates
    hidden = np.isnan(trials.points[:, column])
    if space[name].condition:
        hidden = hidden | ~np.asarray(space.active(trials.decoded)[name])
    return np.where(hidden, np.nan, values)


def scores(result: Result) -> np.ndarray:
    """Return scores ``[n]`` in the user's direction; NaN for failed trials."""
    values = result.trials["score"].astype(np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def best_by(result: Result) -> np.ndarray:
    """Return scores ``[n]``; of the best trial the one that `Result.best` has.

    They differ where the best trial was measured again.
    """
    values = scores(result)
    if np.isfinite(result.standing).any():
        values[result.best.trial] = result.best.score
    return values


def failed(result: Result) -> np.ndarray:
    """Return ``[n]`` bool, true for trials that failed."""
    return result.trials.failed


def drawn(result: Result, most: int = MOST) -> np.ndarray:
    """Return ``[m]`` ids of the trials to draw: an even sample and the best ones."""
    n = len(result.trials)
    if n <= most:
        return np.arange(n)
    # an even sample alone could miss the best trials, which a reader looks for
    best = ranking.order(result.standing)[: most // 10]
    even = np.linspace(0, n - 1, most - len(best)).astype(int)
    return np.unique(np.concatenate([best, even]))


def set_title(
    axes: Any, result: Result, text: str, rows: np.ndarray, pad: float = 6.0
) -> None:
    """Put a title on the left, and below it how many trials are drawn.

    Args:
      axes: matplotlib axes.
      result: result of a search.
      text: the title.
      rows: ids of the trials that are drawn.
      pad: points between the title and the axes.
    """
    note = thinning_note(result, rows)
    axes.set_title(f"{text}\n{note}" if note else text, loc="left", pad=pad)


def set_heading(figure: Any, text: str, result: Result, rows: np.ndarray) -> None:
    """Put a title over all panels on the left, and how many trials are drawn."""
    note = thinning_note(result, rows)
    words = f"{text}, {note}" if note else text
    figure.suptitle(words, x=0.01, ha="left", fontsize=11)


def thinning_note(result: Result, rows: np.ndarray) -> str:
    """Return how many trials are drawn, or an empty string if all of them are."""
    n = len(result.trials)
    return f"{len(rows):,} of {n:,} trials drawn" if len(rows) < n else ""


def round_label(result: Result, number: int) -> str:
    """Return the name of a round, counted from 0, in a legend."""
    again = number in result.confirming_rounds
    return "measured again" if again else f"round {number + 1}"


def mark_best(axes: Any, result: Result, across: np.ndarray, up: np.ndarray) -> None:
    """Mark the best trial with a star, if there is one.

    Args:
      axes: matplotlib axes.
      result: result of a search.
      across: ``[n]`` places of all trials.
      up: ``[n]`` heights of all trials.
    """
    if not np.isfinite(result.standing).any():
        return
    best = result.best
    # a trial that was measured again is the best by the mean of that
    again = result.confirming_rounds and scores(result)[best.trial] != best.score
    axes.scatter(
        across[[best.trial]],
        up[[best.trial]],
        s=190,
        marker="*",
        color=colour("best"),
        edgecolor=colour("back"),
        linewidth=0.9,
        zorder=4,
        label=f"best{' mean' if again else ''}: "
        f"{beginning_of(result.setup.metric)} {best.score:.4g}",
    )


def mark_failed(
    axes: Any, across: np.ndarray, up: np.ndarray, lost: np.ndarray, rows: np.ndarray
) -> None:
    """Mark the failed ones of the drawn rows with crosses."""
    some = rows[lost[rows]]
    if some.size:
        axes.scatter(
            across[some],
            up[some],
            s=20,
            marker="x",
            linewidth=1.0,
            color=colour("soft"),
            label=f"failed: {counted(int(lost.sum()), 'trial')}",
        )


def mark_rounds(axes: Any, result: Result) -> None:
    """Mark where each round begins along an axis of trials, if there are several."""
    first = np.unique(result.trials["round"], return_index=True)
    if len(first[0]) < 2:
        return
    count, free = len(result.trials), -np.inf
    for number, begin in zip(*first, strict=True):
        if begin:
            axes.axvline(begin - 0.5, color=colour("soft"), linewidth=0.7, zorder=0)
        # a name needs room for its letters; beside each other, short rounds have none
        if begin >= free:
            axes.annotate(
                round_label(result, int(number)),
                (max(begin - 0.5, 0), 1),
                (2, 2),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                fontsize=8,
                color=colour("soft"),
            )
            free = begin + 0.16 * count


def by_rank(result: Result) -> np.ndarray:
    """Return ``[n]``, 0 for the worst trial to 1 for the best; NaN for failed ones."""
    standing = result.standing
    fine = np.isfinite(standing)
    order = ranking.order(standing)[: fine.sum()]
    share = np.full(len(standing), np.nan)
    share[order] = np.linspace(1, 0, len(order)) if len(order) > 1 else 1.0
    return share


def important(space: Space, most: int) -> list[str]:
    """Return the names of the dimensions to draw first.

    Numbers that are always active come before choices and conditional dimensions; both
    are ordered by tier.
    """

    def place(name: str) -> tuple[bool, int]:
        return space[name].by_index or bool(space[name].condition), space[name].tier

    return sorted(space.searched, key=place)[:most]


def pair(space: Space, x: str | None, y: str | None) -> tuple[str, str | None]:
    """Return two hyperparameters to draw; those of the first tiers if none is named.

    Args:
      space: the space of the search.
      x: for the horizontal axis, or ``None`` to choose one.
      y: for the vertical axis, or ``None`` to choose one.

    Returns:
      Both names; the second is ``None`` if the space has one searched dimension.

    Raises:
      ValueError: a name that is not searched, or a space in which all is fixed.
    """
    for name in (x, y):
        check_searched(space, name)
    ranked = important(space, space.dim)
    if not ranked:
        raise ValueError("there is nothing to draw: no dimension is searched.")
    x = x or next((name for name in ranked if name != y), ranked[0])
    return x, y or next((name for name in ranked if name != x), None)


def check_searched(space: Space, name: str | None) -> None:
    """Raise ``ValueError`` if a name is not that of a searched dimension."""
    if name is not None and name not in space.searched:
        raise ValueError(f"{name!r} is not searched. Use {', '.join(space.searched)}.")


def empty_figure(text: str) -> Any:
    """Return a figure that says why there is nothing to draw."""
    figure = new_figure(height=1.2)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.text(0.5, 0.5, fill(text, 60), ha="center", va="center")
    figure.set_label(text)
    return figure
