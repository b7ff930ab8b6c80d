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


class Belief(NamedTuple):
    """A value near which good ones are expected, made by `near`.

    Args:
      value: the value, in the user's units.
      spread: standard deviation, a share of the dimension's own scale; of a choice, the
        probability that is divided evenly among all of its values.
      deviation: standard deviation on that scale, known once the dimension is; a box
        of the dimension keeps it.
    """

    value: Any
    spread: float
    deviation: float = 0.0


@guarded(spread=real(above=0, most=1))
def near(value: Any, spread: float = 0.2) -> Belief:
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
    return Belief(as_plain(value), float(spread))


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
    if not isinstance(prior, Belief):
        raise ValueError(
            f"{where}: prior must be a belief, got {shown(prior)}. Use "
            f"near({shown(prior)})."
        )
    if not _has(dim, prior.value):
        low, high = dim.bounds
        listed = f"one of {list(dim.choices)!r}"
        raise ValueError(
            f"{where}: prior is near {shown(prior.value)}, which the dimension does "
            f"not have. Use {listed if dim.choices else f'a value from {low} to {high}'}."
        )
    length = _cell(dim, dim.bounds[1])[1] - _cell(dim, dim.bounds[0])[0]
    known = prior._replace(deviation=float(prior.spread * length))
    default = prior.value if centred else dim.default
    return dataclasses.replace(dim, prior=known, default=default)


def centre(dim: Dimension) -> float:
    """Return the place of the believed value on the dimension's scale."""
    assert dim.prior is not None
    return float(np.mean(_cell(dim, dim.prior.value)))


def _has(dim: Dimension, value: Any) -> bool:
    if dim.choices:
        return value in dim.choices
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        return False
    if dim.kind == "continuous":
        return bool(dim.bounds[0] <= value <= dim.bounds[1])
    return value in dim.members


def _cell(dim: Dimension, value: Any) -> tuple[float, float]:
    """Return both ends of a value's cell on the scale; equal ones of a real number."""
    forward = SCALES[dim.scale].on_host
    if dim.kind == "continuous":
        return forward(value)[0], forward(value)[0]
    at = value
    if dim.choices:
        at = dim.choices.index(value)
    elif dim.kind == "power_of_two":
        at = int(value).bit_length() - 1
    return forward(at)[0], forward(at + 1)[0]
