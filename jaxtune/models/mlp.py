"""A multilayer perceptron whose width and depth are data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from jaxtune.door import check_each, one_of, optional, whole
from jaxtune.models import masks
from jaxtune.models.layers import ACTIVATIONS, NORMS, activate, normalise
from jaxtune.models.masks import MaskedDense
from jaxtune.types import Array


class MLP(nn.Module):
    """Dense layers padded to a largest size, so that width and depth can be searched.

    A lane with ``hidden_units=w`` and ``layers=k`` computes the same as an unpadded
    network of ``k`` hidden layers of ``w`` units.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> import jaxtune as jt
    >>> model = jt.models.MLP(classes=3, max_units=16, max_layers=2)
    >>> model.limits
    {'hidden_units': (1, 16), 'layers': (1, 2)}
    >>> x = jnp.ones((5, 4))
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), x)
    >>> variables["params"]["hidden_0"]["kernel"].shape  # padded
    (4, 16)
    >>> jax.eval_shape(model.apply, variables, x, hidden_units=8, layers=1).shape
    (5, 3)

    Args:
      classes: number of outputs.
      max_units: units of a hidden layer, padding included; also the width if the space
        has no ``hidden_units``.
      max_layers: hidden layers, unused ones included; also the depth if the space has
        no ``layers``.
      activation: ``relu``, ``tanh``, ``gelu`` or ``silu``, if the space has no choice
        named ``activation``.
      norm: ``"layer"`` or ``"batch"``, before the activation of each hidden layer.
    """

    classes: int
    max_units: int = 128
    max_layers: int = 1
    activation: str = "relu"
    norm: str | None = None

    def __post_init__(self) -> None:
        fields = (
            ("classes", self.classes, whole(1)),
            ("max_units", self.max_units, whole(1)),
            ("max_layers", self.max_layers, whole(1)),
            ("activation", self.activation, one_of(*ACTIVATIONS)),
            ("norm", self.norm, optional(one_of(*NORMS))),
        )
        check_each("MLP", fields)
        super().__post_init__()

    @property
    def limits(self) -> dict[str, tuple[int, int]]:
        """Smallest and largest value of each hyperparameter that the padding bounds."""
        return {"hidden_units": (1, self.max_units), "layers": (1, self.max_layers)}

    @property
    def padding(self) -> dict[str, str]:
        """Name of a hyperparameter to the field that bounds it."""
        return {"hidden_units": "max_units", "layers": "max_layers"}

    @nn.compact
    def __call__(
        self,
        x: Array,
        hidden_units: Array | int | None = None,
        layers: Array | int | None = None,
        dropout: Array | float | None = None,
        activation: Array | str | None = None,
        choices: Mapping[str, tuple[Any, ...]] | None = None,
        train: bool = False,
    ) -> Array:
        """Apply the network.

        Args:
          x: ``[batch, ...]``, flattened for each example.
          hidden_units: units in use in every hidden layer, 1 to ``max_units``.
          layers: hidden layers in use, 1 to ``max_layers``.
          dropout: probability of dropping a hidden unit while training.
          activation: a name, or an index of ``choices["activation"]``.
          choices: name of a traced choice to the values its indices stand for.
          train: whether to drop units, and to use a batch's own statistics.

        Returns:
          ``[batch, classes]``.
        """
        units = self.max_units if hidden_units is None else hidden_units
        depth = self.max_layers if layers is None else layers
        activation = self.activation if activation is None else activation
        x = x.reshape(len(x), -1)
        for layer in range(self.max_layers):
            used = layer < depth
            active = masks.units_in(used, units)  # no weights where none is in use
            dense = MaskedDense(self.max_units, name=f"hidden_{layer}")
            new = dense(x, units if layer else None, active)
            new = activate(
                normalise(new, self.norm, active, train), activation, choices
            )
            # masks.dropout, since Flax's needs a rate that is a Python number
            if train and dropout is not None:
                new = masks.dropout(new, dropout, self.make_rng("dropout"))
            # the first layer is always in use: its input may have another width
            x = masks.pass_through(used, new, x) if layer else new
        return MaskedDense(self.classes, name="output")(x, units)
