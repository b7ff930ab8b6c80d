"""Block states between a device and the host; random keys travel as numbers."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.types import PyTree


def to_host(state: PyTree, places: np.ndarray | slice) -> list[np.ndarray]:
    """Return leaves ``[k, ...]`` of some states of a block; keys as numbers."""
    leaves = jax.tree.leaves(state)
    plain = [jax.random.key_data(x) if _is_key(x) else x for x in leaves]
    return [leaf[places] for leaf in jax.device_get(plain)]


def from_host(leaves: list[np.ndarray], like: PyTree) -> PyTree:
    """Return the states ``[k, ...]`` of such leaves, of the abstract form ``like``."""
    abstract, tree = jax.tree.flatten(like)
    whole = [
        _wrapped(leaf, form.dtype) if _is_key(form) else leaf
        for leaf, form in zip(leaves, abstract, strict=True)
    ]
    return jax.tree.unflatten(tree, whole)


def _is_key(leaf: Any) -> bool:
    """Return whether a leaf is a typed random key, which NumPy cannot hold."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


# the key's dtype prints a short tag, and wrapping asks for the full name
IMPLEMENTATIONS = {"fry": "threefry2x32", "rbg": "rbg", "urbg": "unsafe_rbg"}


def _wrapped(data: np.ndarray, dtype: Any) -> Any:
    name = str(dtype).removeprefix("key<").removesuffix(">")
    return jax.random.wrap_key_data(jnp.asarray(data), impl=IMPLEMENTATIONS[name])
