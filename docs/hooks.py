"""Hooks of the site: pictures that open in full, and a table at the head of the API.

MkDocs calls ``on_page_markdown`` and ``on_page_content`` for every page (mkdocs.yml).
"""

from __future__ import annotations

import inspect
import pydoc
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
INCLUDED = re.compile(r'^--8<-- "(\w+/\w+\.md)"$', re.MULTILINE)
NAMES = re.compile(r"^::: (\S+)$", re.MULTILINE)
IMAGE = re.compile(r'<img (?P<rest>[^>]*?)src="(?P<src>[^"]+)"(?P<end>[^>]*?) ?/?>')


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put a table of what an API page has, a line for each name, before the first.

    A file of another folder, which a page includes, is one page of the site.
    """
    markdown = INCLUDED.sub(_included, markdown)
    names = NAMES.findall(markdown)
    if not page.file.src_uri.startswith("api/") or len(names) < 2:
        return markdown
    rows = [f"| [`{_short(name)}`](#{name}) | {_first_line(name)} |" for name in names]
    table = "\n".join(["| name | in short |", "| --- | --- |", *rows])
    return NAMES.sub(lambda found: f"{table}\n\n{found[0]}", markdown, count=1)


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Make of each image a link to its file, and add its dark version if there is one.

    The link works without a script; pictures.js opens the picture on the same page.
    """
    folder = (DOCS / page.file.src_uri).parent

    def linked(found: re.Match[str]) -> str:
        image, src = found[0], found["src"]
        dark = re.sub(r"(\.\w+)$", r"-dark\1", src)
        # a page is a folder of the site, so its links begin one folder higher
        beside = dark.removeprefix("../") if page.file.name != "index" else dark
        if (folder / beside).exists():
            source = f'<source media="(prefers-color-scheme: dark)" srcset="{dark}">'
            image = f"<picture>{source}{image}</picture>"
        return f'<a class="picture" href="{src}">{image}</a>'

    return IMAGE.sub(linked, html)


def _included(found: re.Match[str]) -> str:
    """Return the text of a file of another folder, with the links of a page."""
    return (DOCS.parent / found[1]).read_text("utf-8").replace("](../docs/", "](")


def _short(name: str) -> str:
    """Return a name as users write it, after ``jt.``; of an inner module, the last."""
    inner = r"^jaxtune\.(results|training|trained|watching)\.(\w+\.)?"
    return re.sub(rf"{inner}|^jaxtune\.", "", name)


def _first_line(name: str) -> str:
    """Return the first sentence of the docstring, fit for a cell of a table."""
    text = inspect.getdoc(pydoc.locate(name)) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")
