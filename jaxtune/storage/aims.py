"""Constraints and goals of a run as JSON, and back.

Of a requirement only a hash of its function's source is kept, and its name.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from jaxtune.checks import RunError
from jaxtune.goals.arguments import Constraints, as_constraints
from jaxtune.goals.limits import Limit
from jaxtune.goals.order import Goal
from jaxtune.goals.requirement import Requirement
from jaxtune.storage import fingerprint


@dataclasses.dataclass(frozen=True)
class Recorded:
    """A stand-in for the function of a requirement, which a run cannot hold.

    Args:
      name: of the function.
      code: hash of its source.
    """

    name: str
    code: str

    def __call__(self, hparams: dict[str, Any]) -> bool:
        """Refuse: the function is not at hand."""
        del hparams
        raise RunError(f"require: the run does not hold the function {self.name}.")


def constraints_document(constraints: Constraints) -> list[dict[str, Any]]:
    """Return constraints as JSON, a dict for each."""
    limits = [
        {"name": limit.name, "relation": limit.relation, "bound": limit.bound}
        for limit in constraints.limits
    ]
    return limits + [
        {"require": rule.name, "code": fingerprint.code(rule.function)}
        for rule in constraints.rules
    ]


def constraints_of(document: list[dict[str, Any]]) -> Constraints:
    """Return the constraints of a document; its functions cannot be called."""
    limits = [Limit(**part) for part in document if "require" not in part]
    rules = [
        Requirement(Recorded(part["require"], part["code"]))
        for part in document
        if "require" in part
    ]
    return Constraints(tuple(limits), tuple(rules))


def goals_document(goals: tuple[Goal, ...]) -> list[list[str]]:
    """Return goals as JSON, a pair for each."""
    return [[goal.name, goal.mode] for goal in goals]


def goals_of(document: list[list[str]]) -> tuple[Goal, ...]:
    """Return the goals of a document."""
    return tuple(Goal(name, mode) for name, mode in document)


def constraints_to_resume(document: list[dict[str, Any]], given: Any) -> Constraints:
    """Return the constraints of a run, or those that were given in their place.

    Args:
      document: of the run.
      given: the argument ``constraints=``; the run's own if ``None``.

    Raises:
      RunError: a requirement, whose function is not given.
    """
    if given is not None:
        return as_constraints(given)
    recorded = constraints_of(document)
    if recorded.rules:
        raise RunError(
            f"the run has {recorded.rules[0]!r}, a function that it cannot hold. Give "
            "all constraints again, as in jaxtune.resume(directory, task, "
            "constraints=...)."
        )
    return recorded


def constraints_in_words(document: list[dict[str, Any]]) -> str:
    """Return constraints as text, with the beginning of the hash of a function."""
    parts = [
        f"require({part['require']}, {part['code'].split(':')[-1][:8]})"
        if "require" in part
        else f"{part['name']} {part['relation']} {part['bound']:g}"
        for part in document
    ]
    return " and ".join(parts) or "none"
