"""The version of jaxtune, and the versions of jaxlib that compute wrong numbers."""

import os

import jax
import jaxlib

__version__ = "0.2.0"

# earlier versions whose searches end in the same bits: their runs are resumed as ours
SAME_BITS = ("0.1.0",)

# Wrong numbers or crashes on CPU in vmapped products followed by a reduction, which is
# what a population trains with: jax issues 39103, 39257, 40412, 37465.
BAD_ON_CPU = ("0.10.2", "0.11.0")
WORKAROUND = "--xla_cpu_experimental_ynn_fusion_type="


def check_versions() -> None:
    """Raise if this jaxlib computes wrong numbers on this machine.

    Raises:
      RuntimeError: a known-bad jaxlib on a CPU without the flag that mends it.
    """
    version = jaxlib.version.__version__
    flags = os.environ.get("XLA_FLAGS", "").split()
    # the fault is in the CPU backend only
    mended = WORKAROUND in flags or jax.default_backend() != "cpu"
    if version in BAD_ON_CPU and not mended:
        raise RuntimeError(
            f"jaxlib {version} computes wrong numbers on CPU (jax#39103, #40412). "
            "Install another version, such as jax==0.10.1, or set "
            f"XLA_FLAGS={WORKAROUND} before Python starts."
        )
