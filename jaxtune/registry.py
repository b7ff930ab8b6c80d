"""Recipes of samplers, refiners, schedulers and tasks, so that a run can be resumed.

Functions cannot be written to a file, but the name of one of our makers and its
arguments can. Anything that a user made has no recipe and must be given again to
resume a run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

from jaxtune.brevity import in_brief
from jaxtune.door import as_plain

P = ParamSpec("P")
Made = TypeVar("Made")


class Recipe(NamedTuple):
    """The name of a maker and its arguments.

    Args:
      name: of the maker, such as ``sobol``.
      arguments: pairs of a name and a value; of a part of ours, its own recipe.
    """

    name: str
    arguments: tuple[tuple[str, Any], ...]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.arguments)
        return f"{self.name}({shown})"


MAKERS: dict[str, Callable[..., Any]] = {}


def maker(make: Callable[P, Made]) -> Callable[P, Made]:
    """Attach a recipe to everything that ``make`` returns.

    Args:
      make: a maker of functions, or of named tuples whose first field is a function.

    Returns:
      The maker, entered in the table of makers under its name.
    """
    signature = inspect.signature(make)

    @wraps(make)
    def remembering(*args: P.args, **kwargs: P.kwargs) -> Made:
        bound = signature.bind(*args, **kwargs)
        # a run directory holds Python's numbers
        bound.arguments.update({n: as_plain(v) for n, v in bound.arguments.items()})
        made = make(*bound.args, **bound.kwargs)
        # a default that is passed and one that is left out give the same recipe
        bound.apply_defaults()
        given = ((name, _in_recipe(v)) for name, v in bound.arguments.items())
        _first(made).made = made, Recipe(make.__name__, tuple(given))
        return made

    MAKERS[make.__name__] = remembering
    return remembering


def recipe_of(made: Any) -> Recipe | None:
    """Return the recipe, or ``None`` for what is not ours or was changed since."""
    original, recipe = getattr(_first(made), "made", (None, None))
    # sampler._replace(ask=...) still has our init, which carries the recipe
    return recipe if original is made or original == made else None


def remake(recipe: Recipe) -> Any:
    """Follow a recipe; raise ``KeyError`` for a maker that is not ours."""
    arguments = {
        name: remake(value) if isinstance(value, Recipe) else value
        for name, value in recipe.arguments
    }
    return MAKERS[recipe.name](**arguments)


def text_of(made: Any) -> str:
    """Return the call that makes a named tuple of ours; of a user's own, its parts."""
    recipe = recipe_of(made)
    if recipe is not None:
        return str(recipe)
    parts = (f"{name}={in_brief(part)}" for name, part in made._asdict().items())
    return f"{type(made).__name__}({', '.join(parts)})"


def reduced(made: Any) -> Any:
    """Return what a pickle holds of a named tuple: its recipe, or else its parts."""
    recipe = recipe_of(made)
    return (type(made), tuple(made)) if recipe is None else (remake, (recipe,))


def _in_recipe(value: Any) -> Any:
    """Return what a recipe holds of an argument: of a part of ours, its recipe."""
    return (recipe_of(value) if isinstance(value, tuple) else None) or value


def _first(made: Any) -> Any:
    """Return the function that carries the recipe: named tuples take no attributes."""
    return made[0] if isinstance(made, tuple) and made else made
