"""Values, spaces and parts of a search as Python text that makes them again."""

from __future__ import annotations

import inspect
import keyword
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import jaxtune.samplers
import jaxtune.schedulers
from jaxtune.registry import MAKERS, Recipe
from jaxtune.report.definition import definition_of, maker_of
from jaxtune.space import Dimension, Space
from jaxtune.space.belief import Near, stated
from jaxtune.storage.documents import Unserialisable, value_document, value_of

# tuples that stand for something else than their parts
WHOLE = (Recipe, Unserialisable, jaxtune.schedulers.Scheduler)
# names that the text of a call reads, and so cannot stand for anything else
RESERVED = ("task", "space", "result", "jt", "jax", "jnp", "float")


class Names:
    """The names of what has no Python text, such as a function of the user; mutable.

    Each stands in the text as a variable, which a reader has to define.
    """

    def __init__(self) -> None:
        self.known: dict[str, str] = {}  # what it stands for to its variable
        self._of: dict[tuple[str, Any], str] = {}  # the same of each object

    def of(self, what: str, likely: str, one: Any = None) -> str:
        """Return the variable of an object.

        Args:
          what: the object in words.
          likely: the name to use, if it is free.
          one: tells the object from others of the same words.
        """
        if (what, one) in self._of:
            return self._of[what, one]
        name = re.sub(r"\W+", "_", likely).strip("_") or "yours"
        name = f"your_{name}" if keyword.iskeyword(name) or name[0].isdigit() else name
        while name in self.known.values() or name in RESERVED:
            name += "_"
        others = sum(other == what for other, _ in self._of)
        self.known[f"{what}, another one ({others + 1})" if others else what] = name
        self._of[what, one] = name
        return name


def code_of(value: Any, names: Names) -> str:
    """Return a value as Python text.

    Args:
      value: numbers, strings, None, lists, tuples, dicts, spaces and recipes of these.
      names: gets the name of anything else, which stands in the text as a variable.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if value is None or isinstance(value, bool):
        return repr(value)
    for kind in (int, float, str):
        if isinstance(value, kind):  # also of an enumeration, whose repr is no code
            return kind.__repr__(value)
    if isinstance(value, list):
        return f"[{', '.join(code_of(part, names) for part in value)}]"
    if isinstance(value, tuple) and not isinstance(value, WHOLE):
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
    # of a loaded run only the name is known
    one = 1 if isinstance(value, Unserialisable) else _identity(value)
    return names.of(found.name, _likely(found), one)


def _likely(found: Unserialisable) -> str:
    return found.name.rpartition(".")[2]


def _identity(value: Any) -> Any:
    """Return what tells an object from others, in a dict."""
    try:
        hash(value)
    except TypeError:
        return id(value)
    return value


def choice_code(dim: Dimension, value: Any, names: Names) -> str:
    """Return one of the listed values of a dimension as Python text."""
    return _choice_codes(dim, names)[dim.choices.index(value)]


def _choice_codes(dim: Dimension, names: Names) -> list[str]:
    """Return all listed values of a dimension as Python text."""
    seen: Counter[str] = Counter()
    codes = []
    for value in dim.choices:
        if isinstance(value, Unserialisable):  # listed values differ, names may not
            seen[value.name] += 1
            codes.append(names.of(value.name, _likely(value), seen[value.name]))
        else:
            codes.append(code_of(value, names))
    return codes


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
    found = definition_of(space)
    if found is None:
        what = f"the space of {', '.join(space.names)}, which has no text here"
        return names.of(what, "your_space", space)
    whole = found.whole
    lines = [
        f"    {name}={_dimension_code(whole, name, names)}," for name in whole.names
    ]
    text = "\n".join(["jt.Space(", *lines, ")"])
    text += smaller_code(whole, found.bounds, found.beliefs, names)
    return text + (f".keep({', '.join(map(repr, found.kept))})" if found.kept else "")


def smaller_code(
    space: Space,
    bounds: Mapping[str, Any],
    beliefs: Mapping[str, Near | None],
    names: Names,
) -> str:
    """Return the calls of ``restrict`` and ``expect`` on a space.

    Args:
      space: which is made smaller.
      bounds: of ``restrict``.
      beliefs: of ``expect``.
      names: see `code_of`.
    """
    ends = [f"{n}={_values_code(space[n], ends, names)}" for n, ends in bounds.items()]
    text = f".restrict({', '.join(ends)})" if ends else ""
    near = [f"{n}={_near_code(space[n], one, names)}" for n, one in beliefs.items()]
    return text + (f".expect({', '.join(near)})" if near else "")


def _values_code(dim: Dimension, values: Any, names: Names) -> str:
    codes = ", ".join(_value_code(dim, value, names) for value in values)
    return f"[{codes}]" if isinstance(values, list) else f"({codes})"


def _near_code(dim: Dimension, belief: Near | None, names: Names) -> str:
    if belief is None:
        return "None"
    value = _value_code(dim, belief.value, names)
    return f"jt.near({value}, spread={belief.spread!r})"


def _value_code(dim: Dimension, value: Any, names: Names) -> str:
    return choice_code(dim, value, names) if dim.choices else code_of(value, names)


def _dimension_code(space: Space, name: str, names: Names) -> str:
    """Return the call of the maker of a dimension."""
    dim = space[name]
    if not dim.searched:
        return f"jt.fixed({code_of(dim.default, names)})"
    make, options = maker_of(dim)
    if dim.choices:
        shown = [f"[{', '.join(_choice_codes(dim, names))}]"]
        usual = make(range(len(dim.choices)))
        default = dim.choices[usual.default]
    else:
        shown = [code_of(end, names) for end in dim.bounds]
        usual = make(*dim.bounds, **options)
        default = usual.default
    shown += [f"{option}={value!r}" for option, value in options.items()]
    if default != dim.default:
        shown.append(f"default={_value_code(dim, dim.default, names)}")
    shown += [
        f"{option}={getattr(dim, option)!r}"
        for option in ("tier", "static")
        if getattr(usual, option) != getattr(dim, option)
    ]
    if dim.prior is not None:
        shown.append(f"prior={_near_code(dim, stated(dim), names)}")
    text = f"jt.{make.__name__}({', '.join(shown)})"
    if dim.condition:
        held = [
            f"{parent}={_values_code(space[parent], list(values), names)}"
            for parent, values in dim.condition
        ]
        text = f"jt.when({text}, {', '.join(held)})"
    return text
