"""Dimensions that matter only for some values of others."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from jaxtune.space.dimension import Dimension
from jaxtune.types import Array


def active(
    dimensions: Mapping[str, Dimension], hparams: Mapping[str, Any]
) -> dict[str, Array]:
    """Return in which trials each conditional dimension matters.

    Args:
      dimensions: name to dimension.
      hparams: name to ``[n]`` decoded values, at least of every parent.

    Returns:
      Name to ``[n]`` bool, for conditional dimensions only.
    """
    known: dict[str, Array] = {}

    # a dimension matters only where its parents do, so conditions are looked up upwards
    def of(name: str) -> Any:
        if name not in known:
            holds: Any = True
            for parent, values in dimensions[name].condition:
                numbers = [dimensions[parent].decoded(value) for value in values]
                given = jnp.asarray(hparams[parent])
                wanted = jnp.asarray(numbers, given.dtype)
                holds = holds & jnp.isin(given, wanted) & of(parent)
            known[name] = holds
        return known[name]

    return {name: of(name) for name, dim in dimensions.items() if dim.condition}


def resolved(dimensions: Mapping[str, Dimension], name: str) -> Dimension:
    """Return a dimension whose conditions list values of their parents.

    A tuple may be one value of a parent or several, which only the parent knows.
    """
    pairs = []
    for parent, values in dimensions[name].condition:
        listed = dimensions[parent].choices if parent in dimensions else ()
        one = values[0] if len(values) == 1 else None
        if isinstance(one, tuple) and one not in listed:
            values = one
        pairs.append((parent, values))
    return dataclasses.replace(dimensions[name], condition=tuple(pairs))


def ancestors(dimensions: Mapping[str, Dimension], name: str) -> list[str]:
    """Return the dimensions that decide whether this one matters, nearest first."""
    found: list[str] = []
    waiting = [parent for parent, _ in dimensions[name].condition]
    # breadth first; a cycle of conditions ends it too, so check() can report the cycle
    while waiting:
        parent = waiting.pop(0)
        if parent not in found:
            found.append(parent)
            waiting += [other for other, _ in dimensions[parent].condition]
    return found


def check_conditions(dimensions: Mapping[str, Dimension], name: str) -> None:
    """Check the conditions of one dimension.

    Args:
      dimensions: name to dimension, all of the space.
      name: the one to check.

    Raises:
      ValueError: a parent that is unknown, has no list of values, or depends on this
        dimension itself; or a value that the parent does not have.
    """
    for parent, values in dimensions[name].condition:
        if parent not in dimensions:
            raise ValueError(
                f"when: there is no dimension {parent!r}. This space has "
                f"{', '.join(dimensions)}."
            )
        choices = dimensions[parent].choices
        if not choices:
            raise ValueError(
                f"when: {parent!r} has no list of values. Use a choice or an ordinal."
            )
        if not values:
            raise ValueError(f"when: {parent!r} is compared with no value at all.")
        for value in values:
            if value not in choices:
                raise ValueError(
                    f"when: {value!r} is not one of the values of {parent!r}, "
                    f"{list(choices)!r}."
                )
    if name in ancestors(dimensions, name):
        raise ValueError("when: its conditions lead back to itself.")
