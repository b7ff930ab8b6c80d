"""Trials for an objective that was written for Optuna: they record, or they replay."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.space import Dimension, choice, integer, log_uniform, ordinal, uniform


class Trial:
    """The part of ``optuna.Trial`` that an objective may use."""

    number = 0

    def _suggested(self, name: str, make: Callable[[], Dimension]) -> Any:
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"trial: got .{name}, and a trial that is traced has suggest_float, "
            "suggest_int, suggest_categorical, report and should_prune alone. Use what "
            "these return in place of it."
        )

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


class Recorder(Trial):
    """A trial that records the suggestions, and returns a value of each range.

    Args:
      static: names of numbers whose suggestions are Python numbers.
      chosen: name to the value of a categorical or static suggestion; of others the
        first value.
      known: name to dimension, to which the new ones are added.
    """

    def __init__(
        self,
        static: frozenset[str],
        chosen: dict[str, Any],
        known: dict[str, Dimension],
    ):
        self._static, self._chosen, self._known = static, chosen, known
        self.names: list[str] = []
        # the static values in the order in which they were suggested
        self.path: dict[str, Any] = {}

    def _suggested(self, name: str, make: Callable[[], Dimension]) -> Any:
        # inside a trace new arrays are tracers, but a dimension needs plain numbers
        with jax.ensure_compile_time_eval():
            dimension = self._dimension(name, make())
        known = self._known.setdefault(name, dimension)
        # by text: a dimension may hold an array, whose == is not a single bool
        known_text, text = (repr(dataclasses.astuple(d)) for d in (known, dimension))
        if known_text != text:
            raise ValueError(
                f"from_optuna_objective: {name!r} is suggested as {known} and as "
                f"{dimension}. Give the two different names."
            )
        self.names.append(name)
        if dimension.static:
            value = self._chosen.get(name, dimension.choices[0])
            self.path[name] = value
            return value
        kind = jnp.int32 if dimension.kind == "integer" else jnp.float32
        return jnp.asarray(dimension.default, kind)

    def _dimension(self, name: str, dimension: Dimension) -> Dimension:
        if name in self._static and not dimension.static:
            return ordinal(list(dimension.members), static=True)
        return dimension


class Replayer(Trial):
    """A trial that returns given hyperparameters as the suggestions."""

    def __init__(self, hparams: Mapping[str, Any]):
        self._hparams = hparams

    def _suggested(self, name: str, make: Callable[[], Dimension]) -> Any:
        if name not in self._hparams:
            raise ValueError(
                f"from_optuna_objective: {name!r} is suggested only for a combination "
                "of values that was not met when the objective was traced. Suggest it "
                "before the code that depends on them."
            )
        return self._hparams[name]
