"""Open the journal of a search: begin or resume a run, and record how it ended."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from jaxtune.checks import RunError, tell, warn
from jaxtune.planning.tracing import Traced, trace
from jaxtune.results.given import UserChoices
from jaxtune.rounds.arguments import Search
from jaxtune.signals import Ended
from jaxtune.storage.bounds import check_bounds
from jaxtune.storage.directory import (
    RECORD,
    SETTINGS,
    as_bytes,
    check_directory,
    create,
    holds_run,
    locked,
    note_writer,
    write_whole,
)
from jaxtune.storage.durable import Durable, note
from jaxtune.storage.folds import document_of_folds
from jaxtune.storage.kernels import kernels_of_run, load_kernels
from jaxtune.storage.layouts import check_drop_last, check_epochs_trained, check_layout
from jaxtune.storage.past import prior_bytes
from jaxtune.storage.rows import same_rows
from jaxtune.storage.settings import (
    adopt,
    budgets_of,
    check_same,
    check_way,
    checked_settings,
    settings_document,
    with_more_rounds,
)
from jaxtune.storage.store import Store
from jaxtune.storage.subject import data_of, holds_task
from jaxtune.storage.sums import seal_files
from jaxtune.storage.verified import open_verified
from jaxtune.training.journal import Journal


@contextmanager
def open_journal(
    directory: str | os.PathLike[str] | None,
    search: Search,
    traced: tuple[Traced, ...],
    given: UserChoices,
    device: dict[str, str],
    allow: Sequence[str] = (),
    before: list[Any] | None = None,
) -> Iterator[tuple[Journal, Search]]:
    """Open the journal of a search, and begin or resume its run.

    Args:
      directory: the run directory; ``None`` for a journal that records nothing.
      search: the requested search.
      traced: its traced programs.
      given: what the user chose.
      device: the kind of device that runs its blocks.
      allow: what may differ from the run, see `check_same`.
      before: the rounds of a finished run that the search extends; ``None`` if not.

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
    # a finished run is read only, so that it may be on a disk that cannot be written to
    reads = before is None and _finished(path)
    with _reading(path) if reads else _writing(path):
        if holds_run(path):
            settings = recorded = checked_settings(path)
            if before is not None:
                settings = with_more_rounds(recorded, requested, before)
            adopted = adopt(search, settings)
            if adopted.workload.layout.as_places != search.workload.layout.as_places:
                # functions got other values then, so the programs are others too
                traced = trace(adopted.workload, search.schedule.space)
                requested = settings_document(search, traced, given, device)
            examples = settings["task"].get("examples")
            check_drop_last(adopted.workload.layout, search.workload.task, examples)
            check_same(settings, requested, given, allow)
            space = search.schedule.space
            check_layout(adopted.workload.layout, search.workload.layout, space)
            search = adopted
            store = open_verified(path, write=not reads)
            try:
                begun = store.one("SELECT count(*) FROM rounds")
                check_way(settings, requested, begun, allow)
                in_full = settings["scheduler"] is None
                check_epochs_trained(store, budgets_of(settings), in_full)
            except BaseException:
                store.close()
                raise
            if settings is not recorded:
                _extend(path, store, settings)
        else:
            _warn_about(requested["not_compared"])
            task, prior = search.workload.task, prior_bytes(search.prior)
            rows, settings = document_of_folds(task), requested
            _check_size(path, requested)
            store = create(path, requested, data_of(task), rows, prior)
        try:
            begin, task = time.perf_counter(), search.workload.task
            whole = nullcontext() if reads else _explained(path, store, settings, begin)
            with same_rows(store, task), whole:
                rounds = range(len(search.schedule.stages))
                budgets = [search.workload_of(number).epochs for number in rounds]
                each = search.workload.scoring.each_epoch
                space = search.schedule.space
                journal = Durable(store, space, budgets, each, task.stream)
                # an allowed change: blocks that are not recorded get the new width
                if given.block not in (None, search.workload.width):
                    journal.set_width(given.block)
                with closing(journal):
                    yield journal, search
                # reached only if the search has ended and nothing was raised
                _finish(store, time.perf_counter() - begin, journal.stopped)
        finally:
            store.close()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Compile with the kernels of a run, as `result.train` may have to."""
    load_kernels(path)
    yield


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Hold the lock of a run directory, and compile with the kernels of the run."""
    with locked(path), kernels_of_run(path):
        yield


# extending a run makes an unfinished one of it, and so may repairing it
ENDS = (
    "SELECT kind FROM events WHERE kind IN ('finished', 'extended', 'repaired') "
    "ORDER BY rowid DESC LIMIT 1"
)


def _finished(path: Path) -> bool:
    """Return whether a directory holds a finished run, which nobody writes to."""
    if not holds_run(path):
        return False
    try:
        store = Store(path / RECORD, write=False, damaged=True)
    except RunError:
        return False  # whatever is wrong with it is told where it is opened
    try:
        return store.one(ENDS) == "finished"
    finally:
        store.close()


def _check_size(path: Path, settings: dict[str, Any]) -> None:
    """Raise ``RunError`` for a search whose run could not be read."""
    try:
        check_bounds(settings)
    except ValueError as error:
        raise RunError(
            f"{path}: a run cannot hold this search ({error}). Make it smaller, or "
            "leave out directory=."
        ) from None


def _warn_about(unknown: list[str]) -> None:
    """Say once, where a run begins, what a resumed run will not be compared in."""
    if unknown:
        warn(
            "directory: a run that is resumed is refused where your functions differ, "
            f"but these cannot be compared: {'; '.join(unknown)}. Leave them as they "
            "are, or have the functions read arrays and numbers."
        )


def _finish(store: Store, seconds: float, stopped: str) -> None:
    if stopped:
        with store.change() as db:
            note(db, "interrupted", f"{seconds:.3f}")
            note(db, "stopped", stopped)
        return
    # a finished run that is opened again trains nothing: its time stays as it is
    if store.one(ENDS) == "finished":
        return
    with store.change() as db:
        note(db, "finished", f"{seconds:.3f}")
    store.shrink()


def _extend(path: Path, store: Store, settings: dict[str, Any]) -> None:
    """Give a finished run more rounds, in one step."""
    rounds = f"{len(settings['rounds'])} rounds"
    try:
        # noted first: without the new settings, the run is as it was
        content = as_bytes(settings)
        with store.change() as db:
            note(db, "extended", rounds)
            seal_files(db, {SETTINGS: content}, SETTINGS)
        write_whole(path / SETTINGS, content)
    except BaseException:
        store.close()
        raise


@contextmanager
def _explained(
    path: Path, store: Store, settings: dict[str, Any], begin: float
) -> Iterator[None]:
    """Note who writes; say what is kept and how to resume, if it is interrupted."""
    try:
        note_writer(store)
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        with store.change() as db:
            note(db, "interrupted", f"{time.perf_counter() - begin:.3f}")
        blocks = store.one("SELECT count(*) FROM blocks")
        how = way_to_resume(path, settings)
        text = f"{blocks} finished blocks are kept. Resume with: {how}"
        if isinstance(error, SystemExit):  # of the user's own handler of a signal
            tell(text)
            raise
        # the plain type: with a subclass Python would not exit as interrupted
        kind = Ended if isinstance(error, Ended) else KeyboardInterrupt
        raise kind(text) from None


def way_to_resume(directory: Path, settings: dict[str, Any]) -> str:
    """Return what resumes a run: a command, if no part of it is a Python object."""
    parts = [settings[name] for name in ("sampler", "refine", "scheduler")]
    parts += [*settings["space"].values(), settings["constraints"]]
    if any(map(_has_object, parts)):
        return f"the same call of jaxtune.search, with directory={str(directory)!r}"
    task = "" if holds_task(directory, settings) else " --task FILE.py:NAME"
    return f"jaxtune resume {shlex.quote(str(directory))}{task}"


def _has_object(document: Any) -> bool:
    """Return whether a document names what JSON cannot hold."""
    if isinstance(document, list):
        return any(map(_has_object, document))
    if not isinstance(document, dict):
        return False
    return not _OBJECTS.isdisjoint(document) or any(map(_has_object, document.values()))


_OBJECTS = {"object", "require"}
