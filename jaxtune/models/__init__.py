"""Models whose width and depth are data, and the pieces to build others."""

from jaxtune.models.masks import MaskedDense, dropout, masked_lecun, unit_mask
from jaxtune.models.mlp import MLP

__all__ = ["MLP", "MaskedDense", "dropout", "masked_lecun", "unit_mask"]
