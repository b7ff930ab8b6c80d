"""Checks of arguments at the door: a table of kinds, and one decorator for them all.

A public function says of which kind each of its arguments is, and what is of no such
kind is refused before anything is computed. Values that JAX traces pass as they are.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeGuard, TypeVar

import jax
import numpy as np

P = ParamSpec("P")
Made = TypeVar("Made")

LONGEST = 200  # characters of a value in a message: a list may have a million


class Argument(NamedTuple):
    """The kind of an argument.

    Args:
      words: what follows "must be" in the message, or from ``in`` on "must lie".
      holds: whether a plain value is of this kind.
      way_out: a sentence that says what to use instead; may be empty.
      kept: whether a scalar array stays what it is: a number of Python's would make
        another program of a function that is traced.
    """

    words: str
    holds: Callable[[Any], bool]
    way_out: str = ""
    kept: bool = False


def guarded(**kinds: Argument) -> Callable[[Callable[P, Made]], Callable[P, Made]]:
    """Check the named arguments of a function whenever it is called.

    A scalar of NumPy or JAX arrives as Python's. Defaults are not checked.

    >>> from jaxtune.door import guarded, whole
    >>> @guarded(count=whole(1))
    ... def double(count):
    ...     return 2 * count
    >>> double(3)
    6
    >>> double(0)
    Traceback (most recent call last):
    ValueError: double: count must be a whole number from 1, got 0.
    """

    def taking(function: Callable[P, Made]) -> Callable[P, Made]:
        signature = inspect.signature(function)

        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> Made:
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError:  # Python says which argument is missing, or unknown
                return function(*args, **kwargs)
            given = bound.arguments
            for name in kinds.keys() & given.keys():
                given[name] = demand(function.__name__, name, given[name], kinds[name])
            return function(*bound.args, **bound.kwargs)

        return checked

    return taking


def without(**reasons: str) -> Callable[[Callable[P, Made]], Callable[P, Made]]:
    """Refuse keywords that a function does not have, and that a user may expect.

    >>> from jaxtune.door import without
    >>> @without(goals="Use metric=.")
    ... def measure(metric):
    ...     return metric
    >>> measure(goals=["loss"])
    Traceback (most recent call last):
    ValueError: measure: it takes no goals=. Use metric=.

    Args:
      reasons: keyword to the sentence that says what to do instead.
    """

    def taking(function: Callable[P, Made]) -> Callable[P, Made]:
        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> Made:
            for name in kwargs:
                if name in reasons:
                    raise ValueError(
                        f"{function.__name__}: it takes no {name}=. {reasons[name]}"
                    )
            return function(*args, **kwargs)

        return checked

    return taking


def demand(where: str, argument: str, value: Any, kind: Argument) -> Any:
    """Return a value of a kind, a scalar array as a number of Python's.

    A value that JAX traces has no number yet, and only its dtype is looked at.

    Args:
      where: the function, for the message.
      argument: its name.
      value: what was given.
      kind: what it must be.

    Raises:
      ValueError: it is not of this kind.
    """
    found = as_plain(value)
    if not kind.holds(found):
        way_out = f" {kind.way_out}" if kind.way_out else ""
        verb = "lie" if kind.words.startswith("in ") else "be"
        wanted = f"{argument} must {verb} {kind.words}"
        raise ValueError(f"{where}: {wanted}, got {shown(value)}.{way_out}")
    return value if kind.kept else found


def as_plain(value: Any) -> Any:
    """Return a scalar of NumPy or JAX as Python's, and anything else as it is."""
    arrays = isinstance(value, np.generic | np.ndarray | jax.Array)
    if not arrays or isinstance(value, jax.core.Tracer) or value.ndim:
        return value
    if jax.dtypes.issubdtype(value.dtype, jax.dtypes.extended):  # keys
        return value
    # the number formats of JAX are of no kind that NumPy knows
    number = jax.dtypes.issubdtype(value.dtype, np.number)
    return value.item() if number or value.dtype.kind in "bU" else value


def shown(value: Any) -> str:
    """Return how a value looks in a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def is_whole(value: Any, least: int) -> TypeGuard[int]:
    """Return whether the value is a whole number (no ``bool``) from ``least``."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return whole and bool(value >= least)


def is_finite(value: Any) -> bool:
    """Return whether a plain value is a number and finite, and no ``bool``."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and (isinstance(value, int) or math.isfinite(value))


def has_real_numbers(array: Any, booleans: bool = False) -> bool:
    """Return whether an array, traced or not, has a dtype of real numbers."""
    known = (np.integer, np.floating, np.bool_)[: 3 if booleans else 2]
    return any(jax.dtypes.issubdtype(array.dtype, kind) for kind in known)


def whole(least: int = 1, most: int | None = None) -> Argument:
    """Return the kind of whole numbers from ``least``, to ``most`` if it is given."""
    end = "" if most is None else f" to {most}"

    def holds(value: Any) -> bool:
        return is_whole(value, least) and (most is None or value <= most)

    return Argument(f"a whole number from {least}{end}", holds)


def real(
    least: float = -math.inf,
    most: float = math.inf,
    *,
    above: float = -math.inf,
    below: float = math.inf,
    traced: bool = False,
) -> Argument:
    """Return the kind of finite numbers, between bounds.

    Args:
      least: the smallest of them.
      most: the largest.
      above: a number that all are above.
      below: a number that all are below.
      traced: whether values that JAX traces, or arrays of such numbers, are taken.
    """
    low, high = max(least, above), min(most, below)
    left, right = "(["[low == least], ")]"[high == most]
    words = "a finite number"
    if math.isfinite(low) and math.isfinite(high):
        words = f"in {left}{low:g}, {high:g}{right}"
    elif math.isfinite(low):
        words = f"a number {'of at least' if low == least else 'above'} {low:g}"

    def one(value: Any) -> bool:
        inside = is_finite(value) and least <= value <= most and above < value < below
        return bool(inside)

    def holds(value: Any) -> bool:
        if traced and isinstance(value, jax.core.Tracer):
            return has_real_numbers(value)
        if traced and isinstance(value, np.ndarray | jax.Array):
            return has_real_numbers(value) and all(map(one, np.ravel(value).tolist()))
        return one(value)

    return Argument(words, holds, kept=traced)


def one_of(*names: str) -> Argument:
    """Return the kind of the strings that are list_of."""
    quoted = ", ".join(map(repr, names[:-1]))
    words = f"{quoted} or {names[-1]!r}" if quoted else repr(names[-1])
    return Argument(words, lambda value: isinstance(value, str) and value in names)


def an(words: str, types: type | tuple[type, ...], way_out: str = "") -> Argument:
    """Return the kind of the objects of some types."""
    return Argument(words, lambda value: isinstance(value, types), way_out)


def either(*kinds: Argument) -> Argument:
    """Return the kind of whatever is of one of some kinds."""
    return Argument(
        ", or ".join(kind.words for kind in kinds),
        lambda value: any(kind.holds(value) for kind in kinds),
        next((kind.way_out for kind in kinds if kind.way_out), ""),
        any(kind.kept for kind in kinds),
    )


def optional(kind: Argument) -> Argument:
    """Return a kind that ``None``, the default of many arguments, is of too."""
    return kind._replace(holds=lambda value: value is None or kind.holds(value))


def list_of(of: Argument, least: int = 0) -> Argument:
    """Return the kind of lists or tuples of at least ``least`` members of a kind."""

    def holds(value: Any) -> bool:
        row = isinstance(value, np.ndarray | jax.Array) and value.ndim == 1
        if row and isinstance(value, jax.core.Tracer):  # no number, and no length
            return of.kept and has_real_numbers(value)
        lists = row or isinstance(value, list | tuple | range)
        if not lists or len(value) < least:
            return False
        return all(of.holds(as_plain(one)) for one in value)

    enough = f" ({least} or more)" if least else ""
    words = f"a list{enough}, each {of.words}"
    return Argument(words, holds, of.way_out, of.kept)


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike) and bool(os.fspath(value))


def _are_names(value: Any) -> bool:
    several = isinstance(value, Collection) and not isinstance(value, str | bytes)
    return several and all(isinstance(name, str) for name in value)


FLAG = an("True or False", bool)
NAME = Argument("a name", lambda value: isinstance(value, str) and bool(value))
PATH = Argument("a path", _is_path, "Use a string, such as 'runs/digits', or a Path.")
FUNCTION = Argument("a function", callable)
MAPPING = an("a dict", Mapping)
NAMES = list_of(NAME)
SOME_NAMES = Argument("a list of names", _are_names)  # in any order, also a set


def a_key() -> Argument:
    """Return the kind of one random key, typed or, as earlier ones of JAX, raw."""

    def holds(value: Any) -> bool:
        if not isinstance(value, jax.Array | np.ndarray):
            return False
        typed = jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key)
        raw = value.dtype == np.uint32 and value.ndim >= 1
        return bool(typed or raw)

    return Argument("a random key", holds, "Use jax.random.key(0).")


KEY = a_key()


def check_each(where: str, values: Iterable[tuple[str, Any, Argument]]) -> None:
    """Check several values at once, as fields of an object that is no function."""
    for name, value, kind in values:
        demand(where, name, value, kind)
