"""Width and depth as data: the pieces that padded models are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxtune.types import Array, Key


def unit_mask(active: Array | int, size: int) -> Array:
    """Mark the units in use, which come first.

    Args:
      active: how many are in use, possibly traced.
      size: how many there are, padding included.

    Returns:
      ``[size]`` bool.
    """
    return jnp.arange(size) < active


def masked_lecun(
    fan_in: Array | int, rows: Array, columns: Array
) -> Callable[..., Any]:
    """LeCun's normal initialiser over the units in use, zero in the padding.

    Args:
      fan_in: number of inputs in use, the true one and not the padded one.
      rows: ``[inputs]`` bool, inputs in use.
      columns: ``[outputs]`` bool, outputs in use.

    Returns:
      An initialiser ``(key, shape, dtype) -> [inputs, outputs]``.
    """

    def init(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        # flax's lecun_normal: truncated at two deviations, rescaled to unit variance
        draw = (
            jax.random.truncated_normal(key, -2, 2, shape, dtype) / 0.87962566103423978
        )
        kernel = draw / jnp.sqrt(jnp.asarray(fan_in, dtype))
        return jnp.where(rows[:, None] & columns[None], kernel, 0)

    return init


class MaskedDense(nn.Module):
    """A dense layer whose first units are in use and whose padding stays zero.

    Inputs in the padding must be zero. Outputs in the padding are zero, and so are the
    gradients of every weight there; an optimiser that maps zero to zero leaves it so.

    Args:
      size: outputs, padding included.
    """

    size: int

    @nn.compact
    def __call__(
        self, x: Array, inputs: Array | int | None = None, outputs: Any = None
    ) -> Array:
        """Apply the layer.

        Args:
          x: ``[..., padded inputs]``.
          inputs: how many inputs are in use; all if not given.
          outputs: how many outputs are in use; all if not given.

        Returns:
          ``[..., size]``.
        """
        width = x.shape[-1]
        inputs = width if inputs is None else inputs
        outputs = self.size if outputs is None else outputs
        used = unit_mask(outputs, self.size)
        init = masked_lecun(inputs, unit_mask(inputs, width), used)
        kernel = self.param("kernel", init, (width, self.size))
        bias = self.param("bias", nn.initializers.zeros, (self.size,))
        over = tuple(range(x.ndim - 1))
        used, bias = jnp.expand_dims(used, over), jnp.expand_dims(bias, over)
        return jnp.where(used, x @ kernel + bias, 0)


def dropout(x: Array, rate: Array | float, key: Key) -> Array:
    """Zero each element with probability ``rate`` and scale up the others.

    Flax's own layer needs a Python number; here the rate may be traced.

    Args:
      x: any shape.
      rate: probability in ``[0, 1)``.
      key: random key.

    Returns:
      An array of the shape of ``x``.
    """
    keep = jax.random.uniform(key, x.shape) >= rate
    return jnp.where(keep, x / (1 - rate), 0)
