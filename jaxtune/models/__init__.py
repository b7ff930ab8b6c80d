"""Models whose width and depth are data, and the pieces to build others."""

from jaxtune.models.cnn import CNN
from jaxtune.models.layers import activate
from jaxtune.models.masks import (
    MaskedBatchNorm,
    MaskedConv,
    MaskedDense,
    MaskedLayerNorm,
    dropout,
    masked_lecun,
    only,
    pass_through,
    unit_mask,
)
from jaxtune.models.mlp import MLP
from jaxtune.models.products import unfolded_convolution

__all__ = [
    "CNN",
    "MLP",
    "MaskedBatchNorm",
    "MaskedConv",
    "MaskedDense",
    "MaskedLayerNorm",
    "activate",
    "dropout",
    "masked_lecun",
    "only",
    "pass_through",
    "unfolded_convolution",
    "unit_mask",
]
