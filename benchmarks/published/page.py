"""Write the tables of ``docs/published.md`` from the files of ``results``.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``, and is made by
``tables`` of the command NAME from ``results/NAME.json``; ``NAME.other`` is made by the
function ``other`` of the command.

    python -m benchmarks.published.page [--check]
"""

import argparse
import importlib
import json
import re
import sys
from pathlib import Path

from benchmarks.published.common import RESULTS

PAGE = Path(__file__).parents[2] / "docs" / "published.md"
PLACE = re.compile(r"(<!-- table: ([a-z0-9_.]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def made(name: str) -> str:
    """Return the table of a command's figures, by its name on the page."""
    command, _, function = name.partition(".")
    file = RESULTS / f"{command}.json"
    if not file.exists():
        return "Not measured yet."
    written = json.loads(file.read_text())
    module = importlib.import_module(f"benchmarks.published.{command}")
    return getattr(module, function or "tables")(written)


def filled(text: str) -> str:
    """Return the page's text with each table as its figures make it."""
    return PLACE.sub(lambda m: f"{m[1]}\n{made(m[2])}\n\n{m[3]}", text)


def main() -> None:
    """Write the page, or with ``--check`` tell whether it is as it would be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    text = PAGE.read_text()
    if parser.parse_args().check:
        sys.exit(0 if filled(text) == text else "docs/published.md: run the command")
    PAGE.write_text(filled(text))


if __name__ == "__main__":
    main()
