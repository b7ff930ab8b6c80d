"""A plain function as a task of zero epochs.

``init`` computes the value of the function and ``evaluate`` returns it as the metric
``value``; a dict of values becomes metrics of these names. Such a task takes the same
path through a search as any other. The few places that treat it differently look at
``trains``, or find that there are zero epochs.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

import optax

from jaxtune.tasks.calling import KEYS
from jaxtune.tasks.scalars import real_scalar
from jaxtune.tasks.task import Task, check_data
from jaxtune.types import Array, HparamArrays, Key, Objective


@dataclasses.dataclass(frozen=True)
class Compute:
    """The ``init`` of a plain function; equal functions compile once.

    Args:
      objective: the function.
    """

    objective: Objective

    def __call__(self, key: Key, hparams: HparamArrays) -> Any:
        """Return the value of one lane, ``[]`` float32, or a dict of such values."""
        value = _called(self.objective, key, hparams)
        way_out = "Return one scalar, such as jnp.mean(...)."
        if not isinstance(value, Mapping):
            return real_scalar(value, "objective", way_out)
        if not value:
            raise ValueError("objective: it returned an empty dict. Return a metric.")
        return {
            name: real_scalar(each, f"objective[{name!r}]", way_out)
            for name, each in value.items()
        }


# more of them than models have, whose keywords of other names are their own
NAMES = (*KEYS, "prng", "random_key", "seed")


def _called(objective: Objective, key: Key, hparams: HparamArrays) -> Any:
    """Call ``f(key, hparams)``, ``f(hparams, key)``, ``f(hparams)`` or ``f(x, y)``.

    Which of them is meant is seen by the names of its parameters.
    """
    function: Any = objective
    try:
        known = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # of some built-in functions
        return function(key, hparams)
    alone = [p for p in known if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    places = [p for p in alone if p.kind is not p.KEYWORD_ONLY]
    needed = [p.name for p in alone if p.default is p.empty]
    keys = {p.name: key for p in alone if p.name in NAMES and p.name not in hparams}
    values = [name for name in needed if name not in keys]
    if values and set(values) <= set(hparams):  # the names of the space itself
        given = {p.name for p in alone} & set(hparams)
        return function(**keys, **{name: hparams[name] for name in given})
    if not places and any(p.kind is p.VAR_KEYWORD for p in known):
        return function(**keys, **dict(hparams.items()))
    if any(p.kind is p.VAR_POSITIONAL for p in known):
        return function(key, hparams)
    if len(values) == 1 and places and places[0].name == values[0]:
        return function(hparams, **keys)
    if 1 <= len(values) <= 2 and len(places) >= 2 and len(needed) <= 2:
        return function(key, hparams)
    raise ValueError(
        f"task: the function needs ({', '.join(needed)}). Use (key, hparams) or "
        "(hparams), or names of the space, and functools.partial for anything else."
    )


def as_task(subject: Any) -> Task:
    """Return the task to search, whatever the user gave.

    Args:
      subject: a task, or any function ``(key, hparams) -> scalar``.

    Raises:
      ValueError: neither, or a task with data that no training could use.
    """
    if isinstance(subject, Task):
        return check_data(subject)
    if not callable(subject):
        raise ValueError(
            f"task: got {subject!r}. Use a task such as classification(...), or a "
            "function (key, hparams) -> scalar."
        )
    try:
        hash(subject)
    except TypeError:
        raise ValueError(
            f"task: {type(subject).__name__} objects cannot be hashed, so that a "
            "program compiled for one could be used for another. Use a function, or a "
            "class with @dataclass(frozen=True)."
        ) from None
    return Task(
        init=Compute(subject),
        loss=_no_loss,
        evaluate=_value,
        optimizer=_no_optimizer,
        train=None,
        valid=None,
        trains=False,
    )


def function_name(task: Task) -> str:
    """Return the name of the plain function that a task stands for."""
    assert isinstance(task.init, Compute), "the task is trained"
    objective = task.init.objective
    return getattr(objective, "__qualname__", type(objective).__name__)


def _value(params: Any, split: Any, hparams: HparamArrays) -> dict[str, Array]:
    del split, hparams
    return params if isinstance(params, dict) else {"value": params}


def _no_loss(*arguments: Any) -> Array:
    raise AssertionError("a plain function is not trained")


def _no_optimizer(hparams: HparamArrays) -> optax.GradientTransformation:
    del hparams
    return optax.identity()
