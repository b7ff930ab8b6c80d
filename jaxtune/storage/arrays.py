"""Nested dicts of arrays as bytes: NumPy's own format, in which nothing is executed."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np

from jaxtune.checks import RunError

DAMAGED = (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile)


def to_bytes(tree: dict[str, Any]) -> bytes:
    """Nested dicts of arrays as bytes."""
    leaves = list(_leaves(tree, ()))
    header = json.dumps([[path, array.dtype.name] for path, array in leaves])
    arrays: dict[str, Any] = {str(i): array for i, (_, array) in enumerate(leaves)}
    file = io.BytesIO()
    np.savez(file, header=np.frombuffer(header.encode(), np.uint8), **arrays)
    return file.getvalue()


def from_bytes(data: bytes) -> dict[str, Any]:
    """What `pack` was given, to the bit; empty dicts are lost.

    Raises:
      RunError: bytes that are damaged, or that hold pickles.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return _tree(file)
    except DAMAGED as error:
        raise RunError(
            f"the arrays of a run are damaged ({error}). Use a copy of it."
        ) from error


def _tree(file: Any) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for i, (path, dtype) in enumerate(json.loads(file["header"].tobytes())):
        here = tree
        for step in path[:-1]:
            here = here.setdefault(step, {})
        here[path[-1]] = file[str(i)].view(_dtype(dtype))
    return tree


def _leaves(
    tree: dict[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    for name, part in tree.items():
        if isinstance(part, dict):
            yield from _leaves(part, (*path, name))
        else:
            yield (*path, name), np.asarray(part)


def _dtype(name: str) -> np.dtype:
    """NumPy keeps the bits of bfloat16 and the like, and forgets what they were."""
    return np.dtype(getattr(ml_dtypes, name, name))
