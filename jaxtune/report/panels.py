"""Figures of one size for all pictures, and grids of panels without an odd one out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxtune.checks import extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# inches: at the width of a phone, letters are about as large as those of the page
WIDTH, HEIGHT = 5.0, 3.6
PANEL = 3.6, 2.9  # one of several
ACROSS = 3  # panels in a row
LETTER, HANDLE = 0.07, 0.55  # inches that a letter and the rest of an entry may take


def new_figure(width: float = WIDTH, height: float = HEIGHT) -> Figure:
    """Return a figure without axes, in whose layout nothing overlaps."""
    Figure = extra("matplotlib.figure", "report").Figure
    return Figure(figsize=(width, height), layout="constrained")


def single(height: float = HEIGHT) -> tuple[Figure, Axes]:
    """Return a figure of the common width, and its one panel."""
    figure = new_figure(height=height)
    return figure, figure.add_subplot()


def panel_rows(count: int, across: int = ACROSS) -> list[int]:
    """Return the number of panels in each row: as equal as can be, longer rows first.

    >>> panel_rows(4), panel_rows(5), panel_rows(7)
    ([2, 2], [3, 2], [3, 2, 2])
    """
    down = -(-count // across)
    return [count // down + (row < count % down) for row in range(down)]


def panel_grid(count: int) -> tuple[Figure, list[Axes]]:
    """Return a figure and its panels; a shorter row is centred."""
    GridSpec = extra("matplotlib.gridspec", "report").GridSpec

    rows = panel_rows(count)
    wide, high = PANEL
    figure = new_figure(1.0 + wide * rows[0], 0.8 + high * len(rows))
    # two columns for a panel, so that a row can be moved by half of one
    places = GridSpec(len(rows), 2 * rows[0], figure=figure)
    panels = []
    for down, across in enumerate(rows):
        first = rows[0] - across
        for place in range(first, first + 2 * across, 2):
            panels.append(figure.add_subplot(places[down, place : place + 2]))
    return figure, panels


def legend(figure: Figure, columns: int = 3, **options: Any) -> None:
    """Put one legend for all panels below them, where it hides nothing.

    Args:
      figure: the figure; of entries with the same words, the first is shown.
      columns: how many entries are beside each other, if there is room.
      options: of matplotlib's ``Figure.legend``.
    """
    entries: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if not entries:
        return
    widest = LETTER * max(map(len, entries)) + HANDLE
    figure.legend(
        list(entries.values()),
        list(entries),
        loc="outside lower center",
        ncols=max(1, min(columns, int(figure.get_figwidth() / widest))),
        **options,
    )


def rank_bar(points: Any, axes: Any) -> None:
    """Put a bar beside panels that says which colour is the best."""
    figure = np.ravel(axes)[0].figure
    bar = figure.colorbar(points, ax=axes, ticks=[0, 1], pad=0.015, aspect=30)
    bar.ax.set_yticklabels(["worst", "best"], fontsize=8)
    bar.outline.set_visible(False)
