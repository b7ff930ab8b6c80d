"""The branches of an objective: its suggestions, and for which values they are made."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jaxtune.integrations.trial import Recorder
from jaxtune.space import Dimension, Space, when

MOST = 256  # traces of all combinations; of more, values are tried one by one
WIDEST = 64  # values of a whole number that may become static by itself

WAY_OUT = (
    "the objective is traced, so its suggestions are not Python numbers. Name those "
    "that set shapes or lengths in static=[...]. Code that leaves JAX cannot be "
    "searched in blocks."
)
# a number that is traced where Python needs one; a shape raises a plain TypeError
TRACED = (jax.errors.JAXTypeError, jax.errors.JAXIndexError, TypeError)


class Branch(NamedTuple):
    """One trace.

    Args:
      names: the suggestions that it made.
      path: name to value, of those suggestions that are static.
    """

    names: frozenset[str]
    path: dict[str, Any]


@dataclasses.dataclass
class Seen:
    """All that the traces of an objective have shown.

    Args:
      dimensions: name to dimension, in the order of the first suggestions.
      branches: the traces.
      whole: whether these are all combinations of static values.
    """

    dimensions: dict[str, Dimension] = dataclasses.field(default_factory=dict)
    branches: list[Branch] = dataclasses.field(default_factory=list)
    whole: bool = True

    def space(self) -> Space:
        """Return the space, where a suggestion of some branches is conditional."""
        return Space({name: self._conditional(name) for name in self.dimensions})

    def _conditional(self, name: str) -> Dimension:
        dimension, conditions = self.dimensions[name], self._conditions(name)
        return when(dimension, **conditions) if conditions else dimension

    def _conditions(self, name: str) -> dict[str, list[Any]]:
        """Return values of other suggestions that hold in all branches with a name."""
        inside = [b for b in self.branches if name in b.names]
        if not self.whole or len(inside) == len(self.branches):
            return {}
        shared = set.intersection(*[set(branch.path) for branch in inside]) - {name}
        found: dict[str, list[Any]] = {
            parent: [
                value
                for value in self.dimensions[parent].choices
                if any(branch.path[parent] == value for branch in inside)
            ]
            for parent in self.dimensions
            if parent in shared
        }
        # without those that leave no further branch out, the last suggestions first
        for parent in reversed([*found]):
            fewer = {other: v for other, v in found.items() if other != parent}
            if self._count(fewer) == self._count(found):
                found = fewer
        return found

    def _count(self, conditions: dict[str, list[Any]]) -> int:
        """Return the number of branches in which all conditions hold."""
        return sum(
            all(p in branch.path and branch.path[p] in v for p, v in conditions.items())
            for branch in self.branches
        )


def discover(objective: Callable[[Any], Any], static: frozenset[str]) -> Seen:
    """Trace an objective until all of its suggestions are known.

    Args:
      objective: ``trial -> value``.
      static: names of numbers that are static; others become so if they have to be.

    Returns:
      The suggestions and the branches in which they are made.

    Raises:
      JAXTypeError: an objective that leaves JAX, with a note.
    """
    seen = Seen()
    try:
        return _explored(objective, static, seen)
    except TRACED as error:
        tried = static
        while more := _whole_numbers(seen) - tried:
            tried, seen = tried | more, Seen()
            try:
                found = _explored(objective, tried, seen)
            except TRACED:
                continue
            return _fewest(objective, static, tried, found)
        error.add_note(f"from_optuna_objective: {WAY_OUT}")
        raise


def _whole_numbers(seen: Seen) -> frozenset[str]:
    """Return the suggestions that may become static by themselves."""
    return frozenset(
        name
        for name, dimension in seen.dimensions.items()
        if _is_whole(dimension) and dimension.cardinality <= WIDEST
    )


def _is_whole(dimension: Dimension) -> bool:
    listed = dimension.kind == "ordinal" and all(
        isinstance(value, int) for value in dimension.choices
    )
    return not dimension.static and (listed or dimension.kind == "integer")


def _fewest(
    objective: Callable[[Any], Any],
    static: frozenset[str],
    tried: frozenset[str],
    found: Seen,
) -> Seen:
    """Return what is seen with as few static suggestions as the objective can take."""
    for name in sorted(tried - static):
        try:
            found = _explored(objective, tried - {name}, Seen())
        except TRACED:
            continue
        tried = tried - {name}
    return found


def _explored(
    objective: Callable[[Any], Any], static: frozenset[str], seen: Seen
) -> Seen:
    """Trace all combinations of static values, or each value once if they are many."""
    waiting: list[dict[str, Any]] = [{}]
    tried: set[tuple[str, Any]] = set()
    while waiting:
        chosen = waiting.pop(0)
        if len(seen.branches) >= MOST:
            seen.whole = False
            if set(chosen.items()) <= tried:
                continue
        path = _trace(objective, static, chosen, seen)
        tried |= set(path.items())
        before: dict[str, Any] = {}
        for name, value in path.items():
            if name not in chosen:
                others = seen.dimensions[name].choices
                waiting += [{**before, name: v} for v in others if v != value]
            before[name] = value
    return seen


def _trace(
    objective: Callable[[Any], Any],
    static: frozenset[str],
    chosen: dict[str, Any],
    seen: Seen,
) -> dict[str, Any]:
    """Trace one branch, and return its static values."""
    trial = Recorder(static, chosen, seen.dimensions)
    jax.eval_shape(lambda: objective(trial))
    seen.branches.append(Branch(frozenset(trial.names), trial.path))
    return trial.path
