"""A multilayer perceptron whose width and depth are data."""

from __future__ import annotations

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp

from jaxtune.models import masks
from jaxtune.models.layers import activate, normalise
from jaxtune.models.masks import MaskedDense
from jaxtune.types import Array


class MLP(nn.Module):
    """Dense layers padded to a largest size; lanes of one block differ in shape.

    A lane with ``hidden_units=w`` and ``layers=k`` computes what the plain network of
    ``k`` hidden layers of ``w`` units does.

    Args:
      classes: number of outputs.
      max_units: units of a hidden layer, padding included; also the width of a lane
        whose space has no ``hidden_units``.
      max_layers: hidden layers, unused ones included; also the depth of a lane whose
        space has no ``layers``.
      activation: one of ``relu``, ``tanh``, ``gelu``, ``silu``, where the space has no
        choice of that name.
      norm: ``"layer"`` or ``"batch"``, before the activation of each hidden layer.
    """

    classes: int
    max_units: int = 128
    max_layers: int = 1
    activation: str = "relu"
    norm: str | None = None

    @property
    def limits(self) -> dict[str, tuple[int, int]]:
        """Smallest and largest value of each hyperparameter that the padding bounds."""
        return {"hidden_units": (1, self.max_units), "layers": (1, self.max_layers)}

    @property
    def padding(self) -> dict[str, str]:
        """Which field bounds which hyperparameter."""
        return {"hidden_units": "max_units", "layers": "max_layers"}

    @nn.compact
    def __call__(
        self,
        x: Array,
        hidden_units: Array | int | None = None,
        layers: Array | int | None = None,
        dropout: Array | float | None = None,
        activation: Array | str | None = None,
        choices: Mapping[str, tuple] | None = None,
        train: bool = False,
    ) -> Array:
        """Apply the network.

        Args:
          x: ``[batch, ...]``, flattened.
          hidden_units: units in use in every hidden layer, 1 to ``max_units``.
          layers: hidden layers in use, 1 to ``max_layers``.
          dropout: probability of dropping a hidden unit while training.
          activation: a name, or an index of ``choices["activation"]``.
          choices: what the indices of traced choices stand for.
          train: whether to drop, and to use a batch's own statistics.

        Returns:
          ``[batch, classes]``.
        """
        units = self.max_units if hidden_units is None else hidden_units
        depth = self.max_layers if layers is None else layers
        activation = self.activation if activation is None else activation
        x = x.reshape(len(x), -1)
        for layer in range(self.max_layers):
            used = layer < depth
            active = jnp.where(used, units, 0)  # no weights in a layer not in use
            dense = MaskedDense(self.max_units, name=f"hidden_{layer}")
            new = dense(x, units if layer else None, active)
            new = activate(
                normalise(new, self.norm, active, train), activation, choices
            )
            if train and dropout is not None:
                new = masks.dropout(new, dropout, self.make_rng("dropout"))
            x = masks.pass_through(used, new, x) if layer else new
        return MaskedDense(self.classes, name="output")(x, units)
