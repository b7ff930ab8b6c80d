"""Files that are written whole or not at all, and never through a link.

The new content goes to a file of a random name in the same folder, which must not exist
yet, and takes the place of the old one in one step. So a reader finds the old file or
the new one, and nobody who can write to the folder can lead the writer elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

LONGEST = 64  # letters of a name in that of its unfinished file: most disks allow 255
UNFINISHED = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{16}\.part")


def unfinished_path(path: Path) -> Path:
    """Return a path beside another one, of a random name that says what it will be."""
    return path.with_name(f".{path.name[:LONGEST]}.{secrets.token_hex(8)}.part")


def replace_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file, whole or not at all.

    It gets the permissions of any new file. A link at the path is replaced, and what it
    leads to stays as it is.

    Args:
      path: the file; its folder must exist.
      data: its content.

    Raises:
      OSError: it cannot be written; nothing is left.
    """
    target = Path(os.path.abspath(path))
    part = unfinished_path(target)
    try:
        with open_new(part) as file:
            file.write(data)
            file.flush()
            # before the rename, else a power cut could leave an empty file of that name
            os.fsync(file.fileno())
        os.replace(part, target)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def open_new(path: Path) -> BinaryIO:
    """Open a file that does not exist yet; ``FileExistsError`` for any other."""
    # some systems lack these flags
    more = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    # 0o666 less the umask, as for any other new file
    return os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | more, 0o666), "wb"
    )


def remove_unfinished(folder: Path, names: Iterable[str]) -> None:
    """Remove what interrupted writers of some files have left in a folder."""
    cut = {name[:LONGEST] for name in names}
    for path in list(folder.iterdir()):
        found = UNFINISHED.fullmatch(path.name)
        if found and found["name"] in cut:
            path.unlink(missing_ok=True)
