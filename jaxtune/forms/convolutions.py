"""Forms of a convolution: canonical, shifted products, one product, unfolded.

A convolution is first written with its axes in the canonical order, channels last:
``[batch, *space, inputs]`` with ``[*window, inputs, outputs]``. The gradients of a
convolution are convolutions too, in other orders, so that one set of rules serves all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from jaxtune.forms.rules import Rule, is_real, lane_by_lane
from jaxtune.forms.windows import slices_at
from jaxtune.types import Array

CONVOLUTION = "conv_general_dilated"
MOST_TERMS = 128  # of a sum that is written out; more take long to compile
# of one input with all outputs at a place; from about here on XLA's own form is faster
FEW_PRODUCTS = 400
MOST_GROUPS = 8  # written out one by one; more become a loop


class Geometry(NamedTuple):
    """The shapes of a convolution in the canonical order; static.

    Args:
      x: shape ``[batch, *space, inputs]``.
      kernel: shape ``[*window, inputs / groups, outputs]``.
      space: sizes of the result along the axes of space.
      strides: of the window.
      padding: pairs of zeros before and after; negative ones cut.
      spread: distance of neighbours of ``x`` (``lhs_dilation``).
      dilation: distance of neighbours in the window (``rhs_dilation``).
      groups: of features: outputs see the inputs of their own group.
      batch_groups: of examples: outputs see the examples of their own group.
    """

    x: tuple[int, ...]
    kernel: tuple[int, ...]
    space: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    spread: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    batch_groups: int

    @property
    def window(self) -> tuple[int, ...]:
        """Sizes of the window along the axes of space."""
        return self.kernel[:-2]

    @property
    def inputs(self) -> int:
        """Number of inputs that an output sees."""
        return self.kernel[-2]

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.kernel[-1]

    @property
    def padded(self) -> bool:
        """True if zeros are put around ``x`` or between its elements."""
        return set(self.spread) != {1} or set(self.padding) != {(0, 0)}


def canonical_order(numbers: Any) -> tuple[tuple[int, ...], ...]:
    """Return the transpositions of both operands, and the one back, of the result."""
    batch, features, *space = numbers.lhs_spec
    outputs, inputs, *window = numbers.rhs_spec
    # place of each axis of the canonical result in the result that is wanted
    axes = (numbers.out_spec[0], *numbers.out_spec[2:], numbers.out_spec[1])
    back = tuple(axes.index(axis) for axis in range(len(axes)))
    return (batch, *space, features), (*window, inputs, outputs), back


def geometry(params: Mapping[str, Any], shapes: tuple[Any, ...]) -> Geometry:
    """Return the shapes of a convolution in the canonical order.

    Args:
      params: of the operation.
      shapes: two arrays or abstract arrays, as the operation takes them.
    """
    x_order, kernel_order, _ = canonical_order(params["dimension_numbers"])
    x = tuple(shapes[0].shape[axis] for axis in x_order)
    kernel = tuple(shapes[1].shape[axis] for axis in kernel_order)
    padding = tuple((low, high) for low, high in params["padding"])
    space = []
    for axis, (low, high) in enumerate(padding):
        size = (x[1 + axis] - 1) * params["lhs_dilation"][axis] + 1 + low + high
        reach = (kernel[axis] - 1) * params["rhs_dilation"][axis] + 1
        space.append((size - reach) // params["window_strides"][axis] + 1)
    return Geometry(
        x,
        kernel,
        tuple(space),
        tuple(params["window_strides"]),
        padding,
        tuple(params["lhs_dilation"]),
        tuple(params["rhs_dilation"]),
        params["feature_group_count"],
        params["batch_group_count"],
    )


# --- canonical, one lane after another ---


def _convolve(
    params: Mapping[str, Any], shape: Geometry, x: Array, kernel: Array
) -> Array:
    """Convolve in the canonical order, by XLA."""
    rank = x.ndim
    order = (0, rank - 1, *range(1, rank - 1))
    numbers = lax.ConvDimensionNumbers(
        order, (rank - 1, rank - 2, *range(rank - 2)), order
    )
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=shape.strides,
        padding=shape.padding,
        lhs_dilation=shape.spread,
        rhs_dilation=shape.dilation,
        dimension_numbers=numbers,
        feature_group_count=shape.groups,
        batch_group_count=shape.batch_groups,
        precision=params["precision"],
        preferred_element_type=params["preferred_element_type"],
    )


def _canonical(
    params: Mapping[str, Any], shape: Geometry, x: Array, kernel: Array
) -> Array:
    return lane_by_lane(partial(_convolve, params, shape))(x, kernel)


def _by_groups(
    params: Mapping[str, Any], shape: Geometry, x: Array, kernel: Array
) -> Array:
    """Convolve the groups of a batch one after another."""
    count = shape.batch_groups
    alone = shape._replace(batch_groups=1)

    def groups(x: Array, kernel: Array) -> Array:
        xs = x.reshape(count, -1, *x.shape[1:])
        kernels = jnp.moveaxis(kernel.reshape(*kernel.shape[:-1], count, -1), -2, 0)
        if count <= MOST_GROUPS:
            pairs = zip(xs, kernels, strict=True)
            parts = [_convolve(params, alone, *pair) for pair in pairs]
            return jnp.concatenate(parts, axis=-1)
        done = lax.map(lambda pair: _convolve(params, alone, *pair), (xs, kernels))
        return jnp.moveaxis(done, 0, -2).reshape(*done.shape[1:-1], -1)

    return lane_by_lane(groups)(x, kernel)


# --- sums and products ---


def _spread_out(shape: Geometry, x: Array) -> Array:
    """Return ``x`` with the zeros around and between its elements."""
    pairs = zip(shape.padding, shape.spread, strict=True)
    config = [(low, high, step - 1) for (low, high), step in pairs]
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *config, (0, 0, 0)])


def _shifts(shape: Geometry, x: Array) -> Iterator[Array]:
    """Yield what each place of the window sees, ``[batch, *out, inputs]``."""
    return slices_at(
        _spread_out(shape, x),
        places=(1, *shape.window, 1),
        apart=(1, *shape.dilation, 1),
        sizes=(x.shape[0], *shape.space, x.shape[-1]),
        steps=(1, *shape.strides, 1),
    )


def _result_dtype(params: Mapping[str, Any], x: Array) -> Any:
    return params["preferred_element_type"] or x.dtype


def _shifted(
    params: Mapping[str, Any], shape: Geometry, x: Array, kernel: Array
) -> Array:
    """Convolve few inputs for each output: a sum of shifted products."""
    groups, each = shape.groups, shape.outputs // shape.groups
    # XLA adds up in float32 too
    dtype = jnp.promote_types(_result_dtype(params, x), jnp.float32)
    weights = kernel.reshape(-1, shape.inputs, groups, each).astype(dtype)
    total: Any = None
    for place, seen in enumerate(_shifts(shape, x)):
        seen = seen.reshape(*seen.shape[:-1], groups, shape.inputs).astype(dtype)
        for one in range(shape.inputs):
            term = seen[..., one, None] * jnp.expand_dims(
                weights[place, one], tuple(range(seen.ndim - 2))
            )
            total = term if total is None else total + term
    result = total.reshape(*total.shape[:-2], shape.outputs)
    return result.astype(_result_dtype(params, x))


def _product(
    params: Mapping[str, Any], shape: Geometry, x: Array, kernel: Array
) -> Array:
    """Convolve by one product: the window has one place, or the result has."""
    if math.prod(shape.window) == 1:
        seen = next(_shifts(shape, x))
        contracted: Any = ((x.ndim - 1,), (0,))
        kernel = kernel.reshape(kernel.shape[-2:])
    else:
        steps = (1, *shape.dilation, 1)
        seen = lax.slice(x, (0,) * x.ndim, x.shape, steps)
        seen = seen[:, *[slice(size) for size in shape.window]]
        contracted = (tuple(range(1, x.ndim)), tuple(range(x.ndim - 1)))
    result = lax.dot_general(
        seen,
        kernel,
        (contracted, ((), ())),
        precision=params["precision"],
        preferred_element_type=params["preferred_element_type"],
    )
    return result.reshape(x.shape[0], *shape.space, shape.outputs)


def _unfolded(
    params: Mapping[str, Any], shape: Geometry, x: Array, kernel: Array
) -> Array:
    """Convolve by one product of the columns that the window sees."""
    columns = jnp.concatenate(list(_shifts(shape, x)), axis=-1)
    return jnp.matmul(
        columns,
        kernel.reshape(-1, shape.outputs),
        precision=params["precision"],
        preferred_element_type=params["preferred_element_type"],
    )


def _unfolded_gradient(
    params: Mapping[str, Any], shape: Geometry, x: Array, kernel: Array
) -> Array:
    """Convolve with a large window and a small result, as in a kernel's gradient."""
    rows = slices_at(
        _spread_out(shape, x),
        places=(1, *shape.space, 1),
        apart=(1, *shape.strides, 1),
        sizes=(x.shape[0], *shape.window, x.shape[-1]),
        steps=(1, *shape.dilation, 1),
    )
    seen = jnp.stack(list(rows), axis=1)
    window = tuple(range(2, seen.ndim)), tuple(range(kernel.ndim - 1))
    result = lax.dot_general(
        seen,
        kernel,
        (window, ((), ())),
        precision=params["precision"],
        preferred_element_type=params["preferred_element_type"],
    )
    return result.reshape(x.shape[0], *shape.space, shape.outputs)


# --- which form for which shape ---


def _is_product(shape: Geometry) -> bool:
    if shape.groups * shape.batch_groups > 1 or shape.padded:
        return False
    return math.prod(shape.window) == 1 or math.prod(shape.space) == 1


def _is_thin(shape: Geometry) -> bool:
    """Return whether each output sees few inputs, and the sums are not too long."""
    terms = math.prod(shape.window) * shape.inputs
    if shape.groups > 1:
        thin = shape.inputs <= 2
    else:
        thin = shape.inputs == 1 and terms * shape.outputs <= FEW_PRODUCTS
    return thin and shape.batch_groups == 1 and terms <= MOST_TERMS


def _has_batch_groups(shape: Geometry) -> bool:
    depthwise = shape.batch_groups == shape.x[0] == shape.outputs
    return shape.batch_groups > 1 and shape.groups == 1 and not depthwise


def _is_plain(shape: Geometry) -> bool:
    """Return whether a convolution has neither groups nor zeros inside ``x``."""
    return shape.groups * shape.batch_groups == 1 and set(shape.spread) == {1}


def _has_small_window(shape: Geometry) -> bool:
    return _is_plain(shape) and math.prod(shape.window) <= MOST_TERMS


def _has_small_result(shape: Geometry) -> bool:
    return _is_plain(shape) and math.prod(shape.space) <= MOST_TERMS


def _is_any(shape: Geometry) -> bool:
    return True


def _rule(
    words: str, fits: Callable[[Geometry], bool], form: Any, apart: bool = False
) -> Rule:
    """Return a rule for real numbers in 1 to 3 dimensions, where there is a result."""

    def applies(params: Mapping[str, Any], shapes: tuple[Any, ...]) -> bool:
        x, kernel = shapes
        if x.ndim not in (3, 4, 5) or not (is_real(x.dtype) and is_real(kernel.dtype)):
            return False
        shape = geometry(params, shapes)
        return min(*shape.x, *shape.kernel, *shape.space) > 0 and fits(shape)

    def compute(params: Mapping[str, Any], x: Array, kernel: Array) -> Array:
        """Compute a form, inside of which the axes have the canonical order."""
        shape = geometry(params, (x, kernel))
        x_order, kernel_order, back = canonical_order(params["dimension_numbers"])
        x, kernel = x.transpose(x_order), kernel.transpose(kernel_order)
        return form(params, shape, x, kernel).transpose(back)

    return Rule(words, CONVOLUTION, applies, compute, apart)


PRODUCT = _rule("convolutions as one product", _is_product, _product)
SHIFTED = _rule("convolutions as shifted products", _is_thin, _shifted)
GROUPS = _rule("convolutions group by group", _has_batch_groups, _by_groups, True)
CANONICAL = _rule("convolutions lane by lane", _is_any, _canonical, True)
UNFOLDED = _rule("convolutions unfolded", _has_small_window, _unfolded)
UNFOLDED_GRADIENT = _rule(
    "convolutions unfolded", _has_small_result, _unfolded_gradient
)
