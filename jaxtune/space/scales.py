"""Scales on which numbers are searched, as pairs of inverse functions.

Halving a learning rate matters as much at 0.1 as at 0.001, hence ``log``. Moving a
momentum from 0.9 to 0.99 averages over ten times as many steps, as does 0.99 to 0.999,
hence ``reverse_log``, the logarithm of ``1 - x``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxtune.types import Array


class Scale(NamedTuple):
    """A monotone increasing map between values and the scale they are searched on.

    Args:
      forward: value to scale.
      inverse: scale to value.
      slope: derivative of ``forward``: how a rounding error of a value grows.
      on_host: ``forward`` and ``slope`` of NumPy's numbers, in float64.
    """

    forward: Callable[[Array], Array]
    inverse: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    on_host: Callable[[Any], tuple[Any, Any]]


SCALES = {
    "linear": Scale(lambda x: x, lambda y: y, jnp.ones_like, lambda x: (x, 1.0)),
    "log": Scale(jnp.log, jnp.exp, lambda x: 1 / x, lambda x: (np.log(x), 1 / x)),
    # log1p and expm1 keep the digits that 1 - x loses where x is small
    "reverse_log": Scale(
        lambda x: -jnp.log1p(-x),
        lambda y: -jnp.expm1(-y),
        lambda x: 1 / (1 - x),
        lambda x: (-np.log1p(-x), 1 / (1 - x)),
    ),
}
