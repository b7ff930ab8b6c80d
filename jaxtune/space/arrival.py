"""The values of a traced choice, as the functions of a user see them.

Inside a program a choice is a position in its list, which is data. Numbers are looked
up, so that they arrive as themselves. Anything else arrives as a `Choice`, since a
position that is taken for a value would be silently wrong.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.space.values import held
from jaxtune.types import Array


@jax.tree_util.register_pytree_node_class
class Choice:
    """One of several listed values, where which one is data.

    It is equal to one of its values in the lanes that have it, and an ordinal has an
    order too. Anything else raises, since its place in the list could be taken for a
    value; the place is ``index``, as in ``table[choice.index]``.

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

    def tree_flatten(self) -> tuple[Any, Any]:
        """Return the place as data, and all else."""
        known = self.name, self.values, self.ordered, exact_type(self.values)
        return (self.index,), known

    @classmethod
    def tree_unflatten(cls, known: Any, children: Any) -> Choice:
        """Return the choice with another place."""
        return cls(known[0], known[1], children[0], known[2])

    def __eq__(self, value: object) -> Any:
        """Return ``[]`` bool; ``ValueError`` for what is not one of its values."""
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

    def __str__(self) -> str:
        """Refuse: it would be the same text for all values."""
        raise TypeError(self._refusal("a text"))

    def __format__(self, form: str) -> str:
        """Refuse: it would be the same text for all values."""
        raise TypeError(self._refusal("a text"))

    def __jax_array__(self) -> Array:
        """Refuse: its place in the list would be taken for its value."""
        raise TypeError(self._refusal("a number"))

    def _no_number(self, *others: Any) -> Any:
        raise TypeError(self._refusal("a number"))

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _no_number
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = _no_number
    __mod__ = __rmod__ = __pow__ = __rpow__ = __matmul__ = __rmatmul__ = _no_number
    __neg__ = __abs__ = __int__ = __float__ = __invert__ = _no_number

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
        value = value.item() if isinstance(value, np.generic) else value
        for place, known in enumerate(self.values):
            if known is value or (type(known) is type(value) and known == value):
                return place
        raise ValueError(
            f"dimension {self.name!r}: it is compared with {value!r}, which is not one "
            f"of its values, {list(self.values)!r}. (h[{self.name!r}].index is its "
            "place in this list.)"
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
            f"its values: jnp.where(h[{self.name!r}] == {self.values[0]!r}, ...); "
            f"or use its place in the list, h[{self.name!r}].index, in jax.lax.switch."
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
        return np.asarray(values, bool)
    if not kinds <= {"i", "f"}:
        return None
    if kinds == {"i"}:
        if max(map(abs, values)) >= 2**31:
            return None
        return np.asarray(values, np.int32)
    numbers = [float(value) for value in values]
    if not all(math.isinf(number) or held(number) for number in numbers):
        return None
    table = np.asarray(numbers, np.float32)
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
    so such values have to be known when the program is compiled. So have numbers that
    32 bits do not hold.
    """
    kinds = {_kind(value) for value in values}
    if kinds <= {"i", "f", "b"}:
        return table_of(values) is None
    return len(kinds) > 1


def exact_type(value: Any) -> Any:
    """Return what tells values apart that are equal: ``1``, ``True`` and ``1.0``.

    Programs are found by the values that they are compiled for, and Python finds these
    equal, as it does ``0.0`` and ``-0.0``, inside tuples too.
    """
    if isinstance(value, tuple | list | frozenset):
        return type(value), tuple(map(exact_type, value))
    if isinstance(value, float):
        return float, repr(value)
    return type(value)


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
