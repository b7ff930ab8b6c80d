"""The values of a traced choice, as the functions of a user see them.

Inside a program a choice is a position in its list, which is data. Numbers are looked
up, so that they arrive as themselves. Anything else arrives as a `Choice`, since a
position that is taken for a value would be silently wrong.
"""

from __future__ import annotations

import numbers
import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.types import Array

Operation = Callable[[Any, Any], Any]


def _by_place(operation: Operation) -> tuple[Operation, Operation]:
    """Return an operation of a choice as a number, and the same from the right."""

    def left(choice: Choice, other: Any) -> Any:
        return operation(choice.__jax_array__(), other)

    def right(choice: Choice, other: Any) -> Any:
        return operation(other, choice.__jax_array__())

    return left, right


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["index"],
    meta_fields=["name", "values", "ordered"],
)
class Choice:
    """One of several listed values, where which one is data.

    It is equal to one of its values in the lanes that have it. An ordinal also has an
    order. Where no value is a number, it counts as its place in the list, ``index``,
    in `jax.lax.switch` and in arithmetic; a table is read by ``table[choice.index]``.

    >>> import jax.numpy as jnp
    >>> import jaxtune as jt
    >>> kind = jt.Choice("kind", ("relu", "tanh"), index=jnp.int32(1))
    >>> bool(kind == "tanh"), bool(kind == "relu")
    (True, False)

    Args:
      name: of the dimension.
      values: what it may be.
      index: ``[]`` int32, the place of its value among them.
      ordered: whether the values have an order.
    """

    def __init__(
        self, name: str, values: tuple[Any, ...], index: Any, ordered: bool = False
    ) -> None:
        self.name, self.values = name, values
        self.index, self.ordered = index, ordered

    # for what looks at the shape and dtype of an index, such as jax.lax.switch
    shape, ndim, dtype = (), 0, np.dtype(np.int32)

    def __eq__(self, value: object) -> Any:
        """Return ``[]`` bool; raise ``ValueError`` for what is not one of its values.

        A whole number is a place in the list, where no value is a number.
        """
        return self.index == self._place(value)

    def __ne__(self, value: object) -> Any:
        """Return ``[]`` bool, the opposite of ``==``."""
        return self.index != self._place(value)

    def __lt__(self, value: object) -> Any:
        """Return whether it comes before a value in the list of an ordinal."""
        return self.index < self._place_in_order(value)

    def __le__(self, value: object) -> Any:
        """Return whether it is a value, or comes before it in an ordinal."""
        return self.index <= self._place_in_order(value)

    def __gt__(self, value: object) -> Any:
        """Return whether it comes after a value in the list of an ordinal."""
        return self.index > self._place_in_order(value)

    def __ge__(self, value: object) -> Any:
        """Return whether it is a value, or comes after it in an ordinal."""
        return self.index >= self._place_in_order(value)

    def __hash__(self) -> int:
        """Refuse: the place in a table of Python is not known."""
        raise TypeError(self._refusal("a key of a dict or a set"))

    def __bool__(self) -> bool:
        """Refuse: a program has one text for all values."""
        raise TypeError(self._refusal("true or false"))

    def __index__(self) -> int:
        """Refuse: Python's lists need to know the place."""
        raise TypeError(self._refusal("an index of Python"))

    def __call__(self, *inputs: Any, **keywords: Any) -> Any:
        """Refuse: which function is called is not known."""
        raise TypeError(self._refusal("called"))

    def __jax_array__(self) -> Array:
        """Return the place of the value; refuse where a value is a number."""
        if any(isinstance(value, numbers.Number) for value in self.values):
            raise TypeError(self._refusal("a number"))
        return jnp.asarray(self.index)

    # a name has no other meaning as a number than its place
    __add__, __radd__ = _by_place(operator.add)
    __sub__, __rsub__ = _by_place(operator.sub)
    __mul__, __rmul__ = _by_place(operator.mul)
    __truediv__, __rtruediv__ = _by_place(operator.truediv)
    __pow__, __rpow__ = _by_place(operator.pow)

    def __repr__(self) -> str:
        return f"Choice({self.name!r}, {list(self.values)!r})"

    def _place(self, value: Any) -> Any:
        """Return the place of a value in the list."""
        if isinstance(value, Choice):
            if value.values != self.values:
                raise ValueError(
                    f"dimension {self.name!r}: it is compared with {value.name!r}, "
                    "which has other values."
                )
            return value.index
        for place, known in enumerate(self.values):
            if known is value or (type(known) is type(value) and known == value):
                return place
        counted = hasattr(value, "dtype") or (
            isinstance(value, int) and not isinstance(value, bool)
        )
        if counted and not any(isinstance(v, numbers.Number) for v in self.values):
            return value
        raise ValueError(
            f"dimension {self.name!r}: it is compared with {value!r}, which is not one "
            f"of its values, {list(self.values)!r}."
        )

    def _place_in_order(self, value: Any) -> Any:
        if not self.ordered:
            raise TypeError(
                f"dimension {self.name!r}: a choice has no order. Use ordinal(...)."
            )
        return self._place(value)

    def _refusal(self, use: str) -> str:
        return (
            f"dimension {self.name!r}: which of {list(self.values)!r} a trial has is "
            f"not known when its program is compiled, so it cannot be {use}. Use "
            f"static=True, which compiles a program for each value; or compare it with "
            f"its values, as in jnp.where(h[{self.name!r}] == {self.values[0]!r}, ...)."
        )


def table_of(values: tuple[Any, ...]) -> np.ndarray | None:
    """Return listed values as 32-bit numbers or booleans; ``None`` if they are not.

    Args:
      values: of a choice.

    Returns:
      ``[k]`` bool, int32 or float32, all different.
    """
    kinds = {_kind(value) for value in values}
    if kinds == {"b"}:
        table = np.asarray(values, bool)
    elif kinds == {"i"}:
        if max(map(abs, values)) >= 2**31:
            return None
        table = np.asarray(values, np.int32)
    elif kinds <= {"i", "f"}:
        with np.errstate(over="ignore"):
            table = np.asarray([float(value) for value in values], np.float32)
        if np.isinf(table).any() and not np.isinf(np.asarray(values, float)).any():
            return None
    else:
        return None
    # numbers that are one number in 32 bits could not be told apart
    return table if len(np.unique(table)) == len(values) else None


def _kind(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "b"
    if isinstance(value, int | np.integer):
        return "i"
    if isinstance(value, float | np.floating):
        return "f"
    return "none" if value is None else "name"


def is_mixed(values: tuple[Any, ...]) -> bool:
    """Return whether a listed value is tested by more than comparing it.

    ``h["x"] is None`` and ``isinstance(h["x"], str)`` would never hold for a `Choice`,
    so such values have to be known when the program is compiled.
    """
    kinds = {_kind(value) for value in values}
    return len(kinds) > 1 and not kinds <= {"i", "f"}


def arrived(name: str, values: tuple[Any, ...], index: Any, ordered: bool) -> Any:
    """Return what a function of the user gets for a traced choice.

    Args:
      name: of the dimension.
      values: what it may be.
      index: ``[]`` int32, the place of a lane's value.
      ordered: whether it is an ordinal.

    Returns:
      A number or a boolean ``[]``, or a `Choice`.
    """
    table = table_of(values)
    if table is None:
        return Choice(name, values, index, ordered)
    return jnp.asarray(table)[index]
