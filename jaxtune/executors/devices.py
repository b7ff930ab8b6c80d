"""The devices of this process as a pool: each device, and every core of a CPU.

One CPU device computes as many programs at once as threads call it; no number of
devices has to be set before JAX starts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from copy import copy
from functools import partial
from queue import SimpleQueue
from typing import Any

import jax

from jaxtune.background import Threads
from jaxtune.environment import kind, label, thread_settings, under
from jaxtune.executors.workers import FuturePool, Run, as_out_of_memory
from jaxtune.hardware import hardware_of
from jaxtune.types import PyTree

_KEPT = threading.local()  # contexts end with their thread


class Devices(FuturePool):
    """The devices of this process; mutable, lives for one round.

    Args:
      shared: a tuple that all blocks read; every device gets it once.
    """

    _free: SimpleQueue[Any]
    _pool: Threads

    def __init__(self, shared: Any):
        chosen = jax.config.jax_default_device  # type: ignore[attr-defined]
        devices = jax.local_devices() if chosen is None else [_device(chosen)]
        self._named = chosen is not None or len(devices) > 1
        self._shared = dict.fromkeys(devices, shared)
        if self._named:
            self._shared = {d: jax.device_put(shared, d) for d in devices}
        self.places = _places(devices)
        self.crowd = len(self.places) // len(devices)  # blocks that share a device

    @property
    def capacity(self) -> int:
        """One job in every place."""
        return len(self.places)

    def with_shared(self, more: PyTree) -> Devices:
        """Return the same devices with ``more`` appended to what they share."""
        both = copy(self)
        both._shared = {
            device: (*shared, jax.device_put(more, device if self._named else None))
            for device, shared in self._shared.items()
        }
        return both

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep a thread in every place."""
        self._free = SimpleQueue()
        for device in self.places:
            self._free.put(device)
        adopt = partial(_adopt, thread_settings())
        self._pool = Threads(len(self.places), "jaxtune-block", adopt)
        try:
            yield
        finally:
            self._pool.shutdown(cancel_futures=True)

    def submit(self, run: Run, job: Any) -> Future[Any]:
        """Begin a job as soon as a place is free."""
        return self._pool.submit(self._on_a_device, run, job)

    def take_back(self, future: Future[Any]) -> bool:
        """Take a job back that waits for a place."""
        return future.cancel()

    def _on_a_device(self, run: Run, job: Any) -> Any:
        device = self._free.get()
        try:
            here = jax.default_device(device) if self._named else nullcontext()
            with here, as_out_of_memory(label(device)):
                result = run(self._shared[device], job)
                return result._replace(device=kind(device))
        finally:
            self._free.put(device)


def _device(chosen: Any) -> Any:
    return jax.local_devices(backend=chosen)[0] if isinstance(chosen, str) else chosen


def _places(devices: list[Any]) -> list[Any]:
    """Return a device for each block that may be in flight."""
    count = hardware_of(devices[0].platform).places(len(devices))
    return [devices[i % len(devices)] for i in range(count)]


def _adopt(wanted: dict[str, Any]) -> None:
    """Keep settings for as long as this thread lives."""
    _KEPT.contexts = under(wanted)
