"""An Optuna objective as a space and a function that JAX can trace."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.space import (
    Dimension,
    Space,
    choice,
    integer,
    log_uniform,
    ordinal,
    uniform,
)
from jaxtune.types import Array, Key

WAY_OUT = (
    "the objective is traced, so its suggestions are not Python numbers. Name those "
    "that set shapes or lengths in static=[...]. Code that leaves JAX cannot be "
    "searched in blocks."
)


class Suggested(NamedTuple):
    """A space and an objective for `jaxtune.search`.

    Args:
      space: the suggestions of the objective.
      objective: ``(key, hparams) -> value``; the key is not used.
    """

    space: Space
    objective: Callable[[Key, Mapping[str, Any]], Array]


def from_optuna_objective(
    objective: Callable[[Any], Any], static: Collection[str] = ()
) -> Suggested:
    """Turn an objective that was written for Optuna into a space and a JAX function.

    The objective is traced, not run, so what it computes from the suggestions must be
    JAX. It is traced once for each categorical value, to find suggestions that are made
    for that value only; these are searched for every value. ``trial.report`` and
    ``trial.should_prune`` are allowed and do nothing.

    Args:
      objective: ``trial -> value``, which calls ``suggest_float``, ``suggest_int`` and
        ``suggest_categorical``; the study's direction becomes ``mode``.
      static: names of numbers that set shapes or lengths of loops, such as the number
        of layers: a program is compiled for each of their values. Categorical
        suggestions are always static.

    Returns:
      A space and an objective: ``jt.search(found.objective, found.space, ...)``.

    Raises:
      ValueError: one name suggested with two different ranges, or no suggestion.
      JAXTypeError: an objective that leaves JAX; a note says what to do.

    >>> import jax, jaxtune as jt
    >>> def objective(trial):
    ...     x = trial.suggest_float("x", -1.0, 1.0)
    ...     shift = trial.suggest_categorical("shift", [0.0, 0.5])
    ...     return (x - shift) ** 2
    >>> found = jt.integrations.from_optuna_objective(objective)
    >>> found.space.names
    ('x', 'shift')
    >>> key = jax.random.key(0)
    >>> arguments = {"key": key, "trials": 16, "mode": "min", "verbose": 0}
    >>> result = jt.search(found.objective, found.space, **arguments)
    >>> len(result.trials)
    16
    """
    dimensions: dict[str, Dimension] = {}
    # categorical values to trace with; a value that is met for the first time adds more
    waiting: list[dict[str, Any]] = [{}]
    while waiting:
        seen = _Recorder(frozenset(static), waiting.pop(0), dimensions)
        try:
            jax.eval_shape(lambda seen=seen: objective(seen))
        except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
            error.add_note(f"from_optuna_objective: {WAY_OUT}")
            raise
        waiting += seen.untried
    if not dimensions:
        raise ValueError("from_optuna_objective: the objective suggests nothing.")

    def traced(key: Key, hparams: Mapping[str, Any]) -> Array:
        del key
        return objective(_Replayer(hparams))

    return Suggested(Space(**dimensions), traced)


class _Trial:
    """The part of ``optuna.Trial`` that an objective may use."""

    number = 0

    def _suggested(self, name: str, make: Callable[[], Dimension]) -> Any:
        raise NotImplementedError

    def suggest_float(
        self,
        name: str,
        low: float,
        high: float,
        *,
        step: float | None = None,
        log: bool = False,
    ) -> Any:
        if step is not None:
            # the quotient may be rounded to just below a whole number
            count = int(np.floor((high - low) / step + 1e-9)) + 1
            values = [low + step * i for i in range(count)]
            return self._suggested(name, partial(ordinal, values))
        return self._suggested(
            name, partial(log_uniform if log else uniform, low, high)
        )

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> Any:
        if step != 1:
            return self._suggested(
                name, partial(ordinal, [*range(low, high + 1, step)])
            )
        scale = "log" if log else "linear"
        return self._suggested(name, partial(integer, low, high, scale=scale))

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        return self._suggested(name, partial(choice, list(choices), static=True))

    def report(self, value: Any, step: Any) -> None:
        """Ignore a value: a traced function has no steps."""

    def should_prune(self) -> bool:
        return False

    def set_user_attr(self, key: str, value: Any) -> None:
        """Ignore an attribute."""


class _Recorder(_Trial):
    """A trial that records the suggestions, and returns a value of each range."""

    def __init__(
        self,
        static: frozenset[str],
        chosen: dict[str, Any],
        dimensions: dict[str, Dimension],
    ):
        self._static, self._chosen, self._known = static, chosen, dimensions
        self.untried: list[dict[str, Any]] = []

    def _suggested(self, name: str, make: Callable[[], Dimension]) -> Any:
        # inside a trace new arrays are tracers, but a dimension needs plain numbers
        with jax.ensure_compile_time_eval():
            dimension = self._dimension(name, make())
        if name not in self._known and dimension.kind == "choice":
            others = dimension.choices[1:]
            self.untried += [{**self._chosen, name: value} for value in others]
        known = self._known.setdefault(name, dimension)
        # by repr: a dimension may hold an array, whose == is not a single bool
        if repr(known) != repr(dimension):
            raise ValueError(
                f"from_optuna_objective: {name!r} is suggested as {known} and as "
                f"{dimension}. Give the two different names."
            )
        if dimension.static:
            return self._chosen.get(name, dimension.choices[0])
        kind = jnp.int32 if dimension.kind == "integer" else jnp.float32
        return jnp.asarray(dimension.default, kind)

    def _dimension(self, name: str, dimension: Dimension) -> Dimension:
        if name in self._static and not dimension.static:
            return ordinal(list(dimension.members), static=True)
        return dimension


class _Replayer(_Trial):
    """A trial that returns given hyperparameters as the suggestions."""

    def __init__(self, hparams: Mapping[str, Any]):
        self._hparams = hparams

    def _suggested(self, name: str, make: Callable[[], Dimension]) -> Any:
        return self._hparams[name]
