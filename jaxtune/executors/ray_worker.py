"""What a worker process does: it unpacks once, compiles once, and runs jobs."""

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
from jaxtune.environment import kind, under
from jaxtune.executors.serialization import unpack
from jaxtune.executors.workers import Made, memory_of

KEPT = 8  # things unpacked: of each, functions keep their programs
_known: OrderedDict[str, Any] = OrderedDict()
_always = ExitStack()

Packed = tuple[str, list[Any]]
"""A name, and a list with a reference to bytes of that name."""


class Driver(NamedTuple):
    """What a worker knows of the process that sent it a job.

    Args:
      about: what numbers depend on besides the device, by name.
      paths: where it looks for modules.
    """

    about: tuple[tuple[str, str], ...]
    paths: tuple[str, ...]


def driver() -> Driver:
    """What there is to know of this process."""
    return Driver(_about(), tuple(os.path.abspath(path) for path in sys.path))


@functools.cache
def _about() -> tuple[tuple[str, str], ...]:
    told = {**environment.versions(), **environment.flags()}
    return tuple((name, str(value)) for name, value in sorted(told.items()))


def about(sender: Driver) -> dict[str, str]:
    """What this process computes on; ``RuntimeError`` if it is not as the driver is."""
    _follow(sender)
    return environment.device()


def work(
    run: Packed,
    shared: list[Packed],
    settings: dict[str, Any],
    sender: Driver,
    job: bytes,
) -> Made:
    """Run a job.

    Args:
      run: ``(shared, job) -> result``.
      shared: what all jobs read; of several things, the others come beside the first.
      settings: of JAX, see `jaxtune.executors.devices`.
      sender: who wants it.
      job: packed.

    Returns:
      The result, with the kind of this device.

    Raises:
      NoRoom: it does not fit into memory.
      RuntimeError: this process has other versions or flags than the driver, or lacks
        a module of the user's.
    """
    _follow(sender)
    first, *more = [_unpacked(name, at) for name, (at,) in shared]
    everything = (*first, *more) if more else first
    device = jax.local_devices()[0]
    with under(settings), memory_of(f"{device} of {whereabouts()}"):
        made = _unpacked(run[0], run[1][0])(everything, unpack(job))
    return Made(made, kind(device))


def whereabouts() -> str:
    """Of this process."""
    return f"process {os.getpid()} on {socket.gethostname()}"


@functools.cache
def _follow(sender: Driver) -> None:
    """Once in a process: be as the driver is, and keep programs for the next one."""
    wanted = dict(sender.about)
    differ = [
        f"{name} {here} (the driver has {wanted.get(name)})"
        for name, here in _about()
        if here != wanted.get(name)
    ]
    if differ:
        raise RuntimeError(
            f"executor: {whereabouts()} has {', '.join(differ)}, and numbers depend on "
            "it. Install the same there, for instance with runtime_env={'pip': [...]}."
        )
    # the user's own modules, where this machine has them too
    found = [path for path in sender.paths if os.path.isdir(path)]
    sys.path.extend(path for path in found if path not in sys.path)
    _always.enter_context(compiled_once())


def _unpacked(name: str, at: Any) -> Any:
    """The same object for the same bytes, so that its programs are compiled once."""
    import ray

    if name not in _known:
        try:
            _known[name] = unpack(ray.get(at))
        except ModuleNotFoundError as error:
            raise RuntimeError(
                f"executor: {whereabouts()} has no module {error.name!r}. Install it "
                "there, or send it: runtime_env={'working_dir': '.'}."
            ) from error
    _known.move_to_end(name)
    while len(_known) > KEPT:
        _known.popitem(last=False)
    return _known[name]
