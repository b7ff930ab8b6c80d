"""The worker process of Ray: it unpacks once, compiles once, and runs jobs."""

from __future__ import annotations

import functools
import os
import socket
import sys
from collections import OrderedDict
from contextlib import ExitStack
from typing import Any, NamedTuple

import jax

from jaxtune import environment
from jaxtune.cache import compiled_once
from jaxtune.environment import kind, label, under
from jaxtune.executors.serialization import loads
from jaxtune.executors.workers import as_out_of_memory

# blobs that stay unpacked: a function that is unpacked again is another one to jit, and
# all its programs are compiled again
KEPT = 8
_known: OrderedDict[str, Any] = OrderedDict()
_always = ExitStack()

Packed = tuple[str, list[Any]]
"""A name, and a list with a reference to bytes of that name."""


class Driver(NamedTuple):
    """The process that sent a job, as its workers know it.

    Args:
      versions: name and value of all that numbers depend on besides the device.
      paths: the folders of its modules.
    """

    versions: tuple[tuple[str, str], ...]
    paths: tuple[str, ...]


def driver() -> Driver:
    """Return this process, as its workers should know it."""
    return Driver(_versions(), tuple(os.path.abspath(path) for path in sys.path))


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    known = {**environment.versions(), **environment.flags()}
    return tuple((name, str(value)) for name, value in sorted(known.items()))


def device_of_worker(sender: Driver) -> dict[str, str]:
    """Return the device of this process; see `run_job` for the errors."""
    _follow(sender)
    return environment.device()


def run_job(
    run: Packed,
    shared: list[Packed],
    settings: dict[str, Any],
    sender: Driver,
    job: bytes,
) -> Any:
    """Run a job.

    Args:
      run: ``(shared, job) -> result``.
      shared: the tuple that all jobs read, and values to append to it.
      settings: of JAX in the driver's thread, see `jaxtune.environment`.
      sender: the driver.
      job: packed.

    Returns:
      The result, with the kind of this device.

    Raises:
      OutOfMemory: it does not fit into memory.
      RuntimeError: this process has other versions or flags than the driver, or lacks
        a module of the user's.
    """
    _follow(sender)
    first, *more = [_unpacked(name, at) for name, (at,) in shared]
    everything = (*first, *more) if more else first
    device = jax.local_devices()[0]
    with under(settings), as_out_of_memory(f"{label(device)} of {whereabouts()}"):
        result = _unpacked(run[0], run[1][0])(everything, loads(job))
    return result._replace(device=kind(device))


def whereabouts() -> str:
    """Return the name of this process, for messages."""
    return f"process {os.getpid()} on {socket.gethostname()}"


@functools.cache
def _follow(sender: Driver) -> None:
    """Make this process as the driver is, once, and keep programs for the next one."""
    wanted = dict(sender.versions)
    differ = [
        f"{name} {here} (the driver has {wanted.get(name)})"
        for name, here in _versions()
        if here != wanted.get(name)
    ]
    if differ:
        raise RuntimeError(
            f"executor: {whereabouts()} has {', '.join(differ)}, and numbers depend on "
            "it. Install the same there, for instance with runtime_env={'pip': [...]}."
        )
    # modules of the user, where this machine has them too
    found = [path for path in sender.paths if os.path.isdir(path)]
    sys.path.extend(path for path in found if path not in sys.path)
    # never left: this process may outlive the search and run blocks of the next one
    _always.enter_context(compiled_once())


def _unpacked(name: str, at: Any) -> Any:
    """Return the same object for the same bytes, so that programs are compiled once."""
    import ray

    if name not in _known:
        try:
            _known[name] = loads(ray.get(at))
        except ModuleNotFoundError as error:
            raise RuntimeError(
                f"executor: {whereabouts()} has no module {error.name!r}. Install it "
                "there, or send it: runtime_env={'working_dir': '.'}."
            ) from error
    _known.move_to_end(name)
    while len(_known) > KEPT:
        _known.popitem(last=False)
    return _known[name]
