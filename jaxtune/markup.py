"""Small tables in HTML, every word escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any


def html_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table.

    Args:
      head: names of the columns.
      rows: cells of each row; whatever is no string is turned into one.

    Returns:
      HTML.
    """

    def line(tag: str, cells: Sequence[Any]) -> str:
        inner = "".join(f"<{tag}>{escape(str(c))}</{tag}>" for c in cells)
        return f"<tr>{inner}</tr>"

    lines = [line("th", head), *(line("td", row) for row in rows)]
    return "<table>\n" + "\n".join(lines) + "\n</table>"
