"""Small HTML tables, every cell escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

LONG = 24  # letters; longer names and values are broken into lines
NUMBER = re.compile(r"[-−+±]?[\d.]|[-−+]?(nan|inf)\b|[–…]?$")


def html_table(
    head: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = ""
) -> str:
    """Return an HTML table, every cell escaped.

    The first cell of a row is its heading. The classes are for a page's style sheet:
    ``words`` for the columns to align on the left, ``long`` for the cells to wrap.

    Args:
      head: names of the columns.
      rows: the cells of each row; values other than strings are converted by ``str``.
      caption: what the table shows.

    Returns:
      HTML.
    """
    body = [[str(part) for part in row] for row in rows]
    columns = list(zip(*body, strict=True)) if body else [()] * len(head)
    words = [not all(map(NUMBER.match, column)) for column in columns]

    # cells hold names and values of the user's, which may contain < or &
    def line(cells: Sequence[str], tags: Sequence[str]) -> str:
        parts = zip(cells, tags, words, strict=True)
        return f"<tr>{''.join(_cell(*part) for part in parts)}</tr>"

    first = f"<caption>{escape(caption)}</caption>\n" if caption else ""
    heads = ['th scope="col"'] * len(head)
    sides = ['th scope="row"', *["td"] * (len(head) - 1)]
    lines = "\n".join(line(row, sides) for row in body)
    top = line([str(name) for name in head], heads)
    return f"<table>\n{first}<thead>{top}</thead>\n<tbody>\n{lines}\n</tbody>\n</table>"


def _cell(text: str, tag: str, words: bool) -> str:
    classes = ["words"] * words + ["long"] * (len(text) > LONG)
    attribute = f' class="{" ".join(classes)}"' if classes else ""
    return f"<{tag}{attribute}>{escape(text)}</{tag.split()[0]}>"
