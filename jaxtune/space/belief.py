"""Beliefs: where in a dimension good values are expected, before any trial."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from jaxtune.door import as_plain, guarded, real, shown

if TYPE_CHECKING:
    from jaxtune.space.dimension import Dimension


class Near(NamedTuple):
    """A belief as a user states it, made by `near`.

    Args:
      value: in the user's units.
      spread: see `near`.
    """

    value: Any
    spread: float


class Belief(NamedTuple):
    """A belief about one dimension: numbers, so that others compile nothing.

    Args:
      at: the value; of a power of two its exponent, of a listed value its index.
      spread: as in `near`.
      low: lower bound of the whole dimension, of which ``spread`` is a share; a box of
        the dimension keeps it.
      high: upper bound of the whole dimension.
    """

    at: Any  # []
    spread: Any  # []
    low: Any  # []
    high: Any  # []


@guarded(spread=real(0.001, 1))
def near(value: Any, spread: float = 0.2) -> Near:
    """Expect good values of a dimension near one of them.

    Samplers draw more points there, and samplers that learn weigh what they expect by
    it, the less the more trials they know (Hvarfner et al., 2022). A quarter of the
    points of each dimension lie anywhere, so a wrong belief costs some points, and
    hides nothing.

    >>> import jax
    >>> import jaxtune as jt
    >>> space = jt.Space(
    ...     momentum=jt.reverse_log_uniform(0.5, 0.999, prior=jt.near(0.9, spread=0.1))
    ... )
    >>> sampler = jt.samplers.sobol()
    >>> state = sampler.init(jax.random.key(0), space)
    >>> state, points = sampler.ask(state, 64)
    >>> momentum = space.decode(points)["momentum"]
    >>> bool(((momentum > 0.8) & (momentum < 0.95)).mean() > 0.35)  # without: .23
    True

    Args:
      value: the value, in the units of the dimension; of a choice or an ordinal, one of
        its values. It is the default of the dimension, if that has no other.
      spread: how far from it good values may be: the standard deviation of a normal
        distribution, as a share of the dimension's own scale, from .001 to 1. Of a
        choice, the probability that is divided evenly among all of its values.

    Returns:
      A belief, for ``prior=`` of a dimension.

    Raises:
      ValueError: a spread out of range.
    """
    return Near(as_plain(value), float(spread))


def with_belief(where: str, dim: Dimension, prior: Any, centred: bool) -> Dimension:
    """Return a dimension with a belief.

    Args:
      where: name of its maker.
      dim: the dimension.
      prior: a belief, or ``None`` for none.
      centred: whether its value becomes the default of the dimension.

    Raises:
      ValueError: what is no belief, or one about a value that the dimension lacks.
    """
    if prior is None:
        return dim
    if not isinstance(prior, Near):
        raise ValueError(
            f"{where}: prior must be a belief, got {shown(prior)}. Use "
            f"near({shown(prior)})."
        )
    number = _number(dim, prior.value)
    if number is None:
        low, high = dim.bounds
        within = f"one of {list(dim.choices)!r}"
        if not dim.choices:
            within = f"a value from {low} to {high}"
        raise ValueError(
            f"{where}: prior is near {shown(prior.value)}, which the dimension does "
            f"not have. Use {within}."
        )
    at, spread = np.asarray(number), np.asarray(prior.spread)
    belief = Belief(at, spread, np.asarray(dim.low), np.asarray(dim.high))
    held = dataclasses.replace(dim, prior=belief)
    # the dimension's own value: 64.0 and 64 are equal, but not the same
    return dataclasses.replace(held, default=stated(held).value) if centred else held


def stated(dim: Dimension) -> Near:
    """Return the belief about a dimension as a user states it."""
    belief: Any = dim.prior
    at, spread = belief.at.item(), belief.spread.item()
    if dim.choices:
        return Near(dim.choices[at], spread)
    return Near(2**at if dim.kind == "power_of_two" else at, spread)


def same_belief(one: Dimension, other: Dimension) -> bool:
    """Return whether two dimensions have equal beliefs; true for traced ones."""
    if one.prior is None or other.prior is None:
        return one.prior is other.prior
    pairs = list(zip(one.prior, other.prior, strict=True))
    if any(isinstance(part, jax.core.Tracer) for pair in pairs for part in pair):
        return True
    return all(np.float32(a) == np.float32(b) for a, b in pairs)


def _number(dim: Dimension, value: Any) -> int | float | None:
    """Return the number that a belief keeps of a value; ``None`` if there is none."""
    if dim.choices:
        listed = not isinstance(value, list | dict | set | np.ndarray)
        return dim.choices.index(value) if listed and value in dim.choices else None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        return None
    if dim.kind == "continuous":
        at: int | float = float(value)
    elif value != int(value):
        return None
    elif dim.kind == "power_of_two":
        at = int(value).bit_length() - 1
        if value < 1 or 2**at != value:
            return None
    else:
        at = int(value)
    return at if dim.low <= at <= dim.high else None
