"""The kernels that XLA chose on a GPU, kept in a run directory.

XLA times kernels and takes the fastest, so that two processes may choose differently
and differ in last bits. JAX keeps the choices beside its compiled programs, a small
file for each; a run has a copy of them, for other machines with the same card and for
the time after that folder is gone.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jaxtune import cache
from jaxtune.checks import warn
from jaxtune.reading import in_short, is_there, read_regular
from jaxtune.storage.directory import KERNELS, holds_run, write_whole
from jaxtune.writing import replace_file

LARGEST = 64 * 2**20  # bytes of all kernels; each has some hundred
NAME = re.compile(r"[\w=+-][\w.=+-]{0,199}")


@contextmanager
def kernels_of_run(directory: Path) -> Iterator[None]:
    """Compile with the kernels of a run, and keep those that are new in it."""
    load_kernels(directory)
    try:
        yield
    finally:  # also where the search was interrupted: its blocks are kept
        keep_kernels(directory)


def load_kernels(directory: Path) -> None:
    """Put the kernels of a run where XLA looks for them, before it compiles.

    Args:
      directory: of a run; most have none, as only GPUs choose by timing.
    """
    source, target = directory / KERNELS, cache.tuned_kernels()
    if target is None or not is_there(source):
        return
    target.mkdir(parents=True, exist_ok=True)
    others = 0
    for name, content in _packed(source).items():
        path = target / name
        if not path.exists():
            replace_file(path, content)  # another process may read it at this moment
        others += path.read_bytes() != content
    if others:
        warn(
            f"{directory}: of the run's kernels, {others} are others in {target}, so "
            "that last bits may differ. For the run's own, set "
            f"{cache.SWITCH} to an empty folder."
        )


def keep_kernels(directory: Path) -> None:
    """Copy the kernels that XLA has chosen so far into a run directory."""
    source, target = cache.tuned_kernels(), directory / KERNELS
    # where no run could be begun, the directory may be the user's own
    if source is None or not source.is_dir() or not holds_run(directory):
        return
    # what the run began with stays, whatever this machine has found
    known = _packed(target) if is_there(target) else {}
    found = {p.name: p.read_bytes() for p in source.iterdir() if _ours(p)}
    if found.keys() <= known.keys():
        return
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in sorted({**found, **known}.items()):
            packed.writestr(name, content)
    write_whole(target, whole.getvalue())


def _packed(path: Path) -> dict[str, bytes]:
    """Return the files of a run; a damaged copy is none, as it only saves time."""
    try:
        with zipfile.ZipFile(io.BytesIO(read_regular(path, LARGEST))) as packed:
            # a name with a folder in it is not XLA's, and must not lead elsewhere
            listed = [one for one in packed.infolist() if NAME.fullmatch(one.filename)]
            if sum(one.file_size for one in listed) > LARGEST:
                raise ValueError(f"its files have more than {LARGEST:,} bytes")
            return {one.filename: packed.read(one) for one in listed}
    except Exception as error:  # of any kind, as in `reading.decoding`
        why = in_short(error)
        warn(f"{path} cannot be read ({why}), so kernels are chosen anew.")
        return {}


def _ours(path: Path) -> bool:
    """Return whether a file is one of XLA's, and not one that is being written."""
    return NAME.fullmatch(path.name) is not None and path.is_file()
