"""A CPU that multiplies as a card does: factors are rounded to TF32.

Nothing but the rounding is a card's. It is enough to see which comparisons the default
precision of a card breaks, and that ``jax.default_matmul_precision("highest")`` mends
them: ``JAXTUNE_TESTS_TF32=1 pytest -m accelerator``.
"""

from contextlib import contextmanager
from types import SimpleNamespace

import jax
import numpy as np
from jax._src.interpreters import mlir
from jax._src.lib.mlir.dialects import hlo

from jaxtune import precision

SWITCH = "JAXTUNE_TESTS_TF32"
CARD = SimpleNamespace(platform="gpu", compute_capability="9.0")
PRODUCTS = (jax.lax.dot_general_p, jax.lax.conv_general_dilated_p)
BITS = {"exponent_bits": 8, "mantissa_bits": 10}  # of TF32


@contextmanager
def as_a_card(every=True):
    """Round the factors of products on this CPU, and say so to whoever asks.

    Args:
      every: round in all products. A card has kernels that round and kernels that do
        not, and the shapes decide which: without it, some shapes are left alone.
    """
    lowerings = mlir._platform_specific_lowerings["cpu"]
    before = {product: lowerings[product] for product in PRODUCTS}
    told = precision._has_tf32
    for product, entry in before.items():
        mlir.register_lowering(product, _rounding(entry.rule, every), platform="cpu")
    precision._has_tf32 = lambda device: True
    jax.clear_caches()
    try:
        yield
    finally:
        lowerings.update(before)
        precision._has_tf32 = told
        jax.clear_caches()


def _rounding(rule, every):
    def lower(ctx, *operands, **params):
        rounds = every or _size(ctx.avals_in) % 2
        if rounds and not _is_highest(params["precision"]):
            operands = [
                hlo.reduce_precision(operand, **BITS)
                if aval.dtype == np.float32
                else operand
                for operand, aval in zip(operands, ctx.avals_in, strict=True)
            ]
        return rule(ctx, *operands, **params)

    return lower


def _size(avals):
    return sum(map(sum, (aval.shape for aval in avals)))


def _is_highest(given):
    both = given if isinstance(given, tuple) else (given, given)
    return all(one == jax.lax.Precision.HIGHEST for one in both)
