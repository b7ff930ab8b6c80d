"""Width and depth as data: the pieces that padded models are made of.

Of a padded layer's units the first ones are in use. Everything else is zero: weights,
outputs and gradients, so that an optimiser which maps zero to zero leaves it so, and no
norm, sum or weight decay notices it. Random numbers are drawn per unit and not per
array, so a network has the same initial weights whatever it is padded to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxtune.models.products import product, unfolded_convolution
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


def only(active: Array | int, x: Array) -> Array:
    """Set the padding to zero.

    Args:
      active: how many units are in use.
      x: ``[..., size]``.

    Returns:
      An array of the shape of ``x``.
    """
    used = unit_mask(active, x.shape[-1])
    return jnp.where(jnp.expand_dims(used, tuple(range(x.ndim - 1))), x, 0)


def pass_through(used: Array | bool, new: Array, old: Array) -> Array:
    """Depth as data: a layer that is not in use hands its input on.

    Args:
      used: ``[]`` whether the layer is in use.
      new: what the layer computed.
      old: what it was given, of the same shape.

    Returns:
      One of the two. The layer's weights get no gradient where it is not in use.
    """
    return jnp.where(used, new, old)


def masked_lecun(inputs: Array | int, outputs: Array | int) -> Callable[..., Any]:
    """LeCun's normal initialiser over the units in use, zero in the padding.

    The variance is one over the true fan-in. Weights do not depend on the padding.

    Args:
      inputs: how many inputs are in use, or channels of a convolution.
      outputs: how many outputs are in use.

    Returns:
      An initialiser ``(key, shape, dtype) -> [*window, inputs, outputs]``.
    """

    def init(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        *window, width, size = shape
        places = jnp.arange(_product(window))

        def row(place, unit):
            own = jax.random.fold_in(jax.random.fold_in(key, place), unit)
            return jax.random.truncated_normal(own, -2, 2, (size,), dtype)

        draw = jax.vmap(lambda p: jax.vmap(lambda i: row(p, i))(jnp.arange(width)))
        fan_in = jnp.asarray(jnp.maximum(inputs, 1) * len(places), dtype)
        # flax's lecun_normal: truncated at two deviations, rescaled to unit variance
        kernel = draw(places) / 0.87962566103423978 / jnp.sqrt(fan_in)
        used = unit_mask(inputs, width)[:, None] & unit_mask(outputs, size)[None]
        return jnp.where(used[None], kernel, 0).reshape(shape)

    return init


def _product(sizes: list[int]) -> int:
    count = 1
    for size in sizes:
        count *= size
    return count


class MaskedDense(nn.Module):
    """A dense layer whose first units are in use and whose padding stays zero.

    Inputs in the padding must be zero.

    Args:
      size: outputs, padding included.
    """

    size: int

    @nn.compact
    def __call__(
        self,
        x: Array,
        inputs: Array | int | None = None,
        outputs: Array | int | None = None,
    ) -> Array:
        """Apply the layer.

        Args:
          x: ``[..., padded inputs]``.
          inputs: how many inputs are in use; all if not given.
          outputs: how many outputs are in use; all if not given.

        Returns:
          ``[..., size]``, zero in the padding.
        """
        width = x.shape[-1]
        inputs = width if inputs is None else inputs
        outputs = self.size if outputs is None else outputs
        init = masked_lecun(inputs, outputs)
        kernel = self.param("kernel", init, (width, self.size))
        bias = self.param("bias", nn.initializers.zeros, (self.size,))
        return only(outputs, product(x, kernel) + _last(bias, x.ndim))


class MaskedConv(nn.Module):
    """A convolution of stride 1, padded to the size of its input, with masked channels.

    Channels in the padding must be zero.

    Args:
      size: output channels, padding included.
      window: height and width of the kernel.
    """

    size: int
    window: tuple[int, int] = (3, 3)

    @nn.compact
    def __call__(
        self,
        x: Array,
        inputs: Array | int | None = None,
        outputs: Array | int | None = None,
    ) -> Array:
        """Apply the layer.

        Args:
          x: ``[batch, height, width, padded channels]``.
          inputs: how many channels are in use; all if not given.
          outputs: how many output channels are in use; all if not given.

        Returns:
          ``[batch, height, width, size]``, zero in the padding.
        """
        channels = x.shape[-1]
        inputs = channels if inputs is None else inputs
        outputs = self.size if outputs is None else outputs
        init = masked_lecun(inputs, outputs)
        kernel = self.param("kernel", init, (*self.window, channels, self.size))
        bias = self.param("bias", nn.initializers.zeros, (self.size,))
        x = unfolded_convolution(x, kernel, (1, 1), "SAME")
        return only(outputs, x + _last(bias, x.ndim))


class MaskedLayerNorm(nn.Module):
    """Flax's layer norm with mean and variance over the units in use.

    Args:
      epsilon: added to the variance.
    """

    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: Array, active: Array | int) -> Array:
        """Apply the layer.

        Args:
          x: ``[..., size]``.
          active: how many units are in use.

        Returns:
          ``[..., size]``, zero in the padding.
        """
        # an unused layer has none, and the mean of nothing is NaN
        counted = unit_mask(jnp.maximum(active, 1), x.shape[-1])
        norm = nn.LayerNorm(self.epsilon, scale_init=_ones(active))
        return only(active, norm(x, mask=_last(counted, x.ndim)))


class MaskedBatchNorm(nn.Module):
    """Flax's batch norm, whose padding stays zero.

    Where batches are accumulated, the statistics are those of a micro-batch.

    Args:
      momentum: of the running statistics, per step.
      epsilon: added to the variance.
    """

    momentum: float = 0.99
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Array, active: Array | int, train: bool) -> Array:
        """Apply the layer.

        Args:
          x: ``[..., size]``.
          active: how many units are in use.
          train: whether to use the batch's statistics, and to update the running ones.

        Returns:
          ``[..., size]``, zero in the padding.
        """
        norm = nn.BatchNorm(
            not train,
            momentum=self.momentum,
            epsilon=self.epsilon,
            scale_init=_ones(active),
        )
        return only(active, norm(x))


def _ones(active: Array | int) -> Callable[..., Array]:
    def init(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        return unit_mask(active, shape[-1]).astype(dtype)

    return init


def _last(x: Array, rank: int) -> Array:
    """``[size]`` with ones before it, for broadcasting that says so."""
    return jnp.expand_dims(x, tuple(range(rank - 1)))


def dropout(x: Array, rate: Array | float, key: Key) -> Array:
    """Zero each element with probability ``rate`` and scale up the others.

    Flax's own layer needs a Python number; here the rate may be traced. A unit's fate
    does not depend on the padding.

    Args:
      x: ``[..., size]``.
      rate: probability in ``[0, 1)``.
      key: random key.

    Returns:
      An array of the shape of ``x``.
    """
    rows = jnp.arange(_product(list(x.shape[:-1])))

    def row(i):
        return jax.random.uniform(jax.random.fold_in(key, i), x.shape[-1:])

    keep = jax.vmap(row)(rows).reshape(x.shape) >= rate
    return jnp.where(keep, x / (1 - rate), 0)
