"""A multilayer perceptron whose width and depth are data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from jaxtune.door import check_each, one_of, optional, whole
from jaxtune.models import masks
from jaxtune.models.layers import ACTIVATIONS, NORMS, OUTPUTS, activate, normalise
from jaxtune.models.masks import MaskedDense
from jaxtune.types import Array

PARAMETRIZATIONS = ("standard", "mup")


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
      classes: number of outputs; 1 for a regression of one target.
      max_units: units of a hidden layer, padding included; also the width if the space
        has no ``hidden_units``.
      max_layers: hidden layers, unused ones included; also the depth if the space has
        no ``layers``.
      activation: ``relu``, ``tanh``, ``gelu`` or ``silu``, if the space has no choice
        named ``activation``.
      norm: ``"layer"`` or ``"batch"``, before the activation of each hidden layer.
      parametrization: ``"standard"``, or ``"mup"`` for the maximal update
        parametrisation (Yang et al., 2021), in which the best learning rate does not
        depend on the width: initial weights and the steps of each layer follow the true
        width, for every optimiser of a task by name.
      base_units: the width at which ``"mup"`` and ``"standard"`` are the same.
    """

    classes: int = None  # type: ignore[assignment]  # a missing one is refused below
    max_units: int = 128
    max_layers: int = 1
    activation: str = "relu"
    norm: str | None = None
    parametrization: str = "standard"
    base_units: int = 64

    def __post_init__(self) -> None:
        fields = (
            ("classes", self.classes, OUTPUTS),
            ("max_units", self.max_units, whole(1)),
            ("max_layers", self.max_layers, whole(1)),
            ("activation", self.activation, one_of(*ACTIVATIONS)),
            ("norm", self.norm, optional(one_of(*NORMS))),
            ("parametrization", self.parametrization, one_of(*PARAMETRIZATIONS)),
            ("base_units", self.base_units, whole(1)),
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

    @nn.nowrap
    def multipliers(
        self, hparams: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return the factors of the gradients and of the updates of each layer.

        With the width ``r`` times the base, the gradients of all layers but the output
        are ``r`` times smaller, which the first factors make up for, and the updates of
        weights from hidden units are to be ``r`` times smaller. So steps of SGD grow by
        ``r`` in the first layer and in biases, and shrink by ``r`` in the output; those
        of Adam shrink by ``r`` from the second layer on (Yang et al., 2021, table 3).

        >>> import jaxtune as jt
        >>> model = jt.models.MLP(classes=3, parametrization="mup", base_units=64)
        >>> gradients, updates = model.multipliers({"hidden_units": 256})
        >>> gradients
        {'output': 1.0, 'hidden_0': 4.0}
        >>> updates
        {'output': {'kernel': 0.25, 'bias': 1.0}, 'hidden_0': 1.0}

        Args:
          hparams: with ``hidden_units``, or without.

        Returns:
          Two trees as `jaxtune.optimizers.scaled` takes them; ``None`` for
          ``"standard"``.
        """
        if self.parametrization == "standard":
            return None
        ratio = hparams.get("hidden_units", self.max_units) / self.base_units
        from_units = {"kernel": 1 / ratio, "bias": 1.0}
        gradients: dict[str, Any] = {"output": 1.0}
        updates: dict[str, Any] = {"output": from_units}
        for layer in range(self.max_layers):
            gradients[f"hidden_{layer}"] = ratio
            updates[f"hidden_{layer}"] = from_units if layer else 1.0
            if self.norm is not None:
                norm = f"{NORMS[self.norm].__name__}_{layer}"
                gradients[norm], updates[norm] = ratio, 1.0
        return gradients, updates

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
        gain = None
        if self.parametrization == "mup":  # outputs begin smaller in a wider network
            gain = (units / self.base_units) ** -0.5
        return MaskedDense(self.classes, name="output")(x, units, gain=gain)
