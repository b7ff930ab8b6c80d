"""The parts of a search that are the user's own functions, and their sums."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jaxtune.registry import Recipe, recipe_of
from jaxtune.rounds.arguments import Search
from jaxtune.storage.code_sums import Sums, python, sums_of
from jaxtune.storage.documents import value_document


def code_of_search(search: Search) -> Sums:
    """Return the sums of the user's functions of a search: part to sums.

    They are those of samplers, refiners, schedulers and requirements, which no program
    has. What tasks compute is in their programs.
    """
    sums: dict[str, Any] = {}
    unknown: list[str] = []
    for part, name, value in _own_parts(search):
        found = sums_of(name, value)
        sums.setdefault(part, {"python": python()}).update(found.sums)
        unknown += [f"{part}: {text}" for text in found.unknown]
    return Sums(sums, tuple(unknown))


def _own_parts(search: Search) -> Iterator[tuple[str, str, Any]]:
    """Yield a part of a search, and by name what it has of the user."""
    made = {
        "sampler": search.sampler,
        "refine": search.refine,
        "scheduler": search.scheduler,
    }
    for part, value in made.items():
        recipe = recipe_of(value)
        if recipe is None:
            yield part, part, value
            continue
        # one of jaxtune's makers, called with what JSON does not hold
        for name, argument in recipe.arguments:
            if _by_name(argument):
                yield part, name, argument
    for number, rule in enumerate(search.constraints.rules):
        yield "constraints", f"{rule.name}#{number}", rule.function


def _by_name(value: Any) -> bool:
    """Return whether a run keeps no more of a value than its name."""
    if isinstance(value, Recipe | tuple | list):
        return any(map(_by_name, value))
    document = value_document(value)
    return isinstance(document, dict) and "object" in document
