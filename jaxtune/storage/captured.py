"""Arrays and functions of the host that traced programs hold.

The text of a program has neither of them. They stand at any depth, in the
programs of loops, branches, `jax.jit` and derivatives of the user's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from jaxtune.planning.tracing import Traced
from jaxtune.storage.code_sums import Sums, array_sum, joined, python, sums_of

# callbacks that only show something
HARMLESS = ("debug_callback", "debug_print")


def constants_sum(traced: tuple[Traced, ...]) -> str:
    """Return a sum of all arrays that programs hold, at any depth and in order."""
    known, whole = dict[int, tuple[Any, str]](), hashlib.sha256()
    for program in traced:
        whole.update(_program_sum(program.jaxpr, known).encode())
    return f"sha256:{whole.hexdigest()}"


def _program_sum(program: Any, known: dict[int, tuple[Any, str]]) -> str:
    """Return the sum of a program's arrays.

    Args:
      program: with constants, or without.
      known: sums by the ids of programs, which are kept alive with them: one that is
        called twice counts twice, but is looked through once.
    """
    if id(program) in known:
        return known[id(program)][1]
    found = hashlib.sha256()
    for constant in _own_constants(program):
        found.update(array_sum(constant).encode())
    for equation in _opened(program).eqns:
        for part in _parts(list(equation.params.values())):
            inside = _program_sum(part, known) if _is_program(part) else array_sum(part)
            found.update(f"{equation.primitive} {inside} ".encode())
    known[id(program)] = program, found.hexdigest()
    return known[id(program)][1]


def _own_constants(program: Any) -> Iterator[Any]:
    yield from getattr(program, "consts", ())
    opened = _opened(program)
    for variable in [v for e in opened.eqns for v in e.invars] + list(opened.outvars):
        value: Any = getattr(variable, "val", None)
        # a number is in the text
        if _is_array(value) and np.ndim(value):
            yield value


def _opened(program: Any) -> Any:
    """Return a program without its constants; jax 0.12 has one type for both."""
    return getattr(program, "jaxpr", program)


def _is_program(value: Any) -> bool:
    return hasattr(_opened(value), "eqns")


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray | jax.Array) or (
        hasattr(value, "dtype") and hasattr(value, "__array__")
    )


def _parts(values: Any) -> Iterator[Any]:
    """Yield the programs and the arrays among parameters, in order."""
    for value in values:
        if isinstance(value, tuple | list):
            yield from _parts(value)
        elif isinstance(value, Mapping):
            yield from _parts(value.values())
        elif _is_program(value) or _is_array(value):
            yield value


def callbacks_of(traced: tuple[Traced, ...]) -> Sums:
    """Return the sums of the host's functions that programs call.

    What a callback shows and does not return is left out: `jax.debug` changes no
    number.
    """
    seen: set[int] = set()
    found: dict[str, Any] = {}
    for function in [f for t in traced for f in _callbacks(t.jaxpr, seen)]:
        if any(function is other for other in found.values()):
            continue
        name = getattr(function, "__qualname__", type(function).__name__)
        name = name.replace("<locals>.", "")
        again = sum(other.split("#")[0] == name for other in found)
        found[f"{name}#{again + 1}" if again else name] = function
    known = joined([sums_of(name, function) for name, function in found.items()])
    return known._replace(sums=known.sums | {"python": python()}) if found else known


def _callbacks(program: Any, seen: set[int]) -> Iterator[Any]:
    if id(program) in seen:
        return
    seen.add(id(program))
    for equation in _opened(program).eqns:
        call = equation.params.get("callback")
        if callable(call) and str(equation.primitive) not in HARMLESS:
            # jax.pure_callback wraps the function of the user
            yield getattr(call, "callback_func", call)
        for part in _parts(list(equation.params.values())):
            if _is_program(part):
                yield from _callbacks(part, seen)
