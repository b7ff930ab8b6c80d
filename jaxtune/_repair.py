"""Check a run for damage, and save what is not damaged."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from jaxtune.checks import RunError
from jaxtune.reading import decoding, is_there
from jaxtune.storage.directory import RECORD, check_directory, locked, settings_of
from jaxtune.storage.saved import Salvage, salvage, write_copy
from jaxtune.storage.store import Store
from jaxtune.storage.sums import Entry


class Checkup(NamedTuple):
    """The damages of a run, and what can be saved of it.

    Args:
      directory: of the run.
      damages: what is not as it was written, in words.
      trials: that are on record.
      kept_trials: of these, whose configurations can be saved.
      blocks: of trainings that are on record.
      kept_blocks: of these, that can be saved; the others are trained again.
      lost: files beside the record that are damaged and that nothing replaces: then
        nothing can be saved without a copy of them.
      summed: whether the run has checksums; versions up to 0.2.0 wrote none, and then
        only what SQLite itself notices is told.
    """

    directory: Path
    damages: tuple[str, ...]
    trials: int
    kept_trials: int
    blocks: int
    kept_blocks: int
    lost: tuple[str, ...] = ()
    summed: bool = True

    @property
    def fine(self) -> bool:
        """True if nothing is damaged."""
        return not self.damages

    def __str__(self) -> str:
        if not self.summed:
            return (
                f"{self.directory}: of an earlier version, which wrote no checksums: "
                "only what SQLite notices was checked, and nothing is damaged by that."
            )
        if self.fine:
            return f"{self.directory}: all {self.trials} trials are as written."
        head = f"{self.directory} is damaged. Not as written:"
        return "\n".join([head, *(f"  {each}" for each in self.damages), self._rest()])

    def _rest(self) -> str:
        if self.lost:
            return (
                f"Nothing else has what is in {', '.join(self.lost)}. Use a copy of "
                "the run."
            )
        return (
            f"{self.kept_trials} of {self.trials} trials and {self.kept_blocks} of "
            f"{self.blocks} blocks of trainings can be kept; others are trained "
            "again.\n"
            f"Save them: jaxtune repair {self.directory} --out COPY"
        )


def check(directory: str | os.PathLike[str]) -> Checkup:
    """Compare a run with its checksums, the states of unfinished trials too.

    >>> import tempfile, jax, jaxtune as jt
    >>> space, folder = jt.Space(x=jt.uniform(0.0, 1.0)), tempfile.mkdtemp()
    >>> found = jt.search(
    ...     lambda key, hparams: hparams["x"] ** 2,
    ...     space,
    ...     key=jax.random.key(0),
    ...     trials=8,
    ...     mode="min",
    ...     directory=folder,
    ... )
    >>> jt.check(folder).fine
    True

    Args:
      directory: of a run, finished or not, also while its search is running.

    Raises:
      RunError: no run, or a record of which nothing can be read.
    """
    path = check_directory(directory)
    with _salvaged(path) as (found, _):
        return _checkup(path, found)


def repair(directory: str | os.PathLike[str], out: str | os.PathLike[str]) -> Checkup:
    """Write a copy of a damaged run that has all that can be saved.

    Resume the copy, and what could not be saved is trained again: the result is that of
    a search that was never damaged, to the bit.

    >>> import tempfile, jax, jaxtune as jt
    >>> def objective(key, hparams):
    ...     return hparams["x"] ** 2
    >>> space, folder = jt.Space(x=jt.uniform(0.0, 1.0)), tempfile.mkdtemp()
    >>> arguments = dict(key=jax.random.key(0), trials=8, mode="min", verbose=0)
    >>> found = jt.search(objective, space, **arguments, directory=folder)
    >>> copy = tempfile.mkdtemp()
    >>> jt.repair(folder, copy).kept_trials
    8
    >>> jt.resume(copy, objective, verbose=0).best == found.best
    True

    Args:
      directory: of the run; nothing in it is changed.
      out: a new or empty directory.

    Returns:
      The state of the run that was copied.

    Raises:
      RunError: no run, a record of which nothing can be read, a file that nothing else
        replaces, or a directory that is not empty.
    """
    path, copy = check_directory(directory), check_directory(out)
    with _salvaged(path) as (found, store), locked(copy):
        others = {other.name for other in copy.iterdir()} - {"run.lock"}
        if others:
            raise RunError(f"{copy} holds {min(others)!r}. Use an empty directory.")
        checkup = _checkup(path, found)
        if found is None:
            raise RunError(
                f"{path}: of an earlier version, which wrote no checksums, so that "
                "nothing tells what is damaged. Use a copy of the run."
            )
        with store.query() as db:
            write_copy(found, db, copy)
    return checkup


@contextmanager
def _salvaged(path: Path) -> Iterator[tuple[Salvage | None, Store]]:
    if not is_there(path / RECORD):
        settings_of(path)  # says what is wrong
    with closing(Store(path / RECORD, write=False, damaged=True)) as store:
        with store.query() as db, decoding(store.path):
            found = salvage(db, path) if store.has("sums") else None
        yield found, store


def _checkup(path: Path, found: Salvage | None) -> Checkup:
    if found is None:
        Store(path / RECORD, write=False).close()  # raises for what SQLite notices
        return Checkup(path, (), 0, 0, 0, 0, summed=False)
    trials, kept_trials = map(_trials, (found.entries, found.kept))
    blocks, kept_blocks = map(_blocks, (found.entries, found.kept))
    damages = tuple(map(str, found.damages))
    lost = tuple(found.lost)
    return Checkup(path, damages, trials, kept_trials, blocks, kept_blocks, lost)


def _trials(entries: list[Entry]) -> int:
    return sum(len(entry.part_sums) for entry in entries if entry.kind == "trials")


def _blocks(entries: list[Entry]) -> int:
    return len({entry.number for entry in entries if entry.kind == "block"})
