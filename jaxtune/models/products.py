"""Products and convolutions in forms that are fast when lanes are stacked.

Under ``vmap`` a convolution becomes a grouped one, whose gradient XLA computes slowly
on a CPU. Unfolded into one matrix product it is several times as fast; see
``benchmarks/scaling.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxtune.forms.windows import slices_at
from jaxtune.hardware import hardware_of
from jaxtune.types import Array

THIN = 64  # outputs of a layer, below which its gradient is computed transposed


@jax.custom_vjp
def thin_product(x: Array, kernel: Array) -> Array:
    """Compute ``x @ kernel`` for few outputs, as in a classifier's last layer.

    The kernel's gradient is computed as a product whose last axis is the long one, and
    then transposed. That takes half the time for 10 outputs on a CPU.

    Args:
      x: ``[batch, inputs]``.
      kernel: ``[inputs, outputs]``.

    Returns:
      ``[batch, outputs]``.
    """
    return x @ kernel


def _thin_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return x @ kernel, (x, kernel)


def _thin_backward(saved: tuple[Array, Array], out: Array) -> tuple[Array, Array]:
    x, kernel = saved
    # without the barrier XLA undoes the transposition
    gradient = jax.lax.optimization_barrier(out.T @ x).T
    return out @ kernel.T, gradient


thin_product.defvjp(_thin_forward, _thin_backward)


def product(x: Array, kernel: Array) -> Array:
    """Compute ``x @ kernel`` in the form that is fast on this kind of device.

    Args:
      x: ``[..., inputs]``.
      kernel: ``[inputs, outputs]``.

    Returns:
      ``[..., outputs]``.
    """
    thin = x.ndim == 2 and kernel.shape[1] < min(THIN, kernel.shape[0])
    # elsewhere the barrier costs, and the layer is to be as fast as a plain one
    if thin and hardware_of().name == "cpu":
        return thin_product(x, kernel)
    return x @ kernel


def unfolded_convolution(
    lhs: Array,
    rhs: Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """Convolve by one matrix product, in place of ``lax.conv_general_dilated``.

    For networks of your own:

    >>> import flax.linen as nn
    >>> import jax
    >>> import jax.numpy as jnp
    >>> import jaxtune as jt
    >>> unfolded = jt.models.unfolded_convolution
    >>> layer = nn.Conv(16, (3, 3), conv_general_dilated=unfolded)
    >>> key, x = jax.random.key(0), jnp.ones((1, 8, 8, 2))
    >>> jax.eval_shape(layer.init_with_output, key, x)[0].shape
    (1, 8, 8, 16)

    Args:
      lhs: ``[batch, *space, channels]``.
      rhs: ``[*window, channels, outputs]``.
      window_strides: one number for each axis of space.
      padding: ``"SAME"``, ``"VALID"``, or for each axis of space a pair of the zeros
        added before and after.
      lhs_dilation: only ones.
      rhs_dilation: distance of the window's elements along each axis.
      dimension_numbers: channels last, as in Flax; not checked if ``None``.
      feature_group_count: only 1.
      batch_group_count: only 1.
      precision: of the product, as ``jnp.matmul`` takes it.
      preferred_element_type: of the result.

    Returns:
      ``[batch, *space, outputs]``.

    Raises:
      ValueError: dilated inputs, groups, or channels that are not last.
    """
    space = rhs.ndim - 2
    steps = tuple(rhs_dilation or (1,) * space)
    if set(lhs_dilation or ()) - {1} or (feature_group_count, batch_group_count) != (
        1,
        1,
    ):
        raise ValueError(
            f"unfolded_convolution: got lhs_dilation={lhs_dilation}, groups "
            f"{feature_group_count} and {batch_group_count}. It has neither: use "
            "jax.lax.conv_general_dilated."
        )
    _check_layout(dimension_numbers, lhs, rhs)
    window = rhs.shape[:space]
    reach = [(n - 1) * step + 1 for n, step in zip(window, steps, strict=True)]
    if isinstance(padding, str):
        shape = lhs.shape[1:-1]
        padding = jax.lax.padtype_to_pads(shape, reach, window_strides, padding)
    padded = jnp.pad(lhs, ((0, 0), *padding, (0, 0)))
    sizes = [
        (full - length) // stride + 1
        for full, length, stride in zip(
            padded.shape[1:-1], reach, window_strides, strict=True
        )
    ]
    # the order of the kernel's axes, window first, so that its reshape fits the columns
    shifted = slices_at(
        padded,
        places=(1, *window, 1),
        apart=(1, *steps, 1),
        sizes=(padded.shape[0], *sizes, padded.shape[-1]),
        steps=(1, *window_strides, 1),
    )
    columns = jnp.concatenate(list(shifted), axis=-1)
    return jnp.matmul(
        columns,
        rhs.reshape(-1, rhs.shape[-1]),
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def _check_layout(numbers: Any, lhs: Array, rhs: Array) -> None:
    if numbers is None:
        return
    given = jax.lax.conv_dimension_numbers(lhs.shape, rhs.shape, numbers)
    space = tuple(range(1, lhs.ndim - 1))
    last = (0, lhs.ndim - 1, *space)
    kernel = (rhs.ndim - 1, rhs.ndim - 2, *range(rhs.ndim - 2))
    if (given.lhs_spec, given.rhs_spec, given.out_spec) != (last, kernel, last):
        raise ValueError(
            f"unfolded_convolution: got dimension_numbers={numbers}. Channels must be "
            "last, as in ('NHWC', 'HWIO', 'NHWC')."
        )
