"""What is drawn of the trials: their values, their colours, and how many of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxtune import ranking
from jaxtune.report.axes import COLOURS
from jaxtune.results.result import Result
from jaxtune.space import Space

MOST = 2000  # points of a picture; more hide each other


def numbers(result: Result, name: str) -> np.ndarray:
    """Decoded numbers ``[n]``; NaN where a dimension is closed or does not matter."""
    space, trials = result.setup.space, result.trials
    values = trials.decoded[name].astype(np.float64)
    column = space.searched.index(name)
    hidden = np.isnan(trials.points[:, column])
    if space[name].condition:
        hidden = hidden | ~np.asarray(space.active(trials.decoded)[name])
    return np.where(hidden, np.nan, values)


def scores(result: Result) -> np.ndarray:
    """Scores ``[n]`` in the user's direction; NaN for failed ones."""
    values = result.trials["score"].astype(np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def failed(result: Result) -> np.ndarray:
    """``[n]`` bool."""
    return result.trials.failed


def drawn(result: Result, most: int = MOST) -> np.ndarray:
    """``[m]`` ids of the trials to draw, thinned evenly; the best ones are kept."""
    n = len(result.trials)
    if n <= most:
        return np.arange(n)
    best = ranking.order(result.standing)[: most // 10]
    even = np.linspace(0, n - 1, most - len(best)).astype(int)
    return np.unique(np.concatenate([best, even]))


def title(axes: Any, result: Result, text: str, rows: np.ndarray) -> None:
    """A title on the left, and in small letters on the right what was left out."""
    axes.set_title(text, loc="left")
    note = thinned(result, rows)
    if note:
        axes.set_title(note, loc="right", fontsize="small", color="0.4")


def thinned(result: Result, rows: np.ndarray) -> str:
    """How many trials are drawn, if not all of them are."""
    n = len(result.trials)
    return f"{len(rows):,} of {n:,} trials drawn" if len(rows) < n else ""


def round_colour(number: int) -> str:
    """The colour of a round, from 0; an eighth one has that of the first."""
    return COLOURS[number % len(COLOURS)]


def by_rank(result: Result) -> np.ndarray:
    """``[n]`` from 0 for the worst to 1 for the best; NaN for failed ones."""
    standing = result.standing
    fine = np.isfinite(standing)
    order = ranking.order(standing)[: fine.sum()]
    share = np.full(len(standing), np.nan)
    share[order] = np.linspace(1, 0, len(order)) if len(order) > 1 else 1.0
    return share


def important(space: Space, most: int) -> list[str]:
    """Names of the dimensions to draw: numbers that always matter, by tier, first."""

    def place(name: str) -> tuple[bool, int]:
        return space[name].by_index or bool(space[name].condition), space[name].tier

    return sorted(space.searched, key=place)[:most]


def pair(space: Space, x: str | None, y: str | None) -> tuple[str, str | None]:
    """Two hyperparameters to draw, those of the first tiers where none is named.

    Raises:
      ValueError: a name that is not searched.
    """
    for name in (x, y):
        check_searched(space, name)
    ranked = important(space, space.dim)
    x = x or next((name for name in ranked if name != y), ranked[0])
    return x, y or next((name for name in ranked if name != x), None)


def check_searched(space: Space, name: str | None) -> None:
    """Refuse a name that no axis can have; ``ValueError``."""
    if name is not None and name not in space.searched:
        raise ValueError(f"{name!r} is not searched. Use {', '.join(space.searched)}.")


def empty(text: str) -> Any:
    """A figure that says why there is nothing to draw."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 2.0), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", wrap=True)
    return figure
