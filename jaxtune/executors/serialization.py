"""What goes to another process and back: functions, arrays and random keys as bytes."""

from __future__ import annotations

import hashlib
import pickle
from typing import Any, NamedTuple


class Blob(NamedTuple):
    """Bytes, and a name for them.

    Args:
      name: of these very bytes.
      data: the bytes.
    """

    name: str
    data: bytes


def parcel(thing: Any) -> Blob:
    """Anything as bytes with a name."""
    data = pack(thing)
    return Blob(hashlib.sha256(data).hexdigest(), data)


def pack(thing: Any) -> bytes:
    """Anything as bytes; functions of a script or a notebook go by value.

    Raises:
      ValueError: what cannot be sent, such as an open file.
    """
    import cloudpickle

    try:
        return cloudpickle.dumps(thing)
    except (TypeError, pickle.PicklingError, AttributeError) as error:
        raise ValueError(
            f"executor: {error}, so a block cannot be sent to another process. Keep "
            "open files, locks and the like out of what your functions close over."
        ) from error


def unpack(data: bytes) -> Any:
    """What was packed, by this program in another process."""
    return pickle.loads(data)
