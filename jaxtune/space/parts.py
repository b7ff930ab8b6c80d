"""Check that a box is a part of a space."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jaxtune.space.belief import same_belief
from jaxtune.space.dimension import Dimension
from jaxtune.space.space import Space


def check_part(whole: Space, box: Any, what: str) -> None:
    """Raise unless a box could come from a space by `Space.restrict` or zooming.

    Inside ``jit`` bounds are not known and are not compared.

    Args:
      whole: the space.
      box: the box that should be a part of it.
      what: name of the box in error messages.

    Raises:
      ValueError: not a space, other dimensions, or wider bounds.
    """
    if not isinstance(box, Space):
        raise ValueError(f"{what}: got {box!r}. Use space.restrict(...).")
    if box.names != whole.names:
        raise ValueError(
            f"{what}: it has the dimensions {', '.join(box.names)}, the space has "
            f"{', '.join(whole.names)}. Use space.restrict(...)."
        )
    for name in whole.names:
        if _form(box[name]) != _form(whole[name]):
            raise ValueError(
                f"{what}: dimension {name!r} is {_form(box[name])} there and "
                f"{_form(whole[name])} in the space. Use space.restrict(...)."
            )
        if not same_belief(box[name], whole[name]):
            raise ValueError(
                f"{what}: dimension {name!r} has another belief (prior=) there than in "
                "the space. Use space.restrict(...)."
            )
        if not _inside(box[name], whole[name]):
            raise ValueError(
                f"{what}: dimension {name!r} goes from {box.bounds[name][0]} to "
                f"{box.bounds[name][1]}, outside the space's {whole.bounds[name]}. "
                "Make the space larger."
            )


def _form(dim: Dimension) -> tuple[Any, ...]:
    return dim.kind, dim.scale, dim.choices


def _inside(box: Dimension, whole: Dimension) -> bool:
    bounds = (box.low, box.high, box.allowed, whole.low, whole.high, whole.allowed)
    if any(isinstance(bound, jax.core.Tracer) for bound in bounds):
        return True
    if whole.allowed is not None:
        return not np.any(np.asarray(box.allowed) & ~np.asarray(whole.allowed))
    # in float32, since zooming rounds the bounds of a box to it
    low, high = np.float32(box.low), np.float32(box.high)
    return bool(np.float32(whole.low) <= low <= high <= np.float32(whole.high))
