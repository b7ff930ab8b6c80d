"""Plain functions of a key and hyperparameters."""

from __future__ import annotations

import jax
import jax.numpy as jnp

import jaxtune as jt
from user_code.row import Row


def valley(key, h):
    """The first example of the documentation."""
    return (jnp.log10(h["learning_rate"]) + 2) ** 2 + 0.1 * jax.random.normal(key)


def rate():
    return jt.Space(learning_rate=jt.log_uniform(1e-4, 1.0))


ROWS = [
    Row(
        "a function of key and hyperparameters",
        lambda: valley,
        rate,
        lambda h, keys: {"score": valley(keys.lane, h)},
        {"mode": "min"},
    ),
]
