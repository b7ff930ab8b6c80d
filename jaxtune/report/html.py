"""One self-contained HTML page: the best trial first, then the whole search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxtune.report import data, sections, svg
from jaxtune.report.palette import theme
from jaxtune.results.result import Result
from jaxtune.writing import replace_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write(result: Result, path: Path) -> Path:
    """Write the page of a result.

    Args:
      result: result of a search.
      path: the file to write; its folder must exist.

    Returns:
      The path.
    """
    # a reader finds the old page or the new one, never half
    replace_file(path, page(result).encode())
    return path


def page(result: Result) -> str:
    """Return the page as text; it needs no other file, address or font."""
    with theme("light"):  # the page chooses the colours; see `svg`
        parts = {name: make(result) for name, make in sections.ALL.items()}
    numbers = data.page_data(result)
    return document("jaxtune report", sections.answer(result), parts, numbers)


def document(
    title: str,
    head: Sequence[Any],
    parts: Mapping[str, Sequence[Any]],
    numbers: str = "",
) -> str:
    """Return a page in the style of the report.

    Args:
      title: of the page, for its tab in the browser.
      head: HTML and figures that come first.
      parts: heading of each section to its HTML and figures; those without are left
        out.
      numbers: JSON for the table of all trials, if the page has that.
    """
    shown = {name: content for name, content in parts.items() if content}
    links = "".join(
        f'<li><a href="#{escape(_anchor(name))}">{escape(name)}</a></li>'
        for name in shown
    )
    body = "\n".join(
        f'<section><h2 id="{escape(_anchor(name))}">{escape(name)}</h2>\n'
        f"{_joined(content)}</section>"
        for name, content in shown.items()
    )
    hidden = f'<script type="application/json" id="data">{numbers}</script>\n'
    whole = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title>\n"
        f"<style>\n{svg.css()}{_file('page.css')}</style></head>\n"
        '<body>\n<a class="skip" href="#content">Skip to the sections</a>\n'
        f"<header>{_joined(head)}</header>\n"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>\n'
        f'<main id="content" tabindex="-1">\n{body}\n</main>\n'
        f"{hidden if numbers else ''}<script>{page_script()}</script>\n</body></html>\n"
    )
    # half a surrogate pair, as a choice of a user may hold, is no letter of a file
    return whole.encode(errors="backslashreplace").decode()


def page_script() -> str:
    """Return the script of the page, which is the same on every page."""
    return f"\n{_file('page.js')}{_file('trials.js')}"


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")


def _joined(content: Sequence[Any]) -> str:
    return "\n".join(c if isinstance(c, str) else _picture(c) for c in content)


def _file(name: str) -> str:
    return resources.files("jaxtune.report").joinpath(name).read_text("utf-8")


def _picture(figure: Figure) -> str:
    return f"<figure>{svg.inline(figure)}</figure>"
