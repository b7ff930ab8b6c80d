"""Trials as points of a picture: their values and colours, and which are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxtune import ranking
from jaxtune.checks import extra
from jaxtune.report.axes import COLOURS, by_place
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


def set_title(axes: Any, result: Result, text: str, rows: np.ndarray) -> None:
    """Put a title on the left, and on the right how many trials are drawn."""
    axes.set_title(text, loc="left")
    note = thinning_note(result, rows)
    if note:
        axes.set_title(note, loc="right", fontsize="small", color="0.4")


def thinning_note(result: Result, rows: np.ndarray) -> str:
    """Return how many trials are drawn, or an empty string if all of them are."""
    n = len(result.trials)
    return f"{len(rows):,} of {n:,} trials drawn" if len(rows) < n else ""


def round_colour(number: int) -> str:
    """Return the colour of a round, counted from 0; colours repeat after seven."""
    return COLOURS[number % len(COLOURS)]


def round_label(result: Result, number: int) -> str:
    """Return the name of a round, counted from 0, in a legend."""
    again = number in result.confirming_rounds
    return "measured again" if again else f"round {number + 1}"


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
    Figure = extra("matplotlib.figure", "report").Figure

    figure = Figure(figsize=(7.5, 2.0), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", wrap=True)
    return figure
