"""Forms of pooling: slices of the operand, one for each place of the window."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
from jax import lax

from jaxtune.forms.rules import Rule, is_real
from jaxtune.forms.windows import slices_at
from jaxtune.types import Array

MOST_PLACES = 32  # of a window that is written out; more take long to compile


def _sizes(params: Mapping[str, Any], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sizes of the result along all axes."""
    parts = zip(
        shape,
        params["window_dimensions"],
        params["window_strides"],
        params["padding"],
        strict=True,
    )
    return tuple(
        (n + low + high - size) // step + 1 for n, size, step, (low, high) in parts
    )


def _slices(params: Mapping[str, Any], x: Array, fill: float) -> Iterator[Array]:
    """Yield what each place of the window sees, in XLA's order of places."""
    config = [(low, high, 0) for low, high in params["padding"]]
    return slices_at(
        lax.pad(x, jnp.asarray(fill, x.dtype), config),
        places=params["window_dimensions"],
        apart=(1,) * x.ndim,
        sizes=_sizes(params, x.shape),
        steps=params["window_strides"],
    )


def _maximum(params: Mapping[str, Any], x: Array) -> Array:
    slices = _slices(params, x, -jnp.inf)
    result = next(slices)
    for seen in slices:
        result = jnp.maximum(result, seen)
    return result


def _sum(params: Mapping[str, Any], x: Array) -> Array:
    slices = _slices(params, x, 0.0)
    # XLA adds up in float32 too
    result = next(slices).astype(jnp.promote_types(x.dtype, jnp.float32))
    for seen in slices:
        result = result + seen.astype(result.dtype)
    return result.astype(x.dtype)


def _maximum_gradient(params: Mapping[str, Any], source: Array, x: Array) -> Array:
    """Send each gradient to the first maximum of its window, as XLA does."""
    best, chosen = None, jnp.zeros(source.shape, jnp.int32)
    for index, seen in enumerate(_slices(params, x, -jnp.inf)):
        if best is None:
            best = seen
            continue
        larger = ~(best >= seen)  # XLA's comparison, with its answer for NaN
        chosen = jnp.where(larger, index, chosen)
        best = jnp.where(larger, seen, best)
    parts = [
        jnp.where(chosen == index, source, jnp.zeros((), source.dtype))
        for index in range(math.prod(params["window_dimensions"]))
    ]
    if _tiles(params, x.shape):
        return _interleaved(params, parts, x.shape)
    return _scattered(params, parts, x)


def _tiles(params: Mapping[str, Any], shape: tuple[int, ...]) -> bool:
    """Return whether the windows cover each element exactly once."""
    sizes, steps = params["window_dimensions"], params["window_strides"]
    padded = any(pair != (0, 0) for pair in params["padding"])
    whole = all(n % size == 0 for n, size in zip(shape, sizes, strict=True))
    return tuple(sizes) == tuple(steps) and not padded and whole


def _interleaved(
    params: Mapping[str, Any], parts: list[Array], shape: tuple[int, ...]
) -> Array:
    """Put the parts of windows that tile the operand back into their places."""
    sizes = params["window_dimensions"]
    # [places, *result] -> [*window, *result] -> [result 0, window 0, result 1, ...]
    stacked = jnp.stack(parts).reshape(*sizes, *parts[0].shape)
    rank = len(shape)
    order = [axis for i in range(rank) for axis in (rank + i, i)]
    return stacked.transpose(order).reshape(shape)


def _scattered(params: Mapping[str, Any], parts: list[Array], x: Array) -> Array:
    """Add the parts of windows that overlap or are padded, each at its place."""
    total: Any = None
    places = itertools.product(*map(range, params["window_dimensions"]))
    for place, part in zip(places, parts, strict=True):
        config = []
        for at, n, size, step, (low, _) in zip(
            place,
            x.shape,
            part.shape,
            params["window_strides"],
            params["padding"],
            strict=True,
        ):
            before = at - low
            # a negative number cuts what lies in the padding
            config.append((before, n - before - ((size - 1) * step + 1), step - 1))
        moved = lax.pad(part, jnp.zeros((), part.dtype), config)
        total = moved if total is None else total + moved
    return total


def _is_small(params: Mapping[str, Any], shapes: tuple[Any, ...]) -> bool:
    """Return whether a window over real numbers has few places and a result."""
    dilated = {*params.get("base_dilation", ()), *params.get("window_dilation", ())}
    x = shapes[-1]
    few = 1 < math.prod(params["window_dimensions"]) <= MOST_PLACES
    if not (few and dilated <= {1} and is_real(x.dtype)):
        return False
    return min(*x.shape, *_sizes(params, x.shape)) > 0


def _is_maximum_gradient(params: Mapping[str, Any], shapes: tuple[Any, ...]) -> bool:
    return params["select_prim"].name == "ge" and _is_small(params, shapes)


MAXIMUM = Rule("max pools as slices", "reduce_window_max", _is_small, _maximum)
AVERAGE = Rule("average pools as slices", "reduce_window_sum", _is_small, _sum)
MAXIMUM_GRADIENT = Rule(
    "gradients of max pools as slices",
    "select_and_scatter_add",
    _is_maximum_gradient,
    _maximum_gradient,
)
