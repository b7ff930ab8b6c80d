"""Activations and norms by name, shared by the padded models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxtune.door import whole
from jaxtune.models import masks
from jaxtune.space.arrival import Choice
from jaxtune.types import Array

ACTIVATIONS = {"relu": nn.relu, "tanh": nn.tanh, "gelu": nn.gelu, "silu": nn.silu}
OUTPUTS = whole(1)._replace(
    way_out="It is the number of outputs: classes=1 for a regression of one target."
)
NORMS = {"batch": masks.MaskedBatchNorm, "layer": masks.MaskedLayerNorm}


def activate(
    x: Array,
    activation: str | Choice | Array,
    choices: Mapping[str, tuple[Any, ...]] | None = None,
) -> Array:
    """Apply an activation given by name, or by a traced choice of names.

    For a traced choice all of its activations are computed and one is kept: cheap
    beside a matrix product, and one program instead of several.

    >>> import jax.numpy as jnp
    >>> import jaxtune as jt
    >>> x = jnp.asarray([-1.0, 1.0])
    >>> jt.models.activate(x, "relu").tolist()
    [0.0, 1.0]
    >>> kind = jt.Choice("activation", ("tanh", "relu"), index=jnp.int32(1))
    >>> jt.models.activate(x, kind).tolist()
    [0.0, 1.0]

    Args:
      x: any shape.
      activation: ``relu``, ``tanh``, ``gelu`` or ``silu``, a `Choice` of them, or an
        index ``[]``.
      choices: ``"activation"`` to the names that an index stands for.

    Returns:
      An array of the shape of ``x``.

    Raises:
      ValueError: an unknown name, or an index without names.
    """
    if isinstance(activation, str):
        return ACTIVATIONS[_known(activation)](x)
    names = (choices or {}).get("activation")
    if isinstance(activation, Choice):
        names, activation = activation.values, activation.index
    if names is None:
        raise ValueError(
            "activation: got a number without its list of names. Use "
            "choice(['relu', 'tanh'], ...) in the space."
        )
    # where, not lax.switch: under vmap a switch computes every branch as well
    out = ACTIVATIONS[_known(names[0])](x)
    for index, name in enumerate(names[1:], 1):
        out = jnp.where(activation == index, ACTIVATIONS[_known(name)](x), out)
    return out


def _known(name: str) -> str:
    if name not in ACTIVATIONS:
        raise ValueError(
            f"activation: got {name!r}. Use one of {', '.join(ACTIVATIONS)}."
        )
    return name


def normalise(x: Array, norm: str | None, active: Array | int, train: bool) -> Array:
    """Apply a masked norm by name, inside the compact method of a module.

    Args:
      x: ``[..., size]``.
      norm: ``"layer"``, ``"batch"``, or ``None``.
      active: how many units are in use.
      train: whether to use the batch's own statistics; for ``"batch"`` only.

    Returns:
      An array of the shape of ``x``.

    Raises:
      ValueError: an unknown name.
    """
    if norm is None:
        return x
    if norm == "layer":
        return masks.MaskedLayerNorm()(x, active)
    if norm == "batch":
        return masks.MaskedBatchNorm()(x, active, train)
    raise ValueError(f"norm: got {norm!r}. Use one of {', '.join(NORMS)}, or None.")
