"""The arguments ``constraints=`` and ``goals=`` of a search, checked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jaxtune.goals.limits import SIGNS, Limit
from jaxtune.goals.order import Goal
from jaxtune.goals.requirement import Requirement
from jaxtune.ranking import MODES

EXAMPLE = '{"parameters": ("<=", 20_000)}'


class Constraints(NamedTuple):
    """The constraints of a search.

    Args:
      limits: bounds of metrics and sizes, by which trials rank.
      rules: requirements of the hyperparameters, which all trials meet.
    """

    limits: tuple[Limit, ...] = ()
    rules: tuple[Requirement, ...] = ()


def as_constraints(given: Any) -> Constraints:
    """Return constraints that were given as a dict, a requirement, or a list of both.

    >>> from jaxtune.goals.arguments import as_constraints
    >>> [str(limit) for limit in as_constraints({"loss": ("<=", 0.5)}).limits]
    ['loss <= 0.5']

    Raises:
      ValueError: anything else, with an example.
    """
    if isinstance(given, Constraints):
        return given
    parts = list(given) if isinstance(given, list | tuple) else [given]
    limits: list[Limit] = []
    rules: list[Requirement] = []
    for part in [] if given is None else parts:
        if isinstance(part, Requirement):
            rules.append(part)
        elif isinstance(part, Mapping):
            limits += _limits(part)
        elif callable(part):
            raise ValueError(
                f"constraints: got the function {part!r}. Use "
                "jt.require(function), such as "
                'jt.require(lambda h: h["a"] < h["b"]).'
            )
        else:
            raise ValueError(
                f"constraints: got {part!r}. Use {EXAMPLE}, jt.require(function), or a "
                "list of both."
            )
    return Constraints(tuple(limits), tuple(rules))


def _limits(given: Mapping[Any, Any]) -> Iterator[Limit]:
    for name, limit in given.items():
        if not isinstance(name, str):
            raise ValueError(
                f"constraints: got the name {name!r}. Use the name of a metric, "
                f"'parameters' or 'flops', such as {EXAMPLE}."
            )
        pair = isinstance(limit, tuple | list) and len(limit) == 2
        relation, bound = limit if pair else ("", None)
        if not isinstance(relation, str) or relation not in SIGNS:
            raise ValueError(
                f"constraints: {name!r} has {limit!r}. Use a pair of '<=' or '>=' and "
                f"a number, such as {EXAMPLE}."
            )
        number: Any = bound
        if getattr(bound, "shape", None) == ():  # of NumPy or JAX
            number = number.item()
        real = isinstance(number, int | float) and not isinstance(number, bool)
        if not real or not math.isfinite(number):
            raise ValueError(
                f"constraints: {name!r} has the bound {bound!r}. Use a finite number, "
                f"such as {EXAMPLE}."
            )
        yield Limit(name, relation, float(number))


def as_goals(given: Any, known: Mapping[str, str]) -> tuple[Goal, ...]:
    """Return goals that were given as names, or pairs of a name and a mode.

    >>> from jaxtune.goals.arguments import as_goals
    >>> as_goals(["error", ("speed", "max")], {"error": "min"})
    (Goal(name='error', mode='min'), Goal(name='speed', mode='max'))

    Args:
      given: the argument.
      known: name of a metric or size to its mode.

    Raises:
      ValueError: anything else, or a name whose mode is not known.
    """
    if given is None:
        return ()
    if not isinstance(given, list | tuple) or _is_pair(given):
        raise ValueError(
            f"goals: got {given!r}. Use a list of names, such as "
            '["accuracy", "parameters"].'
        )
    goals = tuple(_goal(part, known) for part in given)
    names = [goal.name for goal in goals]
    if len(goals) < 2:
        raise ValueError(
            f"goals: got {given!r}. Use two or more; for one there are metric= and "
            "mode=."
        )
    if len(set(names)) < len(names):
        raise ValueError(f"goals: got {given!r}. Use each name once.")
    return goals


def _is_pair(given: Sequence[Any]) -> bool:
    pair = isinstance(given, tuple) and len(given) == 2
    return pair and isinstance(given[1], str) and given[1] in MODES


def _goal(given: Any, known: Mapping[str, str]) -> Goal:
    if isinstance(given, Goal):
        return given
    pair = isinstance(given, tuple | list) and len(given) == 2
    name, mode = given if pair else (given, None)
    if not isinstance(name, str):
        raise ValueError(
            f"goals: got {given!r}. Use the name of a metric, 'parameters' or 'flops', "
            "or a pair such as ('loss', 'min')."
        )
    mode = known.get(name) if mode is None else mode
    if mode is None:
        raise ValueError(
            f"goals: say whether {name!r} is better when 'max' or 'min', as in "
            f"({name!r}, 'min')."
        )
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(f"goals: {name!r} has {mode!r}. Use 'max' or 'min'.")
    return Goal(name, mode)
