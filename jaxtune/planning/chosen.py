"""The other forms that the programs of a search have, in words."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from jaxtune.forms import survey
from jaxtune.planning.tracing import Traced


class Forms(NamedTuple):
    """The operations of a search that are computed in other forms.

    Args:
      counts: name of a form to the number of operations that have it, those of
        gradients and of evaluation included; in all programs.
      failure: why a program runs as it is written; empty if none failed.
    """

    counts: dict[str, int]
    failure: str = ""

    def __str__(self) -> str:
        shown = [f"{count} {words}" for words, count in self.counts.items()]
        if self.failure:
            shown.append(
                f"operations run as written, as rewriting failed: {self.failure}"
            )
        return ", ".join(shown)


def chosen_forms(traced: tuple[Traced, ...], table: str) -> Forms:
    """Return the forms of some programs under a table of rules.

    Args:
      traced: one lane of each program.
      table: of rules, see `jaxtune.forms`.
    """
    counts: Counter[str] = Counter()
    failures = []
    for program in traced:
        found, failure = survey(program.jaxpr, table)
        counts.update(found)
        failures += [failure] if failure else []
    return Forms(dict(counts), next(iter(failures), ""))
