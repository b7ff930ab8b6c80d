"""Open the journal of a search: begin or resume a run, and record how it ended."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from jaxtune.planning.tracing import Traced, trace
from jaxtune.rounds.loop import Search
from jaxtune.storage.directory import (
    RECORD,
    check_directory,
    create,
    holds_run,
    locked,
    note_writer,
)
from jaxtune.storage.durable import Durable, note
from jaxtune.storage.folds import document_of_folds
from jaxtune.storage.kernels import kernels_of_run
from jaxtune.storage.settings import (
    UserChoices,
    adopt,
    check_same,
    checked_settings,
    settings_document,
)
from jaxtune.storage.store import Store
from jaxtune.storage.subject import data_of
from jaxtune.training.journal import Journal


@contextmanager
def open_journal(
    directory: str | os.PathLike[str] | None,
    search: Search,
    traced: tuple[Traced, ...],
    given: UserChoices,
    device: dict[str, str],
    allow: Sequence[str] = (),
) -> Iterator[tuple[Journal, Search]]:
    """Open the journal of a search, and begin or resume its run.

    Args:
      directory: the run directory; ``None`` for a journal that records nothing.
      search: the requested search.
      traced: its traced programs.
      given: what the user chose.
      device: the kind of device that runs its blocks.
      allow: what may differ from the run, see `check_same`.

    Yields:
      The journal, and the search with the block width and layout of the run.

    Raises:
      ValueError: a directory that is not a path.
      RunError: a directory that cannot be used, or that holds another run.
      KeyboardInterrupt: with a text that says how to resume.
    """
    if directory is None:
        yield Journal(), search
        return
    path = check_directory(directory)
    requested = settings_document(search, traced, given, device)
    with locked(path), kernels_of_run(path):
        if holds_run(path):
            settings = checked_settings(path)
            adopted = adopt(search, settings)
            if adopted.workload.layout.as_places != search.workload.layout.as_places:
                # functions got other values then, so the programs are others too
                traced = trace(adopted.workload, search.schedule.space)
                requested = settings_document(search, traced, given, device)
            check_same(settings, requested, given, allow)
            search = adopted
            store = Store(path / RECORD, write=True)
        else:
            task = search.workload.task
            store = create(path, requested, data_of(task), document_of_folds(task))
        try:
            begin = time.perf_counter()
            with _explained(path, store, begin):
                note_writer(store)
                workload = search.workload
                each = workload.scoring.each_epoch
                space = search.schedule.space
                journal = Durable(store, space, workload.epochs, each)
                # an allowed change: blocks that are not recorded get the new width
                if given.block not in (None, search.workload.width):
                    journal.set_width(given.block)
                with closing(journal):
                    yield journal, search
                # reached only if the search has ended and nothing was raised
                _finish(store, time.perf_counter() - begin)
        finally:
            store.close()


def _finish(store: Store, seconds: float) -> None:
    # a finished run that is opened again trains nothing: its time stays as it is
    if store.one("SELECT count(*) FROM events WHERE kind = 'finished'"):
        return
    with store.change() as db:
        note(db, "finished", f"{seconds:.3f}")
    store.shrink()


@contextmanager
def _explained(path: Path, store: Store, begin: float) -> Iterator[None]:
    """Say what is kept and how to resume, when a search is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        # the plain type: with a subclass Python would not exit as interrupted
        seconds = time.perf_counter() - begin
        raise KeyboardInterrupt(_interrupted(path, store, seconds)) from None


def _interrupted(path: Path, store: Store, seconds: float) -> str:
    with store.change() as db:
        note(db, "interrupted", f"{seconds:.3f}")
    blocks = store.one("SELECT count(*) FROM blocks")
    return f"{blocks} finished blocks are kept. Resume with: jaxtune resume {path}"
