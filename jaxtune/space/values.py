"""The values of a choice or an ordinal, checked, and scalars as Python's."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxtune.space.dimension import to_python

INT32 = 2**31


class Usual:
    """The default that is not given; ``None`` may be one of the values."""

    def __repr__(self) -> str:
        return "..."


USUAL = Usual()


def plain(value: Any) -> Any:
    """Return a scalar of NumPy or JAX as Python's, so that it prints and compares so.

    Anything else is returned as it is.
    """
    arrays = isinstance(value, np.generic | np.ndarray | jax.Array)
    if not arrays or isinstance(value, jax.core.Tracer) or value.ndim:
        return value
    # booleans, numbers and strings; a date has no plain form
    return to_python(value) if np.asarray(value).dtype.kind in "biufU" else value


def is_number(value: Any) -> bool:
    """Return whether a plain value is an ``int`` or a ``float``, and no ``bool``."""
    # True is an int to Python, but uniform(False, True) is a mistake
    return isinstance(value, int | float) and not isinstance(value, bool)


def listed(where: str, values: Iterable[Any]) -> tuple[Any, ...]:
    """Return the values of a choice or an ordinal.

    Raises:
      ValueError: no list, none, two alike, one that cannot be hashed, or NaN.
    """
    # a string is iterable too: its letters are hardly meant
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise ValueError(
            f"{where} needs a list of values, got {values!r}. Use [{values!r}, ...]."
        )
    if isinstance(values, set | frozenset):
        raise ValueError(
            f"{where}: a set has no order, so that another process would search other "
            f"values at the same points. Use a list: {_in_order(values)!r}."
        )
    if isinstance(values, Mapping):
        raise ValueError(
            f"{where}: got a dict. Use a list of its keys, {list(values)!r}, and look "
            "its values up in your function."
        )
    choices = tuple(map(plain, values))
    if not choices:
        raise ValueError(f"{where} needs at least one value, got none.")
    for value in choices:
        if isinstance(value, float) and math.isnan(value):
            raise ValueError(
                f"{where}: nan equals nothing, not even itself. Use None or a string."
            )
    try:
        distinct = len(set(choices))
    except TypeError as error:
        raise ValueError(
            f"{where}: {error}, in {list(choices)!r}. Use tuples, strings or numbers."
        ) from None
    if distinct < len(choices):
        raise ValueError(f"{where} {_twice(choices)}")
    return choices


def _in_order(values: Iterable[Any]) -> list[Any]:
    """Return the values of a set in an order that is the same in every process."""
    return sorted(values, key=lambda value: (type(value).__name__, repr(value)))


def _twice(choices: Sequence[Any]) -> str:
    second = next(i for i, value in enumerate(choices) if value in choices[:i])
    first, again = choices[choices.index(choices[second])], choices[second]
    if type(first) is type(again):
        return f"has {again!r} twice. List every value once."
    return (
        f"has {first!r} and {again!r}, which are equal in Python. Use one of them, or "
        "strings."
    )


def usual(where: str, choices: Sequence[Any], default: Any, middle: int) -> Any:
    """Return the default of listed values: the given one, or that at an index.

    Raises:
      ValueError: a default that is not among the values.
    """
    default = plain(default)
    if default is USUAL or (default is None and None not in choices):
        return choices[middle]
    if not isinstance(default, list | dict | set | np.ndarray) and default in choices:
        # the listed one: True and 1 are equal, and not the same
        return choices[choices.index(default)]
    raise ValueError(f"{where}: default={default!r} is not one of {list(choices)!r}.")


def in_order(choices: Sequence[Any]) -> tuple[tuple[Any, ...], bool]:
    """Return the values of an ordinal, and whether they are decoded to themselves.

    Raises:
      ValueError: numbers that a program could not hold, or that it could not tell
        apart; or booleans among numbers.
    """
    # fractions and decimals too, which are numbers to whoever lists them
    real = [
        isinstance(v, numbers.Number) and not isinstance(v, bool | complex)
        for v in choices
    ]
    mixed = [v for v in choices if isinstance(v, bool)]
    if mixed and any(real):
        raise ValueError(
            f"ordinal: {mixed[0]!r} stands among numbers. Use {int(mixed[0])}."
        )
    if not all(real):
        return tuple(choices), False
    found = tuple(v if isinstance(v, int) else float(v) for v in choices)
    whole = all(isinstance(value, int) for value in found)
    for value in found:
        _check_held(value, whole)
    if len({np.float32(value) for value in found}) < len(found) and not whole:
        raise ValueError(f"ordinal: two of {found} are the same number in float32.")
    return found, True


def _check_held(value: float, whole: bool) -> None:
    """Raise ``ValueError`` for a number that a program would change."""
    if whole:
        if not -INT32 <= value < INT32:
            raise ValueError(
                f"ordinal: {value} does not fit into the 32 bits that programs "
                f"compute in. Use real numbers, such as {value}.0."
            )
        return
    if abs(value) == math.inf:  # infinity is a value of its own
        return
    if not held(value):
        raise ValueError(
            f"ordinal: float32 does not hold {value!r}. Use numbers between "
            "1.2e-38 and 3.4e38, or their logarithms."
        )
    if isinstance(value, int) and int(np.float32(value)) != value:
        raise ValueError(
            f"ordinal: {value} among real numbers becomes {np.float32(value):.0f} in "
            "float32. Use whole numbers only, or one that float32 holds."
        )


def held(value: float) -> bool:
    """Return whether float32 holds a number as a finite one, and no zero for others."""
    limits = np.finfo(np.float32)
    # subnormal numbers are zero in XLA's programs
    return value == 0 or bool(float(limits.tiny) <= abs(value) <= float(limits.max))
