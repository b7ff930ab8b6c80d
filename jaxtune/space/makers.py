"""Makers of dimensions, with all checks of a definition.

An error must name the dimension, and only the space knows its name. So a maker that is
given bad arguments returns the error, and `jaxtune.Space` raises it with the name.
Any other use of the definition raises it as well.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, ParamSpec

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.door import FLAG, Argument, demand, shown
from jaxtune.environment import on_host
from jaxtune.space.belief import Near, with_belief
from jaxtune.space.dimension import Dimension, to_python
from jaxtune.space.ranges import (
    check_inside,
    check_order,
    check_range,
    real_number,
    whole_number,
)
from jaxtune.space.scales import SCALES
from jaxtune.space.values import USUAL, held, in_order, is_number, listed, plain, usual

MAX_VALUES = 2**20  # integers that a float32 coordinate tells apart
MAX_LOG_VALUE = 2**16  # the same on a log scale, where cells shrink like 1 / k


def _is_constant(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return not isinstance(value, float) or math.isfinite(value)


CONSTANT = Argument(
    "finite, and hashable", _is_constant, "Use tuples, strings or numbers."
)


class Invalid:
    """An invalid definition, which raises its error wherever it is used."""

    def __init__(self, error: ValueError) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        raise self._error


P = ParamSpec("P")


def _named_later(maker: Callable[P, Dimension]) -> Callable[P, Dimension]:
    @wraps(maker)
    def make(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            # plain numbers also inside a function that is traced
            with jax.ensure_compile_time_eval():
                return maker(*args, **kwargs)
        except ValueError as error:
            return Invalid(error)

    return make


@_named_later
def uniform(
    low: float,
    high: float,
    *,
    default: float | None = None,
    tier: int = 2,
    prior: Near | None = None,
) -> Dimension:
    """Define a real number, every value of the range equally likely.

    >>> import jaxtune as jt
    >>> space = jt.Space(dropout=jt.uniform(0.0, 0.5))
    >>> space.values(space.decode([[0.5]]), trial=0)  # the middle of the unit cube
    {'dropout': 0.25}

    Args:
      low: smallest value.
      high: largest value.
      default: value when it is not searched; the middle of the range if not given.
      tier: your prior guess of its importance, 1 (highest) to 4.
      prior: where good values are expected, from `near`.

    Returns:
      A dimension.

    Raises:
      ValueError: (raised by `Space`, with the name) bounds that are not finite or in
        the wrong order, a range that is too wide or too narrow for float32, or a
        default outside it.
    """
    dim = _continuous("uniform", "linear", low, high, default, tier)
    return with_belief("uniform", dim, prior, default is None)


@_named_later
def log_uniform(
    low: float,
    high: float,
    *,
    default: float | None = None,
    tier: int = 2,
    prior: Near | None = None,
) -> Dimension:
    """Define a positive number, every order of magnitude equally likely.

    >>> import jaxtune as jt
    >>> space = jt.Space(learning_rate=jt.log_uniform(1e-4, 1.0))
    >>> space.values(space.decode([[0.5]]), trial=0)
    {'learning_rate': 0.01}

    Args:
      low: smallest value, above 0.
      high: largest value.
      default: value when it is not searched; the geometric mean if not given.
      tier: your prior guess of its importance, 1 (highest) to 4.
      prior: where good values are expected, from `near`.

    Returns:
      A dimension.

    Raises:
      ValueError: (raised by `Space`, with the name) as `uniform`, or ``low <=
        0``.
    """
    dim = _continuous("log_uniform", "log", low, high, default, tier)
    return with_belief("log_uniform", dim, prior, default is None)


@_named_later
def reverse_log_uniform(
    low: float,
    high: float,
    *,
    default: float | None = None,
    tier: int = 2,
    prior: Near | None = None,
) -> Dimension:
    """Define a number below 1 on the scale of ``log(1 - x)``, such as a momentum.

    0.9, 0.99 and 0.999 are equally far apart: as the momentum of an optimiser they
    average over 10, 100 and 1000 steps.

    >>> import jaxtune as jt
    >>> space = jt.Space(momentum=jt.reverse_log_uniform(0.9, 0.999))
    >>> round(space["momentum"].default, 6)
    0.99

    Args:
      low: smallest value.
      high: largest value, below 1.
      default: value when it is not searched; the middle on this scale if not given.
      tier: your prior guess of its importance, 1 (highest) to 4.
      prior: where good values are expected, from `near`.

    Returns:
      A dimension.

    Raises:
      ValueError: (raised by `Space`, with the name) as `uniform`, or ``high >=
        1``.
    """
    dim = _continuous("reverse_log_uniform", "reverse_log", low, high, default, tier)
    return with_belief("reverse_log_uniform", dim, prior, default is None)


@_named_later
def integer(
    low: int,
    high: int,
    *,
    scale: str = "linear",
    default: int | None = None,
    tier: int = 2,
    static: bool = False,
    prior: Near | None = None,
) -> Dimension:
    """Define a whole number from ``low`` to ``high``, both included.

    On the linear scale every integer is equally likely. On the log scale ``k`` has a
    probability proportional to ``log((k + 1) / k)``.

    >>> import jaxtune as jt
    >>> units = jt.integer(16, 256, scale="log")
    >>> space = jt.Space(layers=jt.integer(1, 4), units=units)
    >>> space.values(space.decode([[0.0, 0.5]]), trial=0)
    {'layers': 1, 'units': 64}

    Args:
      low: smallest value.
      high: largest value, itself included.
      scale: ``"linear"`` or ``"log"``.
      default: value when it is not searched; the middle on the scale if not given.
      tier: your prior guess of its importance, 1 (highest) to 4.
      static: compile one program per value instead of passing the value as data.
      prior: where good values are expected, from `near`.

    Returns:
      A dimension.

    Raises:
      ValueError: (raised by `Space`, with the name) bounds that are not whole or in
        the wrong order, ``low < 1`` on the log scale, a range too wide for float32
        coordinates, or a default outside.
    """
    where = "integer"
    low, high = whole_number(where, "low", low), whole_number(where, "high", high)
    if scale not in ("linear", "log"):
        raise ValueError(f"{where}: got scale={scale!r}. Use 'linear' or 'log'.")
    check_order(where, low, high)
    if scale == "log" and low < 1:
        raise ValueError(
            f"{where} on the log scale needs low >= 1, got low={low}. "
            "Use scale='linear', or low=1."
        )
    if scale == "log" and high > MAX_LOG_VALUE:
        raise ValueError(
            f"{where} on the log scale needs high <= {MAX_LOG_VALUE}, got high={high}: "
            "float32 coordinates cannot tell larger neighbours apart. Use "
            "power_of_two, or log_uniform and round."
        )
    if high - low >= MAX_VALUES or max(abs(low), abs(high)) > 4 * MAX_VALUES:
        raise ValueError(
            f"{where} needs at most {MAX_VALUES} values within +-{4 * MAX_VALUES}, got "
            f"low={low}, high={high}. Use power_of_two, or uniform and round."
        )
    if default is not None:
        default = whole_number(where, "default", default)
        check_inside(where, default, low, high)
    dim = _indexed("integer", scale, low, high, (), default, tier, static)
    return with_belief(where, dim, prior, default is None)


@_named_later
def power_of_two(
    low: int,
    high: int,
    *,
    default: int | None = None,
    tier: int = 2,
    static: bool = False,
    prior: Near | None = None,
) -> Dimension:
    """Define one of ``low, 2 * low, 4 * low, ..., high``, each equally likely.

    >>> import jaxtune as jt
    >>> jt.power_of_two(16, 256).members
    (16, 32, 64, 128, 256)

    Args:
      low: smallest value, a power of two.
      high: largest value, a power of two.
      default: value when it is not searched; the middle power if not given.
      tier: your prior guess of its importance, 1 (highest) to 4.
      static: compile one program per value instead of passing the value as data.
      prior: where good values are expected, from `near`.

    Returns:
      A dimension.

    Raises:
      ValueError: (raised by `Space`, with the name) a bound or default that is not a
        power of two between 1 and 2**30, bounds in the wrong order, or a default
        outside them.
    """
    where = "power_of_two"
    first, last = _exponent(where, "low", low), _exponent(where, "high", high)
    check_order(where, low, high)
    if default is not None:
        default = 1 << _exponent(where, "default", default)
        check_inside(where, default, low, high)
    dim = _indexed("power_of_two", "linear", first, last, (), default, tier, static)
    return with_belief(where, dim, prior, default is None)


@_named_later
def ordinal(
    values: Iterable[Any],
    *,
    default: Any = USUAL,
    tier: int = 2,
    static: bool = False,
    prior: Near | None = None,
) -> Dimension:
    """Define one of several ordered values, each equally likely.

    Zooming keeps a run of neighbours. Numbers, also infinite ones, are decoded to
    themselves, anything else to its index in the list.

    >>> import jaxtune as jt
    >>> space = jt.Space(decay=jt.ordinal([0.0, 0.1, 1.0]))
    >>> space.restrict(decay=(0.1, 1.0)).choices
    {'decay': (0.1, 1.0)}

    Args:
      values: the values in order, all different.
      default: value when it is not searched; the middle one if not given.
      tier: your prior guess of its importance, 1 (highest) to 4.
      static: compile one program per value instead of passing the value as data.
      prior: where good values are expected, from `near`.

    Returns:
      A dimension.

    Raises:
      ValueError: (raised by `Space`, with the name) no values, two alike, one that
        cannot be hashed, NaN, a number that a program would change, or a default that
        is not among them.
    """
    choices, numeric = in_order(listed("ordinal", values))
    value = usual("ordinal", choices, default, len(choices) // 2)
    kind = "ordinal" if numeric else "named_ordinal"
    dim = _indexed(kind, "linear", 0, len(choices) - 1, choices, value, tier, static)
    return with_belief("ordinal", dim, prior, default is USUAL)


@_named_later
def choice(
    values: Iterable[Any],
    *,
    default: Any = USUAL,
    tier: int = 2,
    static: bool = False,
    prior: Near | None = None,
) -> Dimension:
    """Define one of several values without an order, each equally likely.

    It is decoded to its index in the list, see `Hparams.choices`.

    >>> import jaxtune as jt
    >>> space = jt.Space(activation=jt.choice(["relu", "tanh", "gelu"]))
    >>> hparams = space.decode([[0.9]])
    >>> int(hparams["activation"][0]), space.values(hparams, trial=0)
    (2, {'activation': 'gelu'})

    Args:
      values: the values, all different.
      default: value when it is not searched; the first if not given.
      tier: your prior guess of its importance, 1 (highest) to 4.
      static: the value itself reaches the model, as a Python object, and one program is
        compiled per value; otherwise its index is data inside one program.
      prior: where good values are expected, from `near`.

    Returns:
      A dimension.

    Raises:
      ValueError: (raised by `Space`, with the name) no values, a set, two alike, one
        that cannot be hashed, NaN, or a default that is not among them.
    """
    choices = listed("choice", values)
    value, last = usual("choice", choices, default, 0), len(choices) - 1
    dim = _indexed("choice", "linear", 0, last, choices, value, tier, static)
    return with_belief("choice", dim, prior, default is USUAL)


@_named_later
def fixed(value: Any) -> Dimension:
    """Define a hyperparameter that is not searched and takes no coordinate.

    It reaches your functions as it is, a constant of Python.

    >>> import jaxtune as jt
    >>> space = jt.Space(learning_rate=jt.log_uniform(1e-4, 1.0), classes=jt.fixed(10))
    >>> space.dim, space.searched
    (1, ('learning_rate',))

    Args:
      value: the value that every trial has.

    Returns:
      A dimension that does not count in ``space.dim``.

    Raises:
      ValueError: (raised by `Space`, with the name) a number that is not finite, or a
        value that cannot be hashed.
    """
    value = demand("fixed", "value", plain(value), CONSTANT)
    if not is_number(value):
        return _checked(choice([value], static=True), searched=False)
    if not isinstance(value, int):
        # a number that float32 does not have is known to programs alone
        if math.isfinite(value) and not held(value):
            return _checked(choice([value], static=True), searched=False)
        return _checked(uniform(value, value), searched=False)
    if abs(value) <= 4 * MAX_VALUES:
        return _checked(integer(value, value), searched=False)
    if abs(value) >= 2**31:
        return _checked(choice([value], static=True), searched=False)
    whole = _indexed("constant", "linear", value, value, (), value, 2, False)
    return _checked(whole, searched=False)


@_named_later
def when(dimension: Dimension, **conditions: Any) -> Dimension:
    """Make a dimension matter only for some values of other dimensions.

    In a trial where it does not matter it has its default, no value is shown in the
    table, and `jaxtune.zoom` ignores the trial for this dimension.

    >>> import jaxtune as jt
    >>> space = jt.Space(
    ...     optimizer=jt.choice(["momentum", "adam"]),
    ...     beta1=jt.when(jt.reverse_log_uniform(0.8, 0.99), optimizer="adam"),
    ... )
    >>> space.values(space.decode([[0.0, 0.5]]), 0)
    {'optimizer': 'momentum'}

    Args:
      dimension: the dimension.
      conditions: name of a choice or an ordinal to one of its values, or to a list of
        several; a tuple that is one of its values is that value. The dimension matters
        if all conditions hold.

    Returns:
      The conditional dimension.

    Raises:
      ValueError: (raised by `Space`, with the name) no condition, a name that is
        not in the space or is no choice, or a value that is not one of its own.
    """
    if isinstance(dimension, Invalid):
        raise dimension._error
    if not isinstance(dimension, Dimension) or not dimension.searched:
        raise ValueError(f"when needs a searched dimension, got {dimension!r}.")
    if not conditions:
        raise ValueError("when needs a condition, such as optimizer='adam'.")
    pairs = tuple((name, _compared(values)) for name, values in conditions.items())
    return dataclasses.replace(dimension, condition=dimension.condition + pairs)


def _compared(values: Any) -> tuple[Any, ...]:
    """Return the values of a condition; a tuple may be one of them, see `Space`."""
    several = (list, set, frozenset, range, np.ndarray)
    values = plain(values)
    # tuples, since a condition is part of a pytree's static data, which is hashed
    return tuple(map(plain, values)) if isinstance(values, several) else (values,)


def _checked(dimension: Dimension, **changes: Any) -> Dimension:
    if isinstance(dimension, Invalid):
        raise dimension._error
    return dataclasses.replace(dimension, **changes)


def _continuous(
    where: str,
    scale: str,
    low: float,
    high: float,
    default: float | None,
    tier: int,
) -> Dimension:
    low, high = real_number(where, "low", low), real_number(where, "high", high)
    check_range(where, scale, low, high)
    if default is None:
        form = SCALES[scale]
        # halves first, whose sum cannot overflow
        ends = [form.forward(jnp.float32(end)) for end in (low, high)]
        middle = ends[0] / 2 + ends[1] / 2
        # the float32 middle of a narrow range may lie outside the float64 bounds
        default = min(max(to_python(form.inverse(middle)), low), high)
    else:
        default = real_number(where, "default", default)
        check_inside(where, default, low, high)
    # float64 here, so that bounds are shown to the user as they were given
    return Dimension(
        low=np.asarray(low, np.float64),
        high=np.asarray(high, np.float64),
        allowed=None,
        kind="continuous",
        scale=scale,
        choices=(),
        default=default,
        tier=_tier(where, tier),
        static=False,
        searched=True,
    )


def _indexed(
    kind: str,
    scale: str,
    low: int,
    high: int,
    choices: tuple[Any, ...],
    default: Any,
    tier: int,
    static: bool,
) -> Dimension:
    dimension = Dimension(
        low=np.asarray(low, np.int32),
        high=np.asarray(high, np.int32),
        allowed=np.ones(len(choices), bool) if kind == "choice" else None,
        kind=kind,
        scale=scale,
        choices=choices,
        default=default,
        tier=_tier(kind, tier),
        static=demand(kind, "static", static, FLAG),
        searched=True,
    )
    # of listed values None may be the default
    if choices or default is not None:
        return dimension
    with on_host():
        middle = dimension.value(dimension.decode(jnp.float32(0.5)))
    return dataclasses.replace(dimension, default=middle)


def _exponent(where: str, name: str, value: Any) -> int:
    value = whole_number(where, name, value)
    if not 1 <= value <= 2**30 or value & (value - 1):
        raise ValueError(
            f"{where} needs a power of two from 1 to 2**30 for {name}, got {value}. "
            "Use 16, 32, 64, ..., or integer(..., scale='log')."
        )
    return value.bit_length() - 1


def _tier(where: str, tier: Any) -> int:
    found = plain(tier)
    if not is_number(found) or found not in (1, 2, 3, 4):
        raise ValueError(
            f"{where} needs a tier of 1 (most important), 2, 3 or 4, got {shown(tier)}."
        )
    return int(found)
