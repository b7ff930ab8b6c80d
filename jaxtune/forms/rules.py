"""A rule: one kind of operation, and another form that computes the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from jaxtune.types import Array


class Rule(NamedTuple):
    """One kind of operation, and another form that computes the same.

    A form is traced after differentiation and before ``vmap``, so it needs no
    derivative, and sees the shapes of one lane.

    Args:
      words: a name for a plan, in the plural, such as ``"convolutions lane by lane"``.
      primitive: name of the operation in a jaxpr.
      applies: ``(params, shapes) -> bool``, from the parameters of the operation and
        the abstract arrays of its operands.
      compute: ``(params, operands) -> array``, of the same shape and dtype.
      apart: whether lanes are computed one after another, so that a block gains
        nothing from more of them.
    """

    words: str
    primitive: str
    applies: Callable[[Mapping[str, Any], tuple[Any, ...]], bool]
    compute: Callable[..., Array]
    apart: bool = False


def lane_by_lane(function: Callable[..., Array]) -> Callable[..., Array]:
    """Return a function that ``vmap`` runs for one lane after another.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> from jaxtune.forms.rules import lane_by_lane
    >>> double = lane_by_lane(lambda x: 2 * x)
    >>> jax.vmap(double)(jnp.arange(3.0)).tolist()
    [0.0, 2.0, 4.0]

    Args:
      function: of arrays, to one array.

    Returns:
      The function, with a rule of its own for ``vmap``.
    """
    mapped = custom_vmap(function)

    @mapped.def_vmap
    def one_after_another(
        lanes: int, batched: list[bool], *operands: Array
    ) -> tuple[Array, bool]:
        own = [x for x, has_lanes in zip(operands, batched, strict=True) if has_lanes]

        def one(own: list[Array]) -> Array:
            # what all lanes share is not copied for each of them
            rest = iter(own)
            pairs = zip(operands, batched, strict=True)
            return function(*[next(rest) if has else x for x, has in pairs])

        if lanes == 1:  # a loop of one turn would still copy its operands
            return one([x[0] for x in own])[None], True
        return jax.lax.map(one, own), True

    return mapped


def is_real(dtype: Any) -> bool:
    """Return whether a dtype is a floating-point type of real numbers."""
    return bool(jnp.issubdtype(dtype, jnp.floating))
