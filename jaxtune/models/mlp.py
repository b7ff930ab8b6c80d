"""A multilayer perceptron whose width and depth are data."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from jaxtune.models import masks
from jaxtune.models.masks import MaskedDense
from jaxtune.types import Array

ACTIVATIONS = {"relu": nn.relu, "tanh": nn.tanh, "gelu": nn.gelu, "silu": nn.silu}


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
      activation: one of ``relu``, ``tanh``, ``gelu``, ``silu``; searched with a static
        choice of that name.
    """

    classes: int
    max_units: int = 128
    max_layers: int = 1
    activation: str = "relu"

    @property
    def limits(self) -> dict[str, tuple[int, int]]:
        """Smallest and largest value of each hyperparameter that the padding bounds."""
        return {"hidden_units": (1, self.max_units), "layers": (1, self.max_layers)}

    @nn.compact
    def __call__(
        self,
        x: Array,
        hidden_units: Array | int | None = None,
        layers: Array | int | None = None,
        dropout: Array | float | None = None,
        train: bool = False,
    ) -> Array:
        """Apply the network.

        Args:
          x: ``[batch, ...]``, flattened.
          hidden_units: units in use in every hidden layer, 1 to ``max_units``.
          layers: hidden layers in use, 1 to ``max_layers``.
          dropout: probability of dropping a hidden unit while training.
          train: whether to drop.

        Returns:
          ``[batch, classes]``.
        """
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"activation: got {self.activation!r}. Use one of "
                f"{', '.join(ACTIVATIONS)}, in a choice with static=True."
            )
        units = self.max_units if hidden_units is None else hidden_units
        depth = self.max_layers if layers is None else layers
        x = x.reshape(len(x), -1)
        for layer in range(self.max_layers):
            used = layer < depth
            dense = MaskedDense(self.max_units, name=f"hidden_{layer}")
            # an unused layer has no outputs in use: its weights start and stay zero
            new = dense(x, units if layer else None, jnp.where(used, units, 0))
            new = ACTIVATIONS[self.activation](new)
            if train and dropout is not None:
                new = masks.dropout(new, dropout, self.make_rng("dropout"))
            x = jnp.where(used, new, x) if layer else new
        return MaskedDense(self.classes, name="output")(x, units)
