"""Files that somebody else may have written: regular ones only, with one error.

A link could lead anywhere, and opening a pipe could wait for ever. Whatever is raised
while the content is decoded says that the file is damaged.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxtune.checks import RunError
from jaxtune.printing import printable

KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
LARGEST = 2**31  # bytes of a file of arrays that is read at once
COPY = "Use a copy of the run."


def is_there(path: Path) -> bool:
    """Return whether there is a regular file; ``RunError`` for anything else."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise RunError(
            f"{path} cannot be read ({error.strerror}). Make its folder readable."
        ) from error
    if not stat.S_ISREG(mode):
        raise _another_kind(path, mode)
    return True


def _another_kind(path: Path, mode: int) -> RunError:
    kind = KINDS.get(stat.S_IFMT(mode), "no regular file")
    return RunError(
        f"{path} is {kind}, and only regular files are read and written here. Use a "
        "copy of the file itself."
    )


def read_regular(path: Path, most: int | None = None) -> bytes:
    """Return the content of a regular file.

    Args:
      path: the file; the folder that it is in may be a link.
      most: bytes that it may have.

    Raises:
      RunError: a link, a pipe or a device, or a larger file.
      OSError: a file that is missing or cannot be read.
    """
    is_there(path)  # its error is plainer than that of the system
    # checked again once it is open, since the file may be exchanged in between
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC"):
        flags |= getattr(os, name, 0)  # some systems lack these
    with os.fdopen(os.open(path, flags), "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise _another_kind(path, about.st_mode)
        if most is not None and about.st_size > most:
            raise RunError(
                f"{path} has {about.st_size:,} bytes, more than the {most:,} that it "
                f"can have. {COPY}"
            )
        return file.read()


def read_json(path: Path, most: int, way_out: str = COPY) -> Any:
    """Return the content of a regular file of JSON; errors as of `read_regular`."""
    with decoding(path, "cannot be read", way_out):
        return json.loads(read_regular(path, most).decode("utf-8"))


@contextmanager
def decoding(
    path: Path, what: str = "is damaged", way_out: str = COPY
) -> Iterator[None]:
    """Decode the content of a file: whatever is raised becomes one ``RunError``.

    To be put around the decoding of content alone, where an error is always the file's.

    Args:
      path: named in the error.
      what: is the matter with the file.
      way_out: the last sentence of the error.
    """
    try:
        yield
    except RunError as error:
        if printable(str(path)) in str(error):
            raise
        raise RunError(f"{path}: {error}") from error
    except Exception as error:  # an error of decoding may be of any kind
        raise RunError(f"{path} {what} ({in_short(error)}). {way_out}") from error


def in_short(error: Exception) -> str:
    """Return the kind and text of an error, which may quote a whole file, in short."""
    kind, text = type(error).__name__, str(error)
    if not isinstance(error, ValueError) or not text:  # whose text says it all
        text = f"{kind}: {text}" if text else kind
    return text if len(text) <= 200 else f"{text[:200]}..."
