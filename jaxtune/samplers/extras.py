"""Parts of the samplers that need a package from the extra ``samplers``."""

from __future__ import annotations

import importlib.util

import jax
import numpy as np

from jaxtune.types import Key


def needed(package: str) -> None:
    """Check that a package is installed.

    Raises:
      ImportError: it is not; the message names it and the extra.
    """
    if importlib.util.find_spec(package) is None:
        raise ImportError(
            f"this sampler needs the package {package!r}: "
            "pip install 'jaxtune[samplers]'."
        )


def seed_of(key: Key) -> int:
    """Return a key's last word, a seed for generators that take 32 bits."""
    return int(np.asarray(jax.random.key_data(key))[-1])
