"""Measure all that an accelerator changes, and run the tests that are worth it there.

Each part is a process with a time limit of its own. One that fails, or is cut off, is
named, and the others go on. A part gets its share of the time that is left; the tests
run last, so that what the others did not need is theirs. The folder gets
``accelerator.json`` with every figure, and ``accelerator.md``, one table with the most
important rows first; both are written anew after each part.

    python benchmarks/accelerator.py [--minutes 8] [--only bits,tests] [--out DIR]
"""

import argparse
import importlib
import json
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import apart


class Part(NamedTuple):
    """A part of the measurement.

    Args:
      file: of ``accelerators/``.
      function: in it, which yields rows.
      weight: its share of the time; about the seconds that it takes on an H100.
      small: keywords of its small form.
    """

    file: str
    function: str
    weight: float
    small: dict


# the most important first
PARTS = {
    "card": Part("card", "card", 12, {}),
    "tests": Part(
        "marked",
        "marked_tests",
        150,
        {"files": ["tests/test_schedulers.py"], "processes": 1},
    ),
    "a trial": Part(
        "trainings",
        "trainings",
        140,
        {"widths": [8], "trials": 16, "epochs": 2, "most": 1},
    ),
    "schedulers": Part(
        "searches",
        "under_schedulers",
        60,
        {"trials": 18, "epochs": 9, "block": 8},
    ),
    "nine": Part(
        "searches",
        "nine",
        60,
        {"trials": 16, "epochs": 1, "dimensions": ["learning_rate"]},
    ),
    "rates": Part("card", "by_width", 60, {"widths": [1, 8]}),
    "bits": Part(
        "bits", "same_bits", 45, {"trials": 8, "dimensions": ["learning_rate"]}
    ),
    "a million": Part("functions", "many_values", 15, {"values": 10_000}),
    "Gaussian process": Part(
        "functions", "gaussian_process", 30, {"points": 6, "pieces": ["suggestion"]}
    ),
    "convolutions": Part(
        "searches", "convolutions", 40, {"lanes": 4, "examples": 128, "forms": ["ours"]}
    ),
    "shapes": Part(
        "shapes",
        "many_shapes",
        40,
        {"units": 4, "repeats": 2, "samples": 64, "sample": 2},
    ),
    "roofline": Part(
        "card", "roofline", 25, {"side": 512, "megabytes": 20, "width": 8}
    ),
}
LAST = "tests"
# work of parts in processes of their own
PIECES = {
    "search_of_nine": "searches",
    "suggestion": "functions",
    "search_of_four_rounds": "functions",
    "digests": "bits",
}


def rows(file, function, **work):
    """Return the generator of a part; its libraries are imported here."""
    return getattr(importlib.import_module(f"accelerators.{file}"), function)(**work)


def command_of(name, small):
    """Return the command of a part."""
    work = {"do": name, **(PARTS[name].small if small else {})}
    return [sys.executable, __file__, "--child", json.dumps(work)]


def measured(parts, time_for_all, written):
    """Run parts one after another, and return name to state, rows and seconds.

    Args:
      parts: name to weight and command, in the order in which they run.
      time_for_all: seconds of all parts together.
      written: is called with what is known after each part.
    """
    begin, found = time.monotonic(), {}
    waiting = sum(weight for weight, _ in parts.values())
    for name, (weight, command) in parts.items():
        begun = time.monotonic()
        left = max(0.0, begin + time_for_all - begun)
        limit = left * weight / waiting
        apart.note(f"{name}: at most {limit:.0f} s")
        with tempfile.TemporaryDirectory() as folder:
            # what an ended process leaves is removed; with a cache of the user nothing
            # would compile
            more = {"TMPDIR": folder, "JAXTUNE_CACHE": "off"}
            done = apart.rows_of(command, limit, {**os.environ, **more})
        waiting -= weight
        found[name] = {
            "state": done.state,
            "limit_s": limit,
            "seconds": time.monotonic() - begun,
            "rows": list({row["what"]: row for row in done.rows}.values()),
        }
        if done.said:
            found[name]["said"] = done.said
        written(found)
    return found


def lines_of(name, part):
    """Return the lines of a part in the table."""
    if part["state"] == "failed":
        said = part.get("said", "").strip().splitlines() or ["without a word"]
        yield [name, f"**failed** after {part['seconds']:.0f} s: {said[-1]}", "", ""]
    elif part["state"] == "cut off":
        yield [name, f"**cut off** after {part['limit_s']:.0f} s", "", ""]
    for row in part["rows"]:
        figure = f"{apart.shown(row['value'])} {row['unit']}".strip()
        compared = f"{row['ratio']:.3g} of {row['of']}" if "ratio" in row else ""
        yield [name, row["what"], figure, compared]


def table_of(found, order):
    """Return the table in Markdown, in the given order of parts."""
    lines = [["part", "what", "figure", "compared"], ["---"] * 4]
    for name in order:
        lines += lines_of(name, found[name]) if name in found else []
    clean = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "".join("| " + " | ".join(line) + " |\n" for line in clean)


def write(out, settings, order, found):
    """Write what is known so far, and keep the former files if this is interrupted."""
    text = json.dumps({"settings": settings, "parts": found}, indent=1) + "\n"
    for name, content in {
        "accelerator.json": text,
        "accelerator.md": table_of(found, order),
    }.items():
        beside = out / f".{name}"
        beside.write_text(content)
        beside.replace(out / name)


def main() -> None:
    """Measure, write, and print the table; exit status 1 if a part failed."""
    work = {name: partial(rows, p.file, p.function) for name, p in PARTS.items()}
    work |= {name: partial(rows, file, name) for name, file in PIECES.items()}
    if apart.serve(work):
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=8.0, help="of all parts")
    parser.add_argument(
        "--out", type=Path, default=Path("."), help="folder of the files"
    )
    parser.add_argument("--only", help=f"some of: {', '.join(PARTS)}")
    parser.add_argument("--small", action="store_true", help="a minute on a CPU")
    options = parser.parse_args()
    only = options.only.split(",") if options.only else list(PARTS)
    unknown = [name for name in only if name not in PARTS]
    if unknown:
        parser.error(f"no part {unknown[0]!r}. Use some of: {', '.join(PARTS)}.")
    chosen = [name for name in PARTS if name in only]
    parts = {
        name: (PARTS[name].weight, command_of(name, options.small))
        for name in sorted(chosen, key=LAST.__eq__)
    }
    options.out.mkdir(parents=True, exist_ok=True)
    settings = {"minutes": options.minutes, "small": options.small, "only": chosen}
    written = partial(write, options.out, settings, chosen)
    found = measured(parts, 60 * options.minutes, written)
    print(table_of(found, chosen))
    if any(part["state"] == "failed" for part in found.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
