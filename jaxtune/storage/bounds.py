"""Bounds of the numbers in ``run.json``, far beyond those of any search.

A stranger's run may name any size, and a network of a hundred thousand layers would be
traced, or a table of 10**12 rows be made, before anything could be compared. A search
beyond these bounds begins no run, so that what is written can be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MILLION = 10**6
# the last name of a setting: the largest number that it may be
MOST = {
    "trials": 100 * MILLION,
    "epochs": 1000 * MILLION,
    "seeds": MILLION,
    "folds": MILLION,
    "budget": 2**32,
    "confirms": MILLION,
    "block": 2**24,
    "across": MILLION,
    "programs": MILLION,
    "classes": MILLION,
    "max_layers": 1000,
    "layers": 1000,
    "max_units": MILLION,
    "max_channels": MILLION,
    "points_per_dim": MILLION,
    "size": 100 * MILLION,
    "population": MILLION,
    "rows": MILLION,
    "draws": MILLION,
    "initial": 100 * MILLION,
    "concurrent": MILLION,
}
MOST_PARTS = 3 * MILLION  # names and values of all settings together
DIMENSIONS = 2000  # a space is traced: of so many it takes a minute

# these have names of the user's own
OWN = ("space", "start", "first", "task", "version", "device", "flags")


def check_bounds(settings: dict[str, Any]) -> None:
    """Raise ``ValueError``, naming field and value, for a number beyond its bound.

    Args:
      settings: the contents of ``run.json``.
    """
    check_largest(settings)
    space = settings.get("space")
    if isinstance(space, dict) and len(space) > DIMENSIONS:
        raise ValueError(
            f"space: {len(space):,} dimensions, and the most are {DIMENSIONS:,}"
        )
    _check_lanes(settings)


def check_largest(document: Any) -> None:
    """Raise ``ValueError`` for a number of a document that is beyond its bound."""
    for count, (field, value) in enumerate(_values(document, "")):
        if count > MOST_PARTS:
            raise ValueError(f"more than {MOST_PARTS:,} values")
        if isinstance(value, int | float) and field.split(".")[0] not in OWN:
            _check_number(field, _last(field), value)


def _check_number(field: str, name: str, value: Any) -> None:
    most = MOST.get(name)
    if most is not None and not abs(value) <= most:
        raise ValueError(f"{field}: {_short(value)}, and the most is {most:,}")


def _check_lanes(settings: dict[str, Any]) -> None:
    """Raise ``ValueError`` for numbers that are no counts of a search."""
    for name, least in (("seeds", 1), ("block", 1), ("across", 1), ("epochs", 0)):
        value = settings.get(name)
        if not _is_count(value, least):
            raise ValueError(f"{name}: {_short(value)}, and the least is {least}")
    budget = settings.get("budget", 0)
    if not _is_count(budget, 0):
        raise ValueError(f"budget: {_short(budget)}, and the least is 0")
    folds = settings.get("folds")
    if folds is not None and not _is_count(folds, 1):
        raise ValueError(f"folds: {_short(folds)}, and the least is 1")
    lanes = settings["seeds"] * (folds or 1)
    if lanes > MILLION:
        raise ValueError(f"seeds and folds: {lanes:,} trainings of a trial")
    for number, stage in enumerate(settings["rounds"]):
        counts = [(name, stage.get(name, 1)) for name in ("trials", "confirms")]
        counts += [("batches", size) for size in stage.get("batches", ())]
        if stage.get("epochs") is not None:
            counts += [("epochs", stage["epochs"] + 1)]  # 0 of a plain function
        for name, value in counts:
            if not _is_count(value, 1):
                raise ValueError(f"rounds.{number}.{name}: {_short(value)}")
        if sum(stage.get("batches", ())) not in (0, stage["trials"]):
            raise ValueError(
                f"rounds.{number}.batches: not of {stage['trials']} in all"
            )
        if not set(stage["open"]) <= set(settings["space"]):
            raise ValueError(f"rounds.{number}.open: no dimensions of the space")
    for bucket in settings["layout"]["buckets"]:
        for top in bucket["tops"]:
            _check_number("layout.buckets", bucket["field"], top)
    if settings.get("mode") not in ("min", "max"):
        raise ValueError(f"mode: {_short(settings.get('mode'))}")
    if not isinstance(settings.get("metric"), str):
        raise ValueError(f"metric: {_short(settings.get('metric'))}")


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _values(part: Any, field: str) -> Iterator[tuple[str, Any]]:
    """Yield the names of a value, joined by dots, and the value."""
    if isinstance(part, dict | list):
        named = part.items() if isinstance(part, dict) else enumerate(part)
        for name, value in named:
            yield from _values(value, f"{field}.{name}" if field else str(name))
    yield field, part


def _last(field: str) -> str:
    """Return the last name of a field that is no place in a list."""
    names = [name for name in field.split(".") if not name.isdigit()]
    return names[-1] if names else ""


def _short(value: Any) -> str:
    if isinstance(value, int) and abs(value) > 10**40:
        return f"a number of {value.bit_length()} bits"
    return repr(value)[:60]
