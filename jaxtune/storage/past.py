"""Earlier searches that a run learns from: a file beside the record.

A run that is resumed must not need the directories that they came from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxtune.checks import RunError
from jaxtune.reading import LARGEST, decoding, is_there, read_regular
from jaxtune.rounds.past import Past
from jaxtune.storage.arrays import from_bytes, to_bytes
from jaxtune.storage.directory import PRIOR, SETTINGS


def prior_hashes(pasts: Sequence[Past]) -> list[str]:
    """Return a hash of each earlier search, by which runs are compared."""
    return [_hash(past) for past in pasts]


def _hash(past: Past) -> str:
    known = hashlib.sha256()
    for name, values in sorted({**past.hparams, "": past.scores}.items()):
        array = np.ascontiguousarray(values)
        known.update(f"{name} {array.dtype} {array.shape} ".encode())
        known.update(array.tobytes())
    return known.hexdigest()


def prior_bytes(pasts: Sequence[Past]) -> bytes | None:
    """Return the file of earlier searches; ``None`` if there are none."""
    if not pasts:
        return None
    return to_bytes({str(i): past._asdict() for i, past in enumerate(pasts)})


def prior_of(directory: Path, settings: dict[str, Any]) -> tuple[Past, ...]:
    """Return the earlier searches of a run.

    Raises:
      RunError: a file that is missing, damaged, or another one.
    """
    wanted = settings["prior"]
    if not wanted:
        return ()
    path = directory / PRIOR
    if not is_there(path):
        raise RunError(f"{path} is missing. Use a copy of the run.")
    with decoding(path):
        tree = from_bytes(read_regular(path, LARGEST))
        pasts = tuple(Past(**tree[str(i)]) for i in range(len(tree)))
        found = prior_hashes(pasts)
    if found != wanted:
        raise RunError(f"{path} is damaged: not what {SETTINGS} says. Use a copy.")
    return pasts
