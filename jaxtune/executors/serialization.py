"""Functions, arrays and random keys as bytes, to other processes and back."""

from __future__ import annotations

import hashlib
import pickle
from typing import Any, NamedTuple


class Blob(NamedTuple):
    """Bytes, and a name for them.

    Args:
      name: a hash of these very bytes.
      data: the bytes.
    """

    name: str
    data: bytes


def to_blob(value: Any) -> Blob:
    """Return any value as bytes with a name."""
    data = dumps(value)
    return Blob(hashlib.sha256(data).hexdigest(), data)


def dumps(value: Any) -> bytes:
    """Return any value as bytes; functions of a script or a notebook go by value.

    Raises:
      ValueError: a value that cannot be sent, such as an open file.
    """
    import cloudpickle

    try:
        return cloudpickle.dumps(value)
    except (TypeError, pickle.PicklingError, AttributeError) as error:
        raise ValueError(
            f"executor: {error}, so a block cannot be sent to another process. Keep "
            "open files, locks and the like out of what your functions close over."
        ) from error


def loads(data: bytes) -> Any:
    """Return the value of bytes that this program made in another process."""
    return pickle.loads(data)
