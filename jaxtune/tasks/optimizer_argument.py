"""The optimiser as people give it: a function, a name, or a transformation."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import optax

from jaxtune.recent import MOST
from jaxtune.tasks import optimizers

LENGTHS = ("steps", "epochs", "examples")
"""Lengths of a whole training that an optimiser may ask for by name."""

MULTIPLIERS = "multipliers"
"""The name by which it may ask for the factors of the model's layers."""

ASKED = (*LENGTHS, MULTIPLIERS)


def lengths_read(optimizer: Callable[..., Any]) -> tuple[str, ...]:
    """Return the lengths of a training that an optimiser asks for, by name."""
    return tuple(name for name in LENGTHS if name in _parameters(optimizer))


def takes_multipliers(optimizer: Callable[..., Any]) -> bool:
    """Return whether an optimiser asks for the multipliers of the model, by name."""
    return MULTIPLIERS in _parameters(optimizer)


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # some callables in C have none
        return {}


@lru_cache(maxsize=MOST)  # functions are compared by identity: the same one each time
def constant(
    transformation: optax.GradientTransformation,
) -> Callable[..., optax.GradientTransformation]:
    """Return a function of hyperparameters that reads none of them."""

    def optimizer(hparams: Mapping[str, Any]) -> optax.GradientTransformation:
        del hparams
        return transformation

    return optimizer


def as_optimizer(given: Any) -> Callable[..., Any]:
    """Return the function that makes the optimiser of a trial.

    Args:
      given: ``(hparams, ...) -> transformation``, the name of an optimiser, or a
        transformation, whose numbers are then the same in all trials.

    Raises:
      ValueError: anything else, or a function of arguments that nobody gives.
    """
    if isinstance(given, str):
        return optimizers.named(given)
    if isinstance(given, optax.MultiSteps):
        given = given.gradient_transformation()
    if isinstance(given, optax.GradientTransformation):
        return constant(given)
    if not callable(given):
        raise ValueError(
            f"optimizer: got {given!r}. Use a function of the hyperparameters that "
            f"returns an optax transformation, or one of {', '.join(optimizers.NAMES)}."
        )
    maker = given.func if isinstance(given, functools.partial) else given
    if (getattr(maker, "__module__", None) or "").split(".")[0] == "optax":
        name = getattr(maker, "__name__", "adam")
        raise ValueError(
            f"optimizer: got optax.{name} itself. Use lambda hparams: "
            f"optax.{name}(hparams['learning_rate'])."
        )
    known = list(_parameters(given).values())
    needed = [
        one.name
        for one in known
        if one.default is one.empty
        and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    if needed and needed[0] in optimizers.RANGES:
        raise ValueError(
            f"optimizer: its argument {needed[0]!r} gets all hyperparameters. Use "
            f"(hparams), and hparams[{needed[0]!r}] inside."
        )
    unknown = [name for name in needed[1:] if name not in ASKED]
    if unknown or (needed and needed[0] in ASKED):
        raise ValueError(
            f"optimizer: its argument {(unknown or needed)[0]!r} is not known. Use "
            f"(hparams), and by these names what else it needs: {', '.join(ASKED)}."
        )
    return given
