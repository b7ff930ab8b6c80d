"""Known settings: configurations of the user's own, which a search trains first.

They take the places of the first points of the first round. A trial gets the values
that were given, as 32-bit numbers; its point in the cube is the nearest that there is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxtune.checks import warn
from jaxtune.environment import on_host
from jaxtune.rounds.schedule import Schedule
from jaxtune.space import Dimension, Space, with_default_inside
from jaxtune.space.dimension import BELOW_ONE
from jaxtune.space.points import Points
from jaxtune.space.values import held, is_number, plain
from jaxtune.types import HparamArrays

Setting = dict[str, Any]
"""One configuration: every name of a space to a value in the user's units."""


def check_first(given: Any, schedule: Schedule) -> tuple[Setting, ...]:
    """Return the known settings of a search, with a value for every dimension.

    Args:
      given: a list of dicts, ``"defaults"``, or ``None``.
      schedule: the space and its rounds.

    Raises:
      ValueError: a name or a value that the first round does not have, a value that
        nothing would read, a setting that comes twice, or more settings than trials.
    """
    if given is None:
        return ()
    if isinstance(given, str) and given == "defaults":
        given = [{}]
    listed = isinstance(given, Sequence) and not isinstance(given, str)
    if not listed or not all(isinstance(part, Mapping) for part in given):
        raise ValueError(
            f"first: got {given!r}. Use a list of dicts, such as "
            f"[{{{schedule.space.names[0]!r}: ...}}], or 'defaults'."
        )
    most = schedule.stages[0].trials
    if len(given) > most:
        raise ValueError(
            f"first: {len(given)} settings do not fit into the {most} trials of the "
            "first round. Use fewer of them, or more trials."
        )
    box = schedule.opened(None, 0)
    settings = tuple(
        _filled(f"first[{i}]", part, box, schedule.space)
        for i, part in enumerate(given)
    )
    for i, setting in enumerate(settings):
        before = settings.index(setting)
        if before < i:
            raise ValueError(
                f"first[{i}]: it is the same configuration as first[{before}]. List "
                "each of them once; seeds=... trains a configuration several times."
            )
    return settings


def with_known(begin: Points, settings: Sequence[Setting]) -> Points:
    """Return the points of a round, of which the first ones are known settings."""
    if not settings:
        return begin
    count, hparams = len(settings), decoded_arrays(begin.space, settings)
    known = np.clip(np.asarray(begin.space.encode(hparams)), 0, BELOW_ONE)
    points = np.array(begin.points)
    points[:count] = known
    # the given numbers, which lie between those that the cube has
    exact = {
        name: np.concatenate([hparams[name], np.asarray(values)[count:]])
        for name, values in begin.hparams.items()
    }
    return Points(begin.space, points, exact)


def has_room_for(box: Space, settings: Sequence[Setting]) -> bool:
    """Return whether settings lie inside a box."""
    if not settings or not box.searched:
        return True
    points = np.asarray(box.encode(decoded_arrays(box, settings)))
    return bool(((points >= 0) & (points < 1)).all())  # NaN for a choice that is gone


def decoded_arrays(space: Space, settings: Sequence[Setting]) -> HparamArrays:
    """Return settings as name to ``[n]`` array, as `Space.decode` gives them."""
    return {
        name: np.asarray(
            [space[name].decoded(setting[name]) for setting in settings],
            space[name].dtype,
        )
        for name in space.names
    }


@on_host()
def _filled(where: str, given: Mapping[str, Any], box: Space, space: Space) -> Setting:
    """Return a setting with a value for every dimension, in their order."""
    unknown = [name for name in given if name not in space.names]
    if unknown:
        raise ValueError(
            f"{where}: there is no dimension {unknown[0]!r}. This space has "
            f"{', '.join(space.names)}."
        )
    setting = {}
    for name in space.names:
        if name not in given:
            setting[name] = _default(where, name, box[name])
            continue
        try:
            setting[name] = value_in(box[name], given[name])
        except ValueError as error:
            later = space[name].searched and not box[name].searched
            why = f"{error} It is opened in a later round." if later else str(error)
            raise ValueError(f"{where}: dimension {name!r}: {why}") from None
    active = jax.device_get(space.active(decoded_arrays(space, [setting])))
    for name in space.names:
        if active[name][0]:
            continue
        if name in given:
            parents = ", ".join(
                f"{parent}={setting[parent]!r}" for parent, _ in space[name].condition
            )
            raise ValueError(
                f"{where}: dimension {name!r} does not matter where {parents}, so "
                "nothing would read its value. Leave it out, or change the other."
            )
        setting[name] = space[name].default  # as `Space.decode` has it
    return setting


def _default(where: str, name: str, dim: Dimension) -> Any:
    if not dim.searched:  # it has one value
        return dim.bounds[0]
    value = value_in(dim, with_default_inside(dim).default)
    # a default that is a bound is not the short decimal of that bound
    same = is_number(value) and np.float32(value) == np.float32(dim.default)
    if not same and value != dim.default:
        warn(
            f"{where}: the default of {name!r}, {dim.default!r}, lies outside of the "
            f"search, so the trial gets {value!r}. Give it a value.",
        )
    return value


def value_in(dim: Dimension, given: Any) -> Any:
    """Return a value of a dimension as it is listed, or as Python's number.

    Raises:
      ValueError: a value that the dimension does not have, in words.
    """
    value = plain(given)
    if dim.choices:
        for known in dim.remaining:
            if known is value or (_alike(known, value) and known == value):
                return known
        raise ValueError(f"{given!r} is not one of {list(dim.remaining)!r}.")
    if not is_number(value) or not math.isfinite(value):
        raise ValueError(f"{given!r} is not a finite number.")
    low, high = dim.bounds
    if dim.kind != "continuous" and dim.dtype == "int32":
        if value != int(value):
            raise ValueError(f"{given!r} is not a whole number.")
        value = int(value)
        if dim.kind == "power_of_two" and (value < 1 or value & (value - 1)):
            raise ValueError(f"{given!r} is not a power of two.")
    elif not held(value):
        raise ValueError(f"{given!r} is not a number that float32 holds.")
    else:
        # as programs have it: a bound may be a float32 with a short decimal
        value, low, high = (plain(np.float32(number)) for number in (value, low, high))
    if low == high != value:
        raise ValueError(f"{given!r} differs from {low!r}, which is all that it has.")
    if not low <= value <= high:
        raise ValueError(f"{given!r} does not lie in [{low!r}, {high!r}].")
    return value


def _alike(known: Any, value: Any) -> bool:
    """Return whether two values may be compared: numbers, or of one type."""
    if is_number(known) or is_number(value):
        return is_number(known) and is_number(value)
    return type(known) is type(value)
