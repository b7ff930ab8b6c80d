"""Small HTML tables, every cell escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any


def html_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return an HTML table, every cell escaped.

    Args:
      head: names of the columns.
      rows: the cells of each row; values other than strings are converted by ``str``.

    Returns:
      HTML.
    """

    # cells hold names and values of the user's, which may contain < or &
    def line(tag: str, cells: Sequence[Any]) -> str:
        inner = "".join(f"<{tag}>{escape(str(c))}</{tag}>" for c in cells)
        return f"<tr>{inner}</tr>"

    lines = [line("th", head), *(line("td", row) for row in rows)]
    return "<table>\n" + "\n".join(lines) + "\n</table>"
