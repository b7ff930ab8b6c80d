"""States of lanes that wait for their next segment, on the host.

The device holds the blocks that train, however many lanes wait.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.types import PyTree


class Pool:
    """Rows of stacked arrays, one for each lane; they are used again when it goes.

    Mutable, and owned by one cohort, whose lanes all have states of one shape.
    """

    def __init__(self) -> None:
        self._row: dict[int, int] = {}
        self._free: list[int] = []
        self._leaves: list[np.ndarray] = []
        self._tree: Any = None
        self._wrap: list[Any] = []  # a key's implementation, or None

    def put(self, lanes: np.ndarray, state: PyTree, at: np.ndarray) -> None:
        """Keep the states of some lanes of a block.

        Args:
          lanes: ``[k]`` which.
          state: stacked states ``[W, ...]``, on the device or not.
          at: ``[k]`` their places in the block.
        """
        leaves, self._tree = jax.tree.flatten(state)
        self._wrap = [_implementation(leaf) for leaf in leaves]
        plain = [
            leaf if wrap is None else jax.random.key_data(leaf)
            for leaf, wrap in zip(leaves, self._wrap, strict=True)
        ]
        host = jax.device_get(plain)
        self._reserve(lanes, host)
        rows = self._rows(lanes)
        for kept, new in zip(self._leaves, host, strict=True):
            kept[rows] = new[at]

    def take(self, lanes: np.ndarray) -> PyTree:
        """Stacked states ``[k, ...]`` of lanes; ``KeyError`` for one not here."""
        rows = self._rows(lanes)
        leaves = [
            leaf[rows] if wrap is None else _wrapped(leaf[rows], wrap)
            for leaf, wrap in zip(self._leaves, self._wrap, strict=True)
        ]
        return jax.tree.unflatten(self._tree, leaves)

    def drop(self, lanes: np.ndarray) -> None:
        """Forget lanes; those not here are ignored."""
        for lane in lanes.tolist():
            if lane in self._row:
                self._free.append(self._row.pop(lane))

    def _rows(self, lanes: np.ndarray) -> np.ndarray:
        return np.asarray([self._row[lane] for lane in lanes.tolist()])

    def _reserve(self, lanes: np.ndarray, like: list[np.ndarray]) -> None:
        wanted = [lane for lane in lanes.tolist() if lane not in self._row]
        have = len(self._row) + len(self._free)
        missing = len(wanted) - len(self._free)
        if missing > 0:
            size = max(2 * have, have + missing)
            self._free.extend(range(have, size))
            old = self._leaves or [leaf[:0] for leaf in like]
            self._leaves = [_grown(leaf, size) for leaf in old]
        for lane in wanted:
            self._row[lane] = self._free.pop()


def _grown(leaf: np.ndarray, size: int) -> np.ndarray:
    new = np.empty((size, *leaf.shape[1:]), leaf.dtype)
    new[: len(leaf)] = leaf
    return new


def _implementation(leaf: Any) -> Any:
    """Of a typed random key, which NumPy cannot hold."""
    typed = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_impl(leaf) if typed else None


def _wrapped(data: np.ndarray, implementation: Any) -> Any:
    return jax.random.wrap_key_data(jnp.asarray(data), impl=implementation)
