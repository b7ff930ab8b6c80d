"""One self-contained HTML page: the best trial first, then the whole search."""

from __future__ import annotations

from collections.abc import Sequence
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
        parts = [(name, make(result)) for name, make in sections.ALL.items()]
    shown = [(name, content) for name, content in parts if content]
    links = "".join(
        f'<a href="#{escape(_anchor(name))}">{escape(name)}</a>' for name, _ in shown
    )
    body = "\n".join(
        f'<h2 id="{escape(_anchor(name))}">{escape(name)}</h2>\n{_joined(content)}'
        for name, content in shown
    )
    heading = _joined(sections.answer(result))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>jaxtune report</title>\n"
        f"<style>\n{_file('page.css')}{svg.css()}</style>"
        "</head>\n"
        f"<body>\n<header>{heading}<nav>{links}</nav></header>\n<main>\n{body}\n</main>\n"
        f'<script type="application/json" id="data">{data.page_data(result)}</script>\n'
        f"<script>\n{_file('page.js')}</script>\n</body></html>\n"
    )


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")


def _joined(content: Sequence[Any]) -> str:
    return "\n".join(c if isinstance(c, str) else _picture(c) for c in content)


def _file(name: str) -> str:
    return resources.files("jaxtune.report").joinpath(name).read_text("utf-8")


def _picture(figure: Figure) -> str:
    return f"<figure>{svg.inline(figure)}</figure>"
