"""Functions that make a module: what they are given, and in which way."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
from jax.interpreters.partial_eval import dce_jaxpr

from jaxtune.tasks.calling import offers, parameters
from jaxtune.tasks.hparams import is_traced
from jaxtune.types import Array


class Factory:
    """A function of a user that makes a module of random numbers.

    Args:
      function: ``rngs -> module`` or ``key -> module``, or a class. It may name
        hyperparameters too.
      streams: names of the parameter that gets the random numbers. Without a parameter
        of such a name, the first one gets them.

    Attributes:
      names: of the parameters that may be hyperparameters.

    Raises:
      ValueError: a function without parameters.
    """

    def __init__(self, function: Callable[..., Any], streams: Collection[str]) -> None:
        self._function = function
        self._known = parameters(function)
        if not self._known:
            raise ValueError(
                "model: the factory takes no argument, so that all trials would have "
                "the same weights. Use a function rngs -> module."
            )
        named = [
            p.name
            for p in self._known
            if p.name in streams and p.kind is not p.POSITIONAL_ONLY
        ]
        self._stream = named[0] if named else None
        first = {self._stream} if self._stream else {p.name for p in self._known[:1]}
        by_name = (
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            inspect.Parameter.KEYWORD_ONLY,
        )
        self.names = {p.name for p in self._known if p.kind in by_name} - first

    def traced(self, hparams: Mapping[str, Any]) -> dict[str, Any]:
        """Return the hyperparameters that it names and that are no plain values."""
        given = {name: hparams[name] for name in hparams if name in self.names}
        return {name: value for name, value in given.items() if is_traced(value)}

    def __call__(self, random: Any, hparams: Mapping[str, Any]) -> Any:
        """Make a module.

        Args:
          random: streams or a key.
          hparams: of a trial.

        Raises:
          ValueError: a parameter that nothing is known for.
        """
        given = {name: hparams[name] for name in hparams if name in self.names}
        offered = {**offers(hparams, False), **given}
        needed = [p.name for p in self._known if _is_needed(p) and p.name in self.names]
        missing = [name for name in needed if name not in offered]
        if missing:
            title, stream = name_of_maker(self._function), self._stream or "rngs"
            raise ValueError(
                f"model: {title} needs {', '.join(map(repr, missing))}, which the "
                f"space does not have. Use lambda {stream}: {title}(..., "
                f"{stream}={stream})."
            )
        keywords = {n: offered[n] for n in self.names if n in given or n in needed}
        if self._stream:
            return self._function(**{self._stream: random}, **keywords)
        return self._function(random, **keywords)


def set_by(
    arrays: Callable[[dict[str, Any]], list[Array]], traced: dict[str, Any]
) -> list[bool]:
    """Return which arrays of a module traced hyperparameters set.

    Args:
      arrays: those of a module, from the values of the hyperparameters.
      traced: name to value.
    """
    program = jax.make_jaxpr(arrays)(traced).jaxpr
    every = range(len(program.outvars))
    return [
        any(dce_jaxpr(program, [place == other for other in every])[1])
        for place in every
    ]


def name_of_maker(function: Callable[..., Any]) -> str:
    """Return the name of a function or class in errors."""
    return str(getattr(function, "__name__", type(function).__name__))


def _is_needed(parameter: inspect.Parameter) -> bool:
    variable = (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and parameter.kind not in variable
