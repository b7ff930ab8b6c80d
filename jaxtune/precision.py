"""The precision of products: to what a device rounds float32 before it multiplies.

A CPU multiplies float32 as it is. NVIDIA's cards since Ampere round it to TF32, and
TPUs to bfloat16, unless JAX is asked for more: ``jax.default_matmul_precision``. Sums
are of float32 everywhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax


class Precision(NamedTuple):
    """A precision of products of float32.

    Args:
      name: in messages and run files.
      rounding: the largest relative error of a factor.
    """

    name: str
    rounding: float


FLOAT32 = Precision("float32", 2.0**-24)
TF32 = Precision("TF32", 2.0**-11)
BFLOAT16 = Precision("bfloat16", 2.0**-8)
THREE_PASSES = Precision("bfloat16 in three passes", 2.0**-16)

FIRST_WITH_TF32 = 8.0  # compute capability: Ampere

# JAX's names of a precision; all others are the default of the device
HIGHEST = ("highest", "float32")
HIGH = ("high", "tensorfloat32", "bfloat16_3x")
# JAX's names of an algorithm begin with the types of the factors
ALGORITHMS = {"TF32": TF32, "BF16": BFLOAT16}


def product_precision(device: Any = None, setting: str | None = None) -> Precision:
    """Return the precision of products of float32.

    Args:
      device: of JAX; this process's first one if not given.
      setting: as for ``jax.default_matmul_precision``; the one in force if not given.

    Returns:
      The precision, by the kind of the device; nothing is computed.
    """
    device = jax.devices()[0] if device is None else device
    config: Any = jax.config
    setting = str(setting or config.jax_default_matmul_precision or "default")
    if setting in HIGHEST:
        return FLOAT32
    if "_" in setting and setting.isupper():  # an algorithm, such as TF32_TF32_F32
        if setting.endswith(("_X3", "_X6", "_X9")):
            return THREE_PASSES
        return ALGORITHMS.get(setting.split("_")[0], FLOAT32)
    if device.platform == "tpu":
        return THREE_PASSES if setting in HIGH else BFLOAT16
    return TF32 if _has_tf32(device) else FLOAT32


def _has_tf32(device: Any) -> bool:
    # a card of AMD has a name there, such as gfx942, and multiplies float32 as it is
    capability = str(getattr(device, "compute_capability", ""))
    try:
        return device.platform != "cpu" and float(capability) >= FIRST_WITH_TF32
    except ValueError:
        return False
