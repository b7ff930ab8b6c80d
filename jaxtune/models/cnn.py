"""A small convolutional network whose channels, depth and head are data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxtune.door import FLAG, check_each, one_of, optional, whole
from jaxtune.models import masks
from jaxtune.models.layers import ACTIVATIONS, NORMS, OUTPUTS, activate, normalise
from jaxtune.models.masks import MaskedConv, MaskedDense
from jaxtune.types import Array


class CNN(nn.Module):
    """Convolutions of 3 x 3, two poolings, and a dense layer, padded to a largest size.

    The first convolution is followed by max-pooling over 2 x 2. The others keep size
    and channels, so that an unused one can pass its input on. Then come another
    pooling, the dense layer and the output. Images must be at least 4 x 4.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> import jaxtune as jt
    >>> model = jt.models.CNN(classes=3, max_channels=4)
    >>> model.limits["channels"]
    (1, 4)
    >>> x = jnp.ones((5, 8, 8))
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), x)
    >>> jax.eval_shape(model.apply, variables, x, channels=2).shape
    (5, 3)

    Args:
      classes: number of outputs; 1 for a regression of one target.
      max_channels: channels of a convolution, padding included; also the width if the
        space has no ``channels``.
      max_layers: convolutions, unused ones included; also the depth if the space has no
        ``layers``.
      max_units: units of the dense layer, padding included; also its width if the space
        has no ``hidden_units``.
      activation: ``relu``, ``tanh``, ``gelu`` or ``silu``, if the space has no choice
        named ``activation``.
      norm: ``"layer"`` (over channels) or ``"batch"``, before each activation.
      unfolded: whether convolutions are written as products, as they were up to
        version 0.1.0. A search finds the form that is fastest on its device by itself.
    """

    classes: int = None  # type: ignore[assignment]  # a missing one is refused below
    max_channels: int = 16
    max_layers: int = 2
    max_units: int = 64
    activation: str = "relu"
    norm: str | None = None
    unfolded: bool = False

    def __post_init__(self) -> None:
        fields = (
            ("classes", self.classes, OUTPUTS),
            ("max_channels", self.max_channels, whole(1)),
            ("max_layers", self.max_layers, whole(1)),
            ("max_units", self.max_units, whole(1)),
            ("activation", self.activation, one_of(*ACTIVATIONS)),
            ("norm", self.norm, optional(one_of(*NORMS))),
            ("unfolded", self.unfolded, FLAG),
        )
        check_each("CNN", fields)
        super().__post_init__()

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
        """Name of a hyperparameter to the field that bounds it."""
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
        choices: Mapping[str, tuple[Any, ...]] | None = None,
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
          choices: name of a traced choice to the values its indices stand for.
          train: whether to drop units, and to use a batch's own statistics.

        Returns:
          ``[batch, classes]``.

        Raises:
          ValueError: an input that is not a batch of images.
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
            active = masks.units_in(used, width)  # no weights where none is in use
            conv = MaskedConv(
                self.max_channels, unfolded=self.unfolded, name=f"conv_{layer}"
            )
            new = conv(x, width if layer else None, active)
            new = activate(
                normalise(new, self.norm, active, train), activation, choices
            )
            x = masks.pass_through(used, new, x) if layer else _pool(new)
        x = _pool(x)
        # channels first: flattened, the features in use must come before the padding
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
