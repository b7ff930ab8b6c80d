"""Names around a function that its byte code reads, changes or imports."""

from __future__ import annotations

import dis
import itertools
import types
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

# methods that change a list, a dict or a set
CHANGING = frozenset(
    (
        *("add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop"),
        *("popitem", "remove", "reverse", "setdefault", "sort", "update"),
    )
)
CONTAINERS = (list, dict, set, bytearray, deque, np.ndarray)

GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME")
ATTRIBUTE = ("LOAD_ATTR", "LOAD_METHOD")
READ = (*GLOBAL, *ATTRIBUTE, "LOAD_DEREF")
ITEM = ("STORE_SUBSCR", "DELETE_SUBSCR", "STORE_SLICE")

# operations that give a name around a function, or an attribute, another value
NAMES_ASSIGNED = ("STORE_GLOBAL", "DELETE_GLOBAL", "STORE_DEREF")
ATTRIBUTES_ASSIGNED = ("STORE_ATTR", "DELETE_ATTR")


class Changes(NamedTuple):
    """The names around functions, or attributes, that these seem to change.

    Args:
      assigned: which get another value.
      touched: whose value may be changed in place, if it is of a kind that can be.
    """

    assigned: set[str]
    touched: set[str]

    def change(self, name: str, value: Any) -> bool:
        """Return whether they change a value."""
        container = isinstance(value, CONTAINERS)
        return name in self.assigned or (container and name in self.touched)


def changes_of(codes: Iterable[types.CodeType], assign: tuple[str, ...]) -> Changes:
    """Return what codes change.

    Args:
      codes: of functions.
      assign: operations that give a name another value.
    """
    assigned: set[str] = set()
    touched: set[str] = set()
    for code in (inner for each in codes for inner in _codes(each)):
        steps = list(dis.get_instructions(code))
        assigned.update(step.argval for step in steps if step.opname in assign)
        # x[i] = y begins where x does
        items = {_start(step) for step in steps if step.opname in ITEM}
        for step, after in itertools.pairwise(steps):
            called = after.opname in ATTRIBUTE and after.argval in CHANGING
            if step.opname in READ and (called or _start(step) in items):
                touched.add(step.argval)
    return Changes(assigned, touched)


def _start(step: dis.Instruction) -> Any:
    place = step.positions
    return None if place is None else (place.lineno, place.col_offset)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield a code and those of the functions that are written inside of it."""
    yield code
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield from _codes(part)


def globals_read(code: types.CodeType) -> list[tuple[str, ...]]:
    """Return the global names that a code reads, with the attributes that follow."""
    found: list[tuple[str, ...]] = []
    for each in _codes(code):
        path: tuple[str, ...] = ()
        for step in dis.get_instructions(each):
            if path and step.opname in ATTRIBUTE:
                path = (*path, step.argval)
                continue
            found += [path] * bool(path)
            path = (step.argval,) if step.opname in GLOBAL else ()
    return list(dict.fromkeys(found))


def imports_of(code: types.CodeType) -> set[str]:
    """Return the packages that a function imports when it is called."""
    return {
        str(step.argval).split(".")[0]
        for each in _codes(code)
        for step in dis.get_instructions(each)
        if step.opname == "IMPORT_NAME"
    }
