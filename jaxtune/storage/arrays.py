"""Nested dicts of arrays as bytes in NumPy's format, which executes nothing."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np

from jaxtune.checks import RunError

# what NumPy, json and zipfile raise for bytes that are not ours or are cut off
DAMAGED = (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile)


def to_bytes(tree: dict[str, Any]) -> bytes:
    """Return nested dicts of arrays as bytes.

    Args:
      tree: dicts whose keys are strings, and whose leaves are arrays of any shape.

    Returns:
      Bytes for `from_bytes`.
    """
    leaves = list(_leaves(tree, ()))
    header = json.dumps([[path, array.dtype.name] for path, array in leaves])
    # numbered, with the paths in the header: a user's names may hold any character,
    # those of a zip file's members may not
    arrays: dict[str, Any] = {str(i): array for i, (_, array) in enumerate(leaves)}
    file = io.BytesIO()
    np.savez(file, header=np.frombuffer(header.encode(), np.uint8), **arrays)
    return file.getvalue()


def from_bytes(data: bytes) -> dict[str, Any]:
    """Return the dicts that `to_bytes` got, to the bit; empty dicts are lost.

    Args:
      data: bytes from `to_bytes`.

    Returns:
      Nested dicts of arrays.

    Raises:
      RunError: bytes that are damaged, or that hold pickles.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return _tree(file)
    except DAMAGED as error:
        raise RunError(
            f"the arrays of a run are damaged ({error}). Use a copy of the run."
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
    # NumPy's format keeps the bits of bfloat16 and its like, but not their dtype
    return np.dtype(getattr(ml_dtypes, name, name))
