"""How samplers, refiners, schedulers and tasks were made, so that a run can tell.

Functions cannot be written down, but our own makers and their arguments can. What a
user made has no recipe, and must be given again to go on with a run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

P = ParamSpec("P")
Made = TypeVar("Made")


class Recipe(NamedTuple):
    """A maker and its arguments.

    Args:
      name: of the maker, as in ``sobol``.
      arguments: pairs of a name and a value.
    """

    name: str
    arguments: tuple[tuple[str, Any], ...]

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.arguments)
        return f"{self.name}({shown})"


MAKERS: dict[str, Callable[..., Any]] = {}


def maker(make: Callable[P, Made]) -> Callable[P, Made]:
    """Let what a maker returns, a function or a tuple of them, know its recipe."""
    signature = inspect.signature(make)

    @wraps(make)
    def remembering(*args: P.args, **kwargs: P.kwargs) -> Made:
        made = make(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        _first(made).made = (
            made,
            Recipe(make.__name__, tuple(bound.arguments.items())),
        )
        return made

    MAKERS[make.__name__] = remembering
    return remembering


def recipe_of(made: Any) -> Recipe | None:
    """How it was made; ``None`` if by none of our makers, or changed since."""
    original, recipe = getattr(_first(made), "made", (None, None))
    return recipe if original is made or original == made else None


def remake(recipe: Recipe) -> Any:
    """Follow a recipe; ``KeyError`` for a maker that is none of ours."""
    return MAKERS[recipe.name](**dict(recipe.arguments))


def _first(made: Any) -> Any:
    """The function that carries the recipe."""
    return made[0] if isinstance(made, tuple) and made else made
