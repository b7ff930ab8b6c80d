"""Figures as SVG inside of a page, which chooses their colours."""

from __future__ import annotations

import io
import re
from html import escape
from typing import TYPE_CHECKING, Any

from jaxtune.checks import extra
from jaxtune.printing import printable
from jaxtune.report.describe import description
from jaxtune.report.palette import PALETTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def inline(figure: Figure) -> str:
    """Return a figure of the light theme as an SVG element; equal ones give equal text.

    Its colours are the variables of `css`, so that a page can be light or dark, and
    its label for screen readers is the figure's description.
    """
    mpl = extra("matplotlib", "report")

    text = io.StringIO()
    # A fixed salt, since matplotlib draws the ids in the file at random, and another
    # one for every picture, since a page may have an id once; "none" keeps letters as
    # text, so that a browser can search the page.
    salt = printable(f"jaxtune {description(figure)}")
    settings: Any = {"svg.hashsalt": salt, "svg.fonttype": "none"}
    # a date would differ on every call; without all the others there is no metadata
    empty = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context(settings):
        figure.savefig(text, format="svg", metadata=empty)
    svg = text.getvalue()
    label = escape(description(figure))
    opening = f'<svg role="img" aria-label="{label}"'
    return themed(svg[svg.index("<svg") :]).replace("<svg", opening, 1)


def themed(svg: str) -> str:
    """Return a picture with a variable in place of each colour of the palette.

    Ids that nothing refers to are left out, since those of two pictures would be the
    same, and the font, which is the page's. Coordinates are rounded to a hundredth of
    a point, and nothing is indented: a page has many of them.
    """
    names = {shades.light: f"var(--plot-{name})" for name, shades in PALETTE.items()}

    def changed(tag: re.Match[str]) -> str:
        text = re.sub(r' id="[\w.]+_\d+"| font-family: [^;"]*;', "", tag[0])
        text = re.sub(r"-?\d+\.\d{3,}", lambda at: f"{float(at[0]):.2f}", text)
        return re.sub("#[0-9a-f]{6}", lambda at: names.get(at[0], at[0]), text)

    # letters that a user wrote stay as they are: their "<" and ">" are escaped, so
    # what is between angle brackets is matplotlib's own
    return re.sub(r">\s+<", ">\n<", re.sub(r"<[^<>]*>", changed, svg))


def css() -> str:
    """Return the colours of both themes as variables of a style sheet."""

    def rules(shade: str) -> str:
        rows = (f"--plot-{name}:{getattr(s, shade)}" for name, s in PALETTE.items())
        return f":root{{{';'.join(rows)}}}"

    dark = f"@media screen and (prefers-color-scheme: dark){{{rules('dark')}}}"
    return f"{rules('light')}\n{dark}\n"
