"""Beliefs: where in a dimension good values are expected, before any trial."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxtune.door import as_plain, guarded, real, shown
from jaxtune.space.scales import SCALES

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
      deviation: standard deviation on the dimension's own scale; not of a choice. A box
        of the dimension keeps it.
    """

    at: Any  # []
    spread: Any  # []
    deviation: Any  # []


@guarded(spread=real(above=0, most=1))
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
    >>> bool(((momentum > 0.8) & (momentum < 0.95)).mean() > 0.5)
    True

    Args:
      value: the value, in the units of the dimension; of a choice or an ordinal, one of
        its values. It is the default of the dimension, if that has no other.
      spread: how far from it good values may be: the standard deviation of a normal
        distribution, as a share of the dimension's own scale, above 0 and up to 1. Of a
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
    if not _has(dim, prior.value):
        low, high = dim.bounds
        within = f"one of {list(dim.choices)!r}"
        if not dim.choices:
            within = f"a value from {low} to {high}"
        raise ValueError(
            f"{where}: prior is near {shown(prior.value)}, which the dimension does "
            f"not have. Use {within}."
        )
    ends = [SCALES[dim.scale].on_host(end)[0] for end in _ends(dim)]
    belief = Belief(
        np.asarray(_number(dim, prior.value)),
        np.asarray(prior.spread),
        np.asarray(prior.spread * (ends[1] - ends[0])),
    )
    default = prior.value if centred else dim.default
    return dataclasses.replace(dim, prior=belief, default=default)


def stated(dim: Dimension) -> Near:
    """Return the belief about a dimension as a user states it."""
    belief: Any = dim.prior
    at, spread = belief.at.item(), belief.spread.item()
    if dim.choices:
        return Near(dim.choices[at], spread)
    return Near(2**at if dim.kind == "power_of_two" else at, spread)


def _has(dim: Dimension, value: Any) -> bool:
    if dim.choices:
        return value in dim.choices
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        return False
    if dim.kind == "continuous":
        return bool(dim.bounds[0] <= value <= dim.bounds[1])
    return value in dim.members


def _number(dim: Dimension, value: Any) -> Any:
    """Return the number that a belief keeps of a value."""
    if dim.choices:
        return dim.choices.index(value)
    if dim.kind == "power_of_two":
        return value.bit_length() - 1
    return float(value) if dim.kind == "continuous" else value


def _ends(dim: Dimension) -> tuple[Any, Any]:
    """Return both ends of the range; of whole numbers the last one included."""
    low, high = np.asarray(dim.low).item(), np.asarray(dim.high).item()
    return low, high if dim.kind == "continuous" else high + 1
