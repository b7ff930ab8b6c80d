"""Values, spaces and parts of a search as Python text that makes them again."""

from __future__ import annotations

import inspect
import keyword
import math
import re
from typing import Any

import jaxtune.samplers
import jaxtune.schedulers
from jaxtune.registry import MAKERS, Recipe
from jaxtune.samplers.beliefs import believed
from jaxtune.space import (
    Dimension,
    Space,
    choice,
    integer,
    log_uniform,
    ordinal,
    power_of_two,
    reverse_log_uniform,
    uniform,
)
from jaxtune.space.belief import stated, whole
from jaxtune.storage.documents import Unserialisable, value_document, value_of

REALS = {
    "linear": uniform,
    "log": log_uniform,
    "reverse_log": reverse_log_uniform,
}


class Names:
    """The names of what has no Python text, such as a function of the user; mutable.

    Each stands in the text as a variable, which a reader has to define.
    """

    def __init__(self) -> None:
        self.known: dict[str, str] = {}  # what it stands for to its variable

    def of(self, what: str, likely: str) -> str:
        """Return the variable of an object.

        Args:
          what: the object in words, the same for the same one.
          likely: the name to use, if it is free.
        """
        if what not in self.known:
            name = re.sub(r"\W+", "_", likely).strip("_") or "yours"
            name = (
                f"your_{name}" if keyword.iskeyword(name) or name[0].isdigit() else name
            )
            while name in self.known.values():
                name += "_"
            self.known[what] = name
        return self.known[what]


def code_of(value: Any, names: Names) -> str:
    """Return a value as Python text.

    Args:
      value: numbers, strings, None, lists, tuples, dicts, spaces and recipes of these.
      names: gets the name of anything else, which stands in the text as a variable.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(code_of(part, names) for part in value)}]"
    if isinstance(value, tuple) and not isinstance(value, Recipe | Unserialisable):
        inner = ", ".join(code_of(part, names) for part in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, dict):
        pairs = [f"{code_of(k, names)}: {code_of(v, names)}" for k, v in value.items()]
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, Space):
        return space_code(value, names)
    # as a run directory keeps it, so that the text of a loaded run is the same
    found = value_of(value_document(value))
    if isinstance(found, Recipe):
        return _made_code(found, names)
    if not isinstance(found, Unserialisable):
        return code_of(found, names)
    return names.of(found.name, found.name.rpartition(".")[2])


def _made_code(recipe: Recipe, names: Names) -> str:
    """Return the call of a maker, with the arguments that are not its usual ones."""
    usual = {
        name: parameter.default
        for name, parameter in inspect.signature(MAKERS[recipe.name]).parameters.items()
    }
    given = [
        f"{name}={code_of(value, names)}"
        for name, value in recipe.arguments
        if name not in usual or (usual[name] is not value and usual[name] != value)
    ]
    homes = ("samplers", "schedulers")
    home = [f"{one}." for one in homes if hasattr(getattr(jaxtune, one), recipe.name)]
    return f"jt.{''.join(home[:1])}{recipe.name}({', '.join(given)})"


def space_code(space: Space, names: Names) -> str:
    """Return a space as Python text, a line for each dimension."""
    lines = [
        f"    {name}={_dimension_code(space[name], names)}," for name in space.names
    ]
    text = "\n".join(["jt.Space(", *lines, ")"])
    less: dict[str, Any] = {
        name: list(space[name].remaining)
        for name in space.searched
        if space[name].choices and len(space[name].remaining) < len(space[name].choices)
    }
    less |= {
        name: space[name].bounds
        for name in believed(space)
        if not space[name].choices and space[name].bounds != whole(space[name]).bounds
    }
    return f"{text}{restrict_code(less, names)}" if less else text


def restrict_code(bounds: dict[str, Any], names: Names) -> str:
    """Return the call of ``restrict`` that makes a space smaller."""
    ends = [f"{name}={code_of(value, names)}" for name, value in bounds.items()]
    return f".restrict({', '.join(ends)})"


def _dimension_code(dim: Dimension, names: Names) -> str:
    """Return the call of the maker of a dimension."""
    if not dim.searched:
        return f"jt.fixed({code_of(dim.default, names)})"
    options: dict[str, Any] = {}
    if dim.choices:
        make: Any = choice if dim.allowed is not None else ordinal
        given: tuple[Any, ...] = (list(dim.choices),)
    else:
        # a spread is a share of the whole dimension, which `restrict` made smaller
        given = (dim if dim.prior is None else whole(dim)).bounds
        make = power_of_two if dim.kind == "power_of_two" else integer
        make = REALS[dim.scale] if dim.kind == "continuous" else make
        if make is integer and dim.scale != "linear":
            options["scale"] = dim.scale
    usual = make(*given, **options)
    options |= {
        name: getattr(dim, name)
        for name in ("default", "tier", "static")
        if getattr(usual, name) != getattr(dim, name)
    }
    shown = [code_of(part, names) for part in given]
    shown += [f"{name}={code_of(value, names)}" for name, value in options.items()]
    if dim.prior is not None:
        value, spread = stated(dim)
        shown.append(f"prior=jt.near({code_of(value, names)}, spread={spread!r})")
    text = f"jt.{make.__name__}({', '.join(shown)})"
    if dim.condition:
        held = [f"{name}={code_of(list(v), names)}" for name, v in dim.condition]
        text = f"jt.when({text}, {', '.join(held)})"
    return text
