"""Types and letters used everywhere.

``n`` trials, ``d`` searched dimensions, ``W`` lanes in a block, ``s`` seeds.
Points are ``[n, d]`` in ``[0, 1)``. Samplers, refiners, schedulers and `ranking` take
oriented scores: higher is better, NaN means failed. Everywhere else a score is as the
task measured it, unless a docstring says that it is oriented.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import jax
import numpy as np

Key = jax.Array
"""A typed JAX random key (``jax.random.key``), never split, only folded."""

Array = jax.Array
"""A JAX array; public functions take NumPy arrays in its place."""

ArrayLike = jax.Array | np.ndarray
PyTree = Any

HparamArrays = Mapping[str, Any]
"""Names to ``[n]`` arrays, one entry per trial (or to scalars inside one lane)."""


class Objective(Protocol):
    """A plain function to minimise or maximise: scalars in, one scalar out.

    JAX must be able to trace it; it is vmapped over trials and seeds.
    """

    def __call__(self, key: Key, hparams: HparamArrays, /) -> Array: ...
