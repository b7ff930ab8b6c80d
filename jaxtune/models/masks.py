"""Layers and functions for padded models, whose width and depth are data.

The first units of a padded layer are in use and the others are padding. In the padding
weights, outputs and gradients are zero. An optimiser that maps zero to zero keeps it
so, and no norm, sum or weight decay notices the padding. Random numbers are drawn per
unit and not per array, so a network has the same initial weights at any padding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from jaxtune.door import FLAG, KEY, check_each, guarded, list_of, real, whole
from jaxtune.models.products import product, unfolded_convolution
from jaxtune.types import Array, Key


@guarded(active=real(traced=True), size=whole(0))
def unit_mask(active: Array | int, size: int) -> Array:
    """Mark the units in use, which come first.

    >>> import jaxtune as jt
    >>> jt.models.unit_mask(2, 4).tolist()
    [True, True, False, False]

    Args:
      active: how many units are in use, possibly traced.
      size: number of units, padding included.

    Returns:
      ``[size]`` bool.
    """
    return jnp.arange(size) < active


def only(active: Array | int, x: Array) -> Array:
    """Set the padding to zero.

    >>> import jax.numpy as jnp
    >>> import jaxtune as jt
    >>> jt.models.only(2, jnp.asarray([1.0, 2.0, 3.0, 4.0])).tolist()
    [1.0, 2.0, 0.0, 0.0]

    Args:
      active: how many units are in use.
      x: ``[..., size]``.

    Returns:
      An array of the shape of ``x``.
    """
    used = unit_mask(active, x.shape[-1])
    # where and not a product: NaN times zero would stay NaN
    return jnp.where(jnp.expand_dims(used, tuple(range(x.ndim - 1))), x, 0)


def pass_through(used: Array | bool, new: Array, old: Array) -> Array:
    """Choose a layer's output, or its input if the layer is not in use.

    >>> import jax.numpy as jnp
    >>> import jaxtune as jt
    >>> jt.models.pass_through(jnp.bool_(False), jnp.ones(2), jnp.zeros(2)).tolist()
    [0.0, 0.0]

    Args:
      used: ``[]`` bool, whether the layer is in use.
      new: the layer's output.
      old: the layer's input, of the same shape.

    Returns:
      One of the two. The layer's weights get no gradient if it is not in use.
    """
    if isinstance(used, bool):  # the depth is not searched
        return new if used else old
    return jnp.where(used, new, old)


def units_in(used: Array | bool, active: Array | int) -> Array | int:
    """Return how many units a layer has in use: none if the layer is not in use.

    Args:
      used: ``[]`` bool, whether the layer is in use.
      active: units in use in layers that are.

    Returns:
      A Python number if both are; a program is then made for it.
    """
    if isinstance(used, bool):
        return active if used else 0
    return jnp.where(used, active, 0)


def masked_lecun(inputs: Array | int, outputs: Array | int) -> Callable[..., Any]:
    """Make LeCun's normal initialiser over the units in use, zero in the padding.

    The variance is one over the number of inputs in use. Weights do not depend on the
    padding.

    >>> import jax
    >>> import jaxtune as jt
    >>> kernel = jt.models.masked_lecun(2, 3)(jax.random.key(0), (3, 4))
    >>> (kernel != 0).astype(int).tolist()
    [[1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]]

    Args:
      inputs: how many inputs are in use, or channels of a convolution.
      outputs: how many outputs are in use.

    Returns:
      An initialiser ``(key, shape, dtype) -> [*window, inputs, outputs]``.
    """

    def init(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        *window, width, size = shape
        places = jnp.arange(_product(window))

        # a key for each row: one draw for the whole array would depend on its shape
        def row(place: Array, unit: Array) -> Array:
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

    >>> import jax.numpy as jnp
    >>> import jaxtune as jt
    >>> params = {"kernel": jnp.ones((3, 4)), "bias": jnp.zeros(4)}
    >>> layer = jt.models.MaskedDense(size=4)
    >>> layer.apply({"params": params}, jnp.ones((1, 3)), outputs=2).tolist()
    [[3.0, 3.0, 0.0, 0.0]]

    Args:
      size: outputs, padding included.
    """

    size: int

    def __post_init__(self) -> None:
        check_each("MaskedDense", [("size", self.size, whole(1))])
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        x: Array,
        inputs: Array | int | None = None,
        outputs: Array | int | None = None,
        gain: Array | float | None = None,
    ) -> Array:
        """Apply the layer.

        Args:
          x: ``[..., padded inputs]``.
          inputs: how many inputs are in use; all if not given.
          outputs: how many outputs are in use; all if not given.
          gain: factor of the initial weights.

        Returns:
          ``[..., size]``, zero in the padding.
        """
        width = x.shape[-1]
        inputs = width if inputs is None else inputs
        outputs = self.size if outputs is None else outputs
        init = masked_lecun(inputs, outputs)
        init = init if gain is None else _times(init, gain)
        kernel = self.param("kernel", init, (width, self.size))
        bias = self.param("bias", nn.initializers.zeros, (self.size,), jnp.float32)
        # as Flax adds it, so that the programs are the same
        out = product(x, kernel) + bias.reshape((1,) * (x.ndim - 1) + (-1,))
        if isinstance(outputs, int) and outputs >= self.size:
            return out  # nothing is searched, and the layer is a plain one
        return only(outputs, out)


def _times(init: Callable[..., Array], gain: Array | float) -> Callable[..., Array]:
    def larger(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        return init(key, shape, dtype) * jnp.asarray(gain, dtype)

    return larger


WINDOW = list_of(whole(1), 2)._replace(
    words="two whole numbers from 1",
    holds=lambda value: list_of(whole(1), 2).holds(value) and len(value) == 2,
)


class MaskedConv(nn.Module):
    """A convolution of stride 1 whose first channels are in use.

    Images keep their size, and channels in the padding stay zero. Input channels in the
    padding must be zero.

    >>> import jax.numpy as jnp
    >>> import jaxtune as jt
    >>> params = {"kernel": jnp.ones((1, 1, 2, 4)), "bias": jnp.zeros(4)}
    >>> layer = jt.models.MaskedConv(size=4, window=(1, 1))
    >>> out = layer.apply({"params": params}, jnp.ones((1, 5, 5, 2)), outputs=3)
    >>> out.shape, out[0, 0, 0].tolist()
    ((1, 5, 5, 4), [2.0, 2.0, 2.0, 0.0])

    Args:
      size: output channels, padding included.
      window: height and width of the kernel.
      unfolded: whether to convolve by `jaxtune.models.unfolded_convolution`.
    """

    size: int
    window: tuple[int, int] = (3, 3)
    unfolded: bool = False

    def __post_init__(self) -> None:
        fields = (
            ("size", self.size, whole(1)),
            ("window", self.window, WINDOW),
            ("unfolded", self.unfolded, FLAG),
        )
        check_each("MaskedConv", fields)
        super().__post_init__()

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
        bias = self.param("bias", nn.initializers.zeros, (self.size,), jnp.float32)
        convolve = (
            unfolded_convolution if self.unfolded else jax.lax.conv_general_dilated
        )
        order = ("NHWC", "HWIO", "NHWC")
        x, kernel = promote_dtype(x, kernel)
        x = convolve(x, kernel, (1, 1), "SAME", dimension_numbers=order)
        return only(outputs, x + _last(bias, x.ndim))


class MaskedLayerNorm(nn.Module):
    """Flax's layer norm, with mean and variance over the units in use.

    >>> import jax.numpy as jnp
    >>> import jaxtune as jt
    >>> params = {"LayerNorm_0": {"scale": jnp.ones(4), "bias": jnp.zeros(4)}}
    >>> layer, x = jt.models.MaskedLayerNorm(), jnp.asarray([[1.0, 3.0, 0.0, 0.0]])
    >>> layer.apply({"params": params}, x, active=2).round(3).tolist()
    [[-1.0, 1.0, 0.0, 0.0]]

    Args:
      epsilon: added to the variance.
    """

    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        check_each("MaskedLayerNorm", [("epsilon", self.epsilon, real(0))])
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, active: Array | int) -> Array:
        """Apply the layer.

        Args:
          x: ``[..., size]``.
          active: how many units are in use.

        Returns:
          ``[..., size]``, zero in the padding.
        """
        # an unused layer has no unit in use, and the mean of nothing is NaN
        counted = unit_mask(jnp.maximum(active, 1), x.shape[-1])
        norm = nn.LayerNorm(self.epsilon, scale_init=_ones(active))
        return only(active, norm(x, mask=_last(counted, x.ndim)))


class MaskedBatchNorm(nn.Module):
    """Flax's batch norm, whose padding stays zero.

    If batches are accumulated, the statistics are those of a micro-batch.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> import jaxtune as jt
    >>> layer, x = jt.models.MaskedBatchNorm(), jnp.asarray([[1.0, 0.0], [3.0, 0.0]])
    >>> out, _ = layer.init_with_output(jax.random.key(0), x, active=1, train=True)
    >>> out.round(3).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]

    Args:
      momentum: of the running statistics, per step.
      epsilon: added to the variance.
    """

    momentum: float = 0.99
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        fields = (
            ("momentum", self.momentum, real(0, 1)),
            ("epsilon", self.epsilon, real(0)),
        )
        check_each("MaskedBatchNorm", fields)
        super().__post_init__()

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
    # zero in the padding, as all weights are: no norm of the parameters counts them
    def init(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        return unit_mask(active, shape[-1]).astype(dtype)

    return init


def _last(x: Array, rank: int) -> Array:
    """Return ``[1, ..., size]`` of rank ``rank``; rank promotion is never implicit."""
    return jnp.expand_dims(x, tuple(range(rank - 1)))


@guarded(rate=real(0, 1, traced=True), key=KEY)
def dropout(x: Array, rate: Array | float, key: Key) -> Array:
    """Set each element to zero with probability ``rate`` and scale up the others.

    Flax's own layer needs a Python number; here the rate may be traced. Which elements
    are dropped does not depend on the padding.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> import jaxtune as jt
    >>> out = jt.models.dropout(jnp.ones((2, 4)), 0.5, jax.random.key(0))
    >>> sorted(set(out.ravel().tolist()))
    [0.0, 2.0]

    Args:
      x: ``[..., size]``.
      rate: probability in ``[0, 1)``.
      key: random key.

    Returns:
      An array of the shape of ``x``.
    """
    rows = jnp.arange(_product(list(x.shape[:-1])))

    def row(i: Array) -> Array:
        return jax.random.uniform(jax.random.fold_in(key, i), x.shape[-1:])

    keep = jax.vmap(row)(rows).reshape(x.shape) >= rate
    return jnp.where(keep, x / (1 - rate), 0)
