"""A small convolutional network whose channels, depth and head are data."""

from __future__ import annotations

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp

from jaxtune.models import masks
from jaxtune.models.layers import activate, normalise
from jaxtune.models.masks import MaskedConv, MaskedDense
from jaxtune.types import Array


class CNN(nn.Module):
    """Convolutions of 3 x 3, two poolings, and a dense layer, padded to a largest size.

    The first convolution is followed by max-pooling over 2 x 2; the others keep size
    and channels, so that one not in use can be passed through; another pooling, the
    dense layer and the output follow. Images must be at least 4 x 4.

    Args:
      classes: number of outputs.
      max_channels: channels of a convolution, padding included; also the width of a
        lane whose space has no ``channels``.
      max_layers: convolutions, unused ones included; also the depth of a lane whose
        space has no ``layers``.
      max_units: units of the dense layer, padding included; also its width where the
        space has no ``hidden_units``.
      activation: one of ``relu``, ``tanh``, ``gelu``, ``silu``, where the space has no
        choice of that name.
      norm: ``"layer"`` (over channels) or ``"batch"``, before each activation.
    """

    classes: int
    max_channels: int = 16
    max_layers: int = 2
    max_units: int = 64
    activation: str = "relu"
    norm: str | None = None

    @property
    def limits(self) -> dict[str, tuple[int, int]]:
        """Smallest and largest value of each hyperparameter that the padding bounds."""
        return {
            "channels": (1, self.max_channels),
            "layers": (1, self.max_layers),
            "hidden_units": (1, self.max_units),
        }

    @property
    def padding(self) -> dict[str, str]:
        """Which field bounds which hyperparameter."""
        return {
            "channels": "max_channels",
            "layers": "max_layers",
            "hidden_units": "max_units",
        }

    @nn.compact
    def __call__(
        self,
        x: Array,
        channels: Array | int | None = None,
        layers: Array | int | None = None,
        hidden_units: Array | int | None = None,
        dropout: Array | float | None = None,
        activation: Array | str | None = None,
        choices: Mapping[str, tuple] | None = None,
        train: bool = False,
    ) -> Array:
        """Apply the network.

        Args:
          x: ``[batch, height, width]`` or ``[batch, height, width, channels]``.
          channels: channels in use in every convolution, 1 to ``max_channels``.
          layers: convolutions in use, 1 to ``max_layers``.
          hidden_units: units in use in the dense layer, 1 to ``max_units``.
          dropout: probability of dropping a unit of the dense layer while training.
          activation: a name, or an index of ``choices["activation"]``.
          choices: what the indices of traced choices stand for.
          train: whether to drop, and to use a batch's own statistics.

        Returns:
          ``[batch, classes]``.

        Raises:
          ValueError: an input that is no batch of images.
        """
        if x.ndim not in (3, 4) or min(x.shape[1:3]) < 4:
            raise ValueError(
                f"x: got shape {x.shape}. A CNN takes [batch, height, width] or "
                "[batch, height, width, channels], with images of at least 4 x 4; "
                "reshape the data."
            )
        width = self.max_channels if channels is None else channels
        depth = self.max_layers if layers is None else layers
        units = self.max_units if hidden_units is None else hidden_units
        activation = self.activation if activation is None else activation
        x = x if x.ndim == 4 else x[..., None]
        for layer in range(self.max_layers):
            used = layer < depth
            active = jnp.where(used, width, 0)  # no weights in a layer not in use
            conv = MaskedConv(self.max_channels, name=f"conv_{layer}")
            new = conv(x, width if layer else None, active)
            new = activate(
                normalise(new, self.norm, active, train), activation, choices
            )
            x = masks.pass_through(used, new, x) if layer else _pool(new)
        x = _pool(x)
        # channels first, so that the features in use come first
        x = jnp.moveaxis(x, -1, 1)
        places = x.shape[2] * x.shape[3]
        x = MaskedDense(self.max_units, name="hidden")(
            x.reshape(len(x), -1), width * places, units
        )
        x = activate(normalise(x, self.norm, units, train), activation, choices)
        if train and dropout is not None:
            x = masks.dropout(x, dropout, self.make_rng("dropout"))
        return MaskedDense(self.classes, name="output")(x, units)


def _pool(x: Array) -> Array:
    return nn.max_pool(x, (2, 2), strides=(2, 2))
