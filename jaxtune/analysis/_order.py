"""The order of importances in words, as far as their intervals allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

NAMED = 3  # hyperparameters of unclear order; of more, their number is said


class Ranked(Protocol):
    """A share with an interval, see `jaxtune.analysis.Importance`."""

    @property
    def name(self) -> str:
        """The name of the hyperparameter."""

    @property
    def share(self) -> float:
        """The estimate."""

    @property
    def low(self) -> float:
        """The lower end of its interval."""

    @property
    def high(self) -> float:
        """The upper end."""


def order_in_words(rows: Sequence[Ranked]) -> str:
    """Return what intervals allow to say of the order of shares, in sentences.

    One comes before another only where no interval of those before reaches one of those
    after.

    Args:
      rows: one for each hyperparameter.
    """
    if len(rows) == 1:
        return f"Only {rows[0].name} was searched."
    if all(row.low == row.share == row.high for row in rows):
        return "Without intervals the order of importance is not known: use resamples."
    first, *others = _apart(rows)
    if not others:
        most = max(rows, key=lambda row: row.share)
        return (
            "Which hyperparameter matters most is not clear: the intervals overlap. "
            f"{most.name} has the largest estimate, {_interval(most)} of the "
            "importance."
        )
    if len(first) == 1:
        said = f"{first[0].name} matters most ({_interval(first[0])} of the importance)"
    else:
        shown = [f"{row.name} ({_interval(row)})" for row in first]
        said = f"{_listed(shown)} matter most, and their order is not clear"
    clear = [f"{one[0].name} ({_interval(one[0])})" for one in others if len(one) == 1]
    said += f", then {', then '.join(clear)}" * (len(clear) == len(others))
    if len(clear) == len(others):
        return f"{said}."
    left = [row.name for group in others for row in group]
    names = _listed(left) if len(left) <= NAMED else f"the other {len(left)}"
    return f"{said}. The order of {names} is not clear: their intervals overlap."


def _interval(row: Ranked) -> str:
    return f"{100 * row.low:.0f} to {100 * row.high:.0f} %"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]])


def _apart(rows: Sequence[Ranked]) -> list[list[Ranked]]:
    """Return groups of rows whose intervals overlap, the most important one first."""
    groups: list[list[Ranked]] = []
    lowest = float("inf")
    for row in sorted(rows, key=lambda row: (-row.high, -row.low)):
        if row.high < lowest:
            groups.append([])
        groups[-1].append(row)
        lowest = min(lowest, row.low)
    return groups
