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
from jaxtune.reading import in_short

KINDS = frozenset("biufcVUS")  # of dtypes: numbers, of ml_dtypes too, and text


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
        return _tree(_members(data))
    except Exception as error:  # it may be of any kind: the bytes may be a stranger's
        raise RunError(
            f"the arrays of a run are damaged ({in_short(error)}). Use a copy of the "
            "run."
        ) from error


def _members(data: bytes) -> dict[str, bytes]:
    """Return the members of the archive; no more bytes than it has itself."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        listed = archive.infolist()
        # members that share their bytes, or are compressed, could be of any size
        if any(one.compress_type != zipfile.ZIP_STORED for one in listed):
            raise ValueError("they are compressed")
        if sum(one.file_size for one in listed) > len(data):
            raise ValueError("they say that they are larger than the file")
        return {one.filename.removesuffix(".npy"): archive.read(one) for one in listed}


def _tree(members: dict[str, bytes]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for i, (path, dtype) in enumerate(json.loads(_array(members["header"]).tobytes())):
        here = tree
        for step in path[:-1]:
            here = here.setdefault(step, {})
        here[path[-1]] = _of_dtype(_array(members[str(i)]), dtype)
    return tree


def _array(data: bytes) -> np.ndarray:
    """Return the array of bytes in NumPy's format; its header may say anything."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, fortran, dtype = read(file)
    content = memoryview(data)[file.tell() :]
    # anything else than plain numbers, such as pickled objects, is not ours
    if dtype.kind not in KINDS or not dtype.itemsize or dtype.names or dtype.subdtype:
        raise ValueError(f"an array of dtype {dtype}")
    if min(shape, default=0) < 0:
        raise ValueError(f"an array of shape {shape}")
    # of the bytes that are there, whatever shape they have; a copy can be written to
    plain = np.frombuffer(content, dtype).copy()
    return plain.reshape(shape, order="F" if fortran else "C")


def _of_dtype(array: np.ndarray, name: str) -> np.ndarray:
    # NumPy's format keeps the bits of bfloat16 and its like, but not their dtype
    own = getattr(ml_dtypes, name, None)
    dtype = np.dtype(own if isinstance(own, type) else str(name))
    same = dtype.itemsize == array.dtype.itemsize and not dtype.names
    if dtype.kind not in KINDS or not same:
        raise ValueError(f"{array.dtype} is not {name}")
    return array.view(dtype)


def _leaves(
    tree: dict[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    for name, part in tree.items():
        if isinstance(part, dict):
            yield from _leaves(part, (*path, name))
        else:
            yield (*path, name), np.asarray(part)
