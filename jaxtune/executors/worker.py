"""What a worker process does: it unpacks once, compiles once, and runs jobs."""

from __future__ import annotations

import functools
import os
import socket
from collections import OrderedDict
from contextlib import ExitStack
from typing import Any

import jax

from jaxtune.cache import compiled_once
from jaxtune.executors.wire import unpack
from jaxtune.population.devices import kind, under
from jaxtune.population.hands import Made, memory_of
from jaxtune.run import fingerprint

KEPT = 8  # things unpacked: of each, functions keep their programs
_known: OrderedDict[str, Any] = OrderedDict()
_always = ExitStack()

Packed = tuple[str, list[Any]]
"""A name, and a list with a reference to bytes of that name."""


@functools.cache
def expected() -> tuple[tuple[str, str], ...]:
    """What numbers depend on besides the device, by name."""
    told = {**fingerprint.versions(), **fingerprint.flags()}
    return tuple((name, str(value)) for name, value in sorted(told.items()))


def about(wanted: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """What this process computes on; ``RuntimeError`` if it is not as the driver is."""
    _check(wanted)
    return fingerprint.device()


def work(
    run: Packed,
    shared: list[Packed],
    settings: dict[str, Any],
    wanted: tuple[tuple[str, str], ...],
    job: bytes,
) -> Made:
    """Run a job.

    Args:
      run: ``(shared, job) -> result``.
      shared: what all jobs read; of several things, the others come beside the first.
      settings: of JAX, see `jaxtune.population.devices`.
      wanted: what the driver expects of this process.
      job: packed.

    Returns:
      The result, with the kind of this device.

    Raises:
      NoRoom: it does not fit into memory.
      RuntimeError: this process has other versions or flags than the driver.
    """
    _check(wanted)
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
def _check(wanted: tuple[tuple[str, str], ...]) -> None:
    """Once in a process, and then its programs are kept for the next one."""
    differ = [
        f"{name} {here} (the driver has {there})"
        for (name, here), (_, there) in zip(expected(), wanted, strict=True)
        if here != there
    ]
    if differ:
        raise RuntimeError(
            f"executor: {whereabouts()} has {', '.join(differ)}, and numbers depend on "
            "it. Install the same there, for instance with runtime_env={'pip': [...]}."
        )
    _always.enter_context(compiled_once())


def _unpacked(name: str, at: Any) -> Any:
    """The same object for the same bytes, so that its programs are compiled once."""
    import ray

    if name not in _known:
        _known[name] = unpack(ray.get(at))
    _known.move_to_end(name)
    while len(_known) > KEPT:
        _known.popitem(last=False)
    return _known[name]
