"""Processes that run the same program, as on a TPU pod: each runs some blocks.

Every process runs the whole search, with a journal of its own; only the blocks are
divided among them, and their results are exchanged. So no process leads another, and
all of them end in the same table. The directory of the first one is the run.
"""

from __future__ import annotations

import itertools
import pickle
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

from jaxtune import environment
from jaxtune.executors.base import Executor, ExecutorSession
from jaxtune.executors.devices import Devices
from jaxtune.executors.streamed import local_pool
from jaxtune.executors.workers import OutOfMemory, Run, WorkerPool
from jaxtune.signals import Ended, asked_to_end, held_back, note_signal
from jaxtune.tasks import Stream
from jaxtune.types import PyTree

TURNS = 4  # blocks for each place between two exchanges
LEAST = 2**12  # bytes: messages are padded to powers of two, each of them a program
MOST = 2**30  # bytes of one process at once


def pod() -> Executor:
    """Run blocks in the processes of ``jax.distributed``: a pod, or a cluster.

    Start the same script on every host, and call ``jax.distributed.initialize()`` first
    in it. Blocks are divided by process index, and their results exchanged. The first
    process writes the directory, shows the progress and calls the callbacks; all of
    them return the same result. When one of them dies, all stop; start them again with
    the same directory, and the search is resumed.

    A script for every host ends in such lines:

    >>> import jaxtune as jt
    >>> executor = jt.executors.pod()
    >>> # jax.distributed.initialize(); jt.search(task, space, ..., executor=executor)

    Returns:
      An executor.

    Raises:
      RuntimeError: when a search begins, if the processes have not met, have devices of
        different kinds, or run different searches.
    """

    @contextmanager
    def begin() -> Iterator[ExecutorSession]:
        if not jax.distributed.is_initialized():
            raise RuntimeError(
                "pod: this process has not met the others. Call "
                "jax.distributed.initialize() at the beginning of the script."
            )
        about = _agreed(environment.device)
        if about != environment.device():
            raise RuntimeError(
                f"pod: process {jax.process_index()} has {environment.device()}, the "
                f"first one {about}. Last bits depend on the kind of device: use one."
            )

        def make_pool(shared: PyTree, stream: Stream | None) -> WorkerPool:
            # a stream's rows are read once for all blocks of an epoch, so in one turn
            turn = None if stream is not None else TURNS * _places()
            return Pod(local_pool(shared, stream), turn)

        leads = jax.process_index() == 0
        # the run of each process is that of the first one
        host = _agreed(environment.host_kind)
        # a process that left by itself would keep the others waiting
        with held_back():
            yield ExecutorSession(
                make_pool,
                {**about, "host": host},
                leads=leads,
                agree=_agreed,
                processes=jax.process_count(),
            )

    return begin


def _places() -> int:
    """Return the blocks that run at once in all processes, as the first one counts."""
    # hosts may differ in their cores, but must exchange after the same jobs
    return _agreed(lambda: Devices(()).capacity) * jax.process_count()


class Pod(WorkerPool):
    """A pool of many processes, all of which get the same jobs.

    Args:
      pool: of this process.
      turn: jobs between two exchanges; all at once if ``None``.
    """

    def __init__(self, pool: WorkerPool, turn: int | None):
        self._pool, self._turn = pool, turn

    def with_shared(self, more: PyTree) -> Pod:
        """Return the same processes with ``more`` appended to what they share."""
        return Pod(self._pool.with_shared(more), self._turn)

    def map_ordered(self, run: Run, jobs: Iterable[Any]) -> Iterator[Any]:
        """Run jobs, see `WorkerPool`; results come in turns."""
        ahead = iter(jobs)
        while turn := list(itertools.islice(ahead, self._turn)):
            yield from self._turn_of(run, turn)

    def _turn_of(self, run: Run, jobs: list[Any]) -> Iterator[Any]:
        count, here = jax.process_count(), jax.process_index()
        # blocks on record are not counted, so that new ones are divided evenly
        new = [i for i, job in enumerate(jobs) if job is not None]
        process = {at: number % count for number, at in enumerate(new)}
        local = [job if process.get(i) == here else None for i, job in enumerate(jobs)]
        done: Any = {}
        try:
            for i, result in enumerate(self._pool.map_ordered(run, local)):
                if result is not None:
                    done[i] = result
        except Ended:
            pass  # what there is goes to the others, with the signal
        except Exception as error:
            # exchanged like results: if this process stopped here, others would wait
            done = _portable(error)
        messages = exchanged((_checksum(jobs), done, asked_to_end()))
        if len({checksum for checksum, *_ in messages}) > 1:
            raise RuntimeError(
                "pod: the processes ask for different blocks, so they do not run the "
                "same search. Give all of them the same script, data, key and versions."
            )
        failed = [done for _, done, _ in messages if isinstance(done, Exception)]
        if failed:
            raise failed[0]
        known = {i: one for _, done, _ in messages for i, one in done.items()}
        signum = max(signum for *_, signum in messages)
        for i, job in enumerate(jobs):
            if signum and job is not None and i not in known:
                break
            yield known.get(i)
        if signum:  # of any process: all of them end after the same block
            note_signal(signum)
            raise Ended


def _portable(error: Exception) -> Exception:
    """Return an error that can be sent to the other processes."""
    if isinstance(error, OutOfMemory):
        return OutOfMemory(
            f"{error.where} of process {jax.process_index()}", error.detail
        )
    try:
        # both, since some errors can be pickled and not unpickled
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"process {jax.process_index()}: {error!r}")


def _checksum(jobs: list[Any]) -> int:
    """Return a checksum of the lanes to train, in order, and of their settings."""
    known = 0
    for job in jobs:
        block = None if job is None else job.block
        for leaf in jax.tree.leaves(block):
            known = zlib.crc32(np.ascontiguousarray(leaf).tobytes(), known)
    return known


def exchanged(message: Any) -> list[Any]:
    """Send a message to all processes, and return theirs in the order of processes.

    Raises:
      ValueError: more than fits into one message, from any of them.
    """
    from jax.experimental import multihost_utils

    data = np.frombuffer(pickle.dumps(message), np.uint8)
    # sizes first, so that a message which is too large is refused by all processes
    size = np.int32(min(len(data), MOST + 1))
    sizes = np.ravel(multihost_utils.process_allgather(size))
    if sizes.max() > MOST:
        raise ValueError(
            f"pod: a process has more than {MOST >> 20} MiB of states to exchange, "
            "which is too much at once. Use narrower blocks, such as block=8, or a "
            "scheduler with fewer rungs."
        )
    padded = max(LEAST, 1 << int(sizes.max() - 1).bit_length())
    whole = np.zeros(padded, np.uint8)
    whole[: len(data)] = data
    rows = np.reshape(multihost_utils.process_allgather(whole), (len(sizes), padded))
    return [
        pickle.loads(row[:size].tobytes())
        for row, size in zip(rows, sizes, strict=True)
    ]


def _agreed(make: Callable[[], Any]) -> Any:
    """Return in all processes what the first one makes, or raise its error."""
    made: Any = None
    if jax.process_index() == 0:
        try:
            made = make()
        except Ended:
            made = Ended(asked_to_end())
        except Exception as error:
            made = _portable(error)
    first = exchanged(made)[0]
    if isinstance(first, Ended):
        note_signal(*first.args)
        raise Ended
    if isinstance(first, Exception):
        raise first
    return first
