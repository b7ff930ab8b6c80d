"""The version of jaxtune, and the versions of jaxlib that fail on a CPU."""

import sys

import jax
import jaxlib

__version__ = "0.2.0"

# earlier versions whose searches end in the same bits: their runs are resumed as ours
SAME_BITS = ("0.1.0",)

# samplers that have chosen points in another way since, and the number of the way: a
# run that was begun with another one has other rounds to come
WAYS = {"gaussian_process": 2, "trust_region": 2, "tpe": 2}

STOPS = "stops for ever on a CPU in trainings whose network is a loop"
# in vmapped products followed by a reduction, which is what a population trains with;
# by the reports also jax#39257 and #37465
WRONG = "computes wrong numbers on a CPU (jax#39103, jax#40412)"

# beginnings of versions of jaxlib, and how these fail: docs/decisions.md
FAULTS = (("0.10.", STOPS), ("0.11.0", STOPS), ("0.10.2", WRONG), ("0.11.0", WRONG))


def faults_of(version: str) -> tuple[str, ...]:
    """Return how a version of jaxlib fails on a CPU; nothing if it is not known to."""
    return tuple(fault for begin, fault in FAULTS if version.startswith(begin))


def check_versions() -> None:
    """Raise if this jaxlib is known to fail on this machine.

    Raises:
      RuntimeError: a known-bad jaxlib on a CPU, with its faults and another version.
    """
    version = jaxlib.version.__version__
    faults = faults_of(version)
    # the faults are those of the CPU backend
    if faults and jax.default_backend() == "cpu":
        raise RuntimeError(
            f"jaxlib {version} {', and '.join(faults)}. Use another version: pip "
            f"install {_way_out()}."
        )


def _way_out() -> str:
    if sys.version_info < (3, 12):
        return "jax==0.9.2 jaxlib==0.9.2 flax==0.12.6; newer ones need Python 3.12"
    return "--upgrade jax jaxlib flax"
