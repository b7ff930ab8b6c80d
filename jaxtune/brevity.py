"""Short text of objects: an array as its shape, a function as its name.

What a search returns holds the data, functions and arrays of a whole run. Whoever
prints it wants to know what is there.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import jax
import numpy as np

from jaxtune.markup import html_table

Kind = TypeVar("Kind", bound=type)

LONGEST = 60  # characters of one value
MOST = 6  # members of a list that are shown
TOTAL = 900  # characters of an object
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def brief(kind: Kind) -> Kind:
    """Give a named tuple or data class a short text, and a table in a notebook.

    >>> from typing import NamedTuple
    >>> import numpy as np
    >>> from jaxtune.brevity import brief
    >>> @brief
    ... class Found(NamedTuple):
    ...     scores: np.ndarray
    ...     rule: object
    >>> Found(np.zeros((8, 2)), max)
    Found(scores=float64[8, 2], rule=max)
    """

    def as_text(self: Any) -> str:
        return _cut(_fields_of(self, _name(self), 2), TOTAL)

    def as_html(self: Any) -> str:
        rows = [(name, in_brief(value, 1)) for name, value in _members(self)]
        return html_table((_name(self), ""), rows)

    # a class may have better words of its own
    if "__repr__" not in vars(kind) or not _written(vars(kind)["__repr__"], kind):
        kind.__repr__ = as_text  # type: ignore[assignment]
    if not hasattr(kind, "_repr_html_"):
        kind._repr_html_ = as_html  # type: ignore[attr-defined]
    return kind


def in_brief(value: Any, depth: int = 1) -> str:
    """Return a value as short text on one line.

    Args:
      value: anything.
      depth: how far the members of objects are shown; 0 shows the names of types.
    """
    for kinds, words in _WORDS:
        if isinstance(value, kinds):
            return words(value, depth)
    if hasattr(value, "_fields") or dataclasses.is_dataclass(value):
        return _object(value, depth)
    if isinstance(value, tuple | list | set | frozenset):
        return _list(value, depth)
    if callable(value) and hasattr(value, "__qualname__"):
        return str(value.__qualname__).rpartition(".")[2].strip("<>")
    return _text(value)


def _object(value: Any, depth: int) -> str:
    """Return the text of an object inside of another one."""
    return _fields_of(value, _name(value), depth) if depth else f"{_name(value)}(…)"


def _fields_of(value: Any, name: str, depth: int) -> str:
    shown = [f"{n}={in_brief(part, depth - 1)}" for n, part in _members(value)]
    return f"{name}({', '.join(shown)})"


def _members(value: Any) -> list[tuple[str, Any]]:
    """Return the fields that say something: those that differ from their default."""
    if hasattr(value, "_fields"):
        return [(name, getattr(value, name)) for name in value._fields]
    return [
        (field.name, getattr(value, field.name))
        for field in dataclasses.fields(value)
        if field.repr and not _is_default(getattr(value, field.name), field.default)
    ]


def _is_default(value: Any, default: Any) -> bool:
    simple = value is None or isinstance(value, bool | int | float | str | tuple)
    return simple and type(value) is type(default) and value == default


def _array(value: Any, depth: int) -> str:
    del depth
    if isinstance(value, jax.core.Tracer):
        return str(value.aval)
    plain = not jax.dtypes.issubdtype(value.dtype, jax.dtypes.extended)  # no key
    if value.ndim == 0 and plain:
        return _text(value.item())
    return f"{value.dtype}[{', '.join(map(str, value.shape))}]"


def _mapping(value: Mapping[Any, Any], depth: int) -> str:
    parts = (f"{k!r}: {in_brief(v, depth)}" for k, v in value.items())
    return "{" + _some(parts, len(value)) + "}"


def _list(value: Any, depth: int) -> str:
    inner = _some((in_brief(part, depth) for part in value), len(value))
    if isinstance(value, tuple):
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return f"[{inner}]" if isinstance(value, list) else f"{{{inner}}}"


def _some(parts: Iterable[str], count: int) -> str:
    """Return the first parts, and how many there are."""
    first = [part for part, _ in zip(parts, range(MOST), strict=False)]
    more = [] if count <= MOST else [f"… {count} in all"]
    return ", ".join([*first, *more])


def _text(value: Any, depth: int = 0) -> str:
    del depth
    text = ADDRESS.sub("", repr(value))
    if "\n" in text or len(text) > LONGEST:
        if isinstance(value, str):
            return _cut(text, LONGEST)
        return f"{_name(value)}(…)"
    return text


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def _name(value: Any) -> str:
    return type(value).__name__


def _written(method: Any, kind: type) -> bool:
    """Return whether a class was written with a method, and none was made for it."""
    return getattr(method, "__module__", "") == kind.__module__ and not hasattr(
        method, "__wrapped__"
    )


_WORDS: tuple[tuple[Any, Callable[[Any, int], str]], ...] = (
    ((jax.Array, np.ndarray), _array),
    (np.generic, lambda value, depth: _text(value.item())),
    ((str, bytes, int, float, complex, type(None)), _text),
    (type, lambda value, depth: value.__name__),
    (Mapping, _mapping),
)
