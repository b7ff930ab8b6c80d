"""Colours of the pictures: one table for both themes, and the style drawn with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec

import numpy as np

from jaxtune.checks import extra
from jaxtune.door import guarded, one_of
from jaxtune.printing import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")

STEPS = 16  # colours of scores, from the worst to the best
ROUNDS = 6  # colours of rounds, from the first to the last


class Shades(NamedTuple):
    """A colour of the light theme, and the one in its place in the dark theme."""

    light: str
    dark: str


def _ramp(name: str, steps: int, *anchors: Shades) -> dict[str, Shades]:
    """Return colours between anchors that are evenly spaced, as rows of the table."""
    places = np.linspace(0, len(anchors) - 1, steps)

    def mixed(theme: int) -> list[str]:
        parts = np.asarray([_parts(anchor[theme]) for anchor in anchors])
        known = range(len(anchors))
        mixes = np.stack([np.interp(places, known, part) for part in parts.T], axis=1)
        return ["#{:02x}{:02x}{:02x}".format(*map(round, mix)) for mix in mixes]

    rows = zip(mixed(0), mixed(1), strict=True)
    return {f"{name}-{k}": Shades(*row) for k, row in enumerate(rows)}


def _parts(colour: str) -> list[int]:
    return [int(colour[k : k + 2], 16) for k in (1, 3, 5)]


# Lines, points and letters have a contrast of at least 3 to the background, letters one
# of 4.5 (WCAG 2.2, AA); a good score has more of it than a bad one in both themes.
PALETTE: dict[str, Shades] = {
    "back": Shades("#ffffff", "#16181c"),
    "text": Shades("#1c1e21", "#e6e8eb"),
    "soft": Shades("#5f6670", "#a0a7b0"),
    "grey": Shades("#c3c9d0", "#454c55"),  # lines behind those to be read
    "grid": Shades("#e4e7eb", "#2b3037"),
    "panel": Shades("#f1f3f5", "#21252b"),
    "best": Shades("#d1241f", "#ff5f4a"),
    "blue": Shades("#0068a8", "#5cb3ec"),
    "orange": Shades("#b36b00", "#f2ab3c"),
    "green": Shades("#00805c", "#3ccb9d"),
    "purple": Shades("#a2417f", "#e79ac6"),
    "violet": Shades("#6450c4", "#b5a5ff"),
    "brown": Shades("#8a4b2a", "#d9a184"),
    **_ramp(
        "score",
        STEPS,
        Shades("#9c8f3a", "#77629f"),
        Shades("#5f9455", "#5c83c0"),
        Shades("#2c7f86", "#3fa9a5"),
        Shades("#2b5a9b", "#86cf68"),
        Shades("#3a1a78", "#fdea5a"),
    ),
    **_ramp(
        "round",
        ROUNDS,
        Shades("#7d92aa", "#647c96"),
        Shades("#0a2b52", "#e2f0ff"),
    ),
}
"""Name of each colour, to its shades; pictures use no other colour."""

DECORATION = ("back", "grey", "grid", "panel")  # what need not be told apart
SERIES = ("blue", "orange", "green", "purple", "violet", "brown", "soft")

_current: ContextVar[str] = ContextVar("theme", default="light")


@contextmanager
def _chosen(name: str) -> Iterator[None]:
    token = _current.set(name)
    try:
        yield
    finally:
        _current.reset(token)


@guarded(name=one_of("light", "dark"))
def theme(name: str) -> AbstractContextManager[None]:
    """Draw the pictures that are made inside of a ``with`` block in one theme.

    The page of a report needs none: its pictures follow the reader's browser.

    >>> import jaxtune as jt
    >>> with jt.report.theme("dark"):
    ...     pass  # jt.report.zoom(result).savefig("zoom-dark.png")

    Args:
      name: ``"light"``, as without a block, or ``"dark"``.

    Returns:
      A context manager.

    Raises:
      ValueError: another name.
    """
    return _chosen(name)


def colour(name: str) -> str:
    """Return a colour of the palette in the current theme."""
    return getattr(PALETTE[name], _current.get())


def series(place: int) -> str:
    """Return the colour of one of several things; colours repeat after seven."""
    return colour(SERIES[place % len(SERIES)])


def score_colours(count: int = STEPS) -> list[str]:
    """Return colours of scores, from the worst to the best."""
    steps = np.linspace(0, STEPS - 1, count).round().astype(int)
    return [colour(f"score-{step}") for step in steps]


def score_map() -> Any:
    """Return the colour map of ranks from 0 to 1; see `points.by_rank`."""
    ListedColormap = extra("matplotlib.colors", "report").ListedColormap
    return ListedColormap(score_colours(), name="score")


def round_colour(number: int, count: int) -> str:
    """Return the colour of a round, counted from 0, of some number of rounds."""
    share = number / (count - 1) if count > 1 else 1.0
    return colour(f"round-{round(share * (ROUNDS - 1))}")


def picture(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw a function's figure in the style and the current theme of all pictures.

    What users wrote is drawn as it is: a dollar sign begins no formula.
    """

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        mpl = extra("matplotlib", "report")
        with mpl.rc_context(_style()):
            figure = draw(*args, **kwargs)
        # ticks are made when the figure is drawn, which is later, so each axis keeps
        # its own colours
        for axes in figure.axes:
            axes.tick_params(
                which="both",
                color=colour("soft"),
                labelcolor=colour("text"),
                grid_color=colour("grid"),
            )
        _without_formulas(figure)
        return figure

    return drawn


def _without_formulas(figure: Figure) -> None:
    """Draw words as they are written, and what no font has as its number."""
    Text = extra("matplotlib.text", "report").Text
    FixedLocator = extra("matplotlib.ticker", "report").FixedLocator

    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_text("\n".join(map(printable, text.get_text().split("\n"))))
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        # a power of ten is a formula, of matplotlib's own; the labels of a list are not
        ours = not isinstance(axis.get_major_locator(), FixedLocator)
        for tick in axis.get_major_ticks() if ours else []:
            tick.label1.set_parse_math(True)
        for tick in axis.get_minor_ticks():
            tick.label1.set_parse_math(True)


def _style() -> dict[str, Any]:
    """Return the settings of matplotlib that all pictures have in common."""
    roles = {
        "back": ("figure.facecolor", "axes.facecolor"),
        "text": ("text.color", "lines.color", "axes.labelcolor", "axes.titlecolor"),
        "soft": ("axes.edgecolor", "patch.edgecolor"),
        "grey": ("hatch.color",),
        "grid": ("grid.color",),
    }
    colours = {s: colour(name) for name, settings in roles.items() for s in settings}
    return colours | {
        "axes.axisbelow": True,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 11,
        "axes.labelsize": 10,
        "font.size": 10,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "legend.fontsize": 9,
        "legend.frameon": False,
        "scatter.edgecolors": "none",
    }
