"""Who runs blocks: every local device, and every core of a CPU.

A block is a function of its arguments, so where and when it ran changes none of its
bits. One CPU device computes as many programs at once as threads call it; no number of
devices has to be set before JAX starts.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from copy import copy
from queue import SimpleQueue
from typing import Any, TypeVar

import jax

from jaxtune.types import PyTree

Job = TypeVar("Job")
Out = TypeVar("Out")

_KEPT = threading.local()  # contexts end with their thread

AHEAD = 2  # blocks of an accelerator: one computes while the next one is prepared

# settings of JAX that belong to a thread; a block is computed under the caller's
SETTINGS = (
    *("default_matmul_precision", "default_prng_impl", "disable_jit", "enable_x64"),
    *("debug_infs", "debug_nans", "log_compiles", "numpy_dtype_promotion"),
    *("numpy_rank_promotion", "threefry_partitionable"),
)


class Devices:
    """The devices of this process; mutable, for one round.

    Args:
      shared: what all blocks read; every device gets it once.
    """

    def __init__(self, shared: Any):
        chosen = jax.config.jax_default_device  # type: ignore[attr-defined]
        devices = jax.local_devices() if chosen is None else [_device(chosen)]
        self._named = chosen is not None or len(devices) > 1
        self._shared = dict.fromkeys(devices, shared)
        if self._named:
            self._shared = {d: jax.device_put(shared, d) for d in devices}
        self.places = _places(devices)
        self.crowd = len(self.places) // len(devices)  # blocks that share a device

    def beside(self, more: PyTree) -> Devices:
        """The same devices; what they share, a tuple, gets one thing more."""
        both = copy(self)
        both._shared = {
            device: (*shared, jax.device_put(more, device if self._named else None))
            for device, shared in self._shared.items()
        }
        return both

    def each(
        self, run: Callable[[PyTree, Job], Out], jobs: Iterable[Job | None]
    ) -> Iterator[Any]:
        """Run jobs at the same time, and hand their results back in order.

        Jobs are asked for in this thread, one more than can run.

        Args:
          run: ``(shared, job) -> result``, on one device; it has to wait for it.
          jobs: what to run; ``None`` is nothing to do.

        Yields:
          Results; ``None`` for ``None``.
        """
        free: SimpleQueue[Any] = SimpleQueue()
        for device in self.places:
            free.put(device)

        def on_a_device(job: Job) -> Out:
            device = free.get()
            try:
                with jax.default_device(device) if self._named else nullcontext():
                    return run(self._shared[device], job)
            finally:
                free.put(device)

        pending: deque[Future[Out] | None] = deque()
        count = len(self.places)
        pool = ThreadPoolExecutor(count, initializer=_adopt, initargs=(settings(),))
        try:
            for job in jobs:
                pending.append(None if job is None else pool.submit(on_a_device, job))
                if len(pending) > count:
                    yield _result(pending.popleft())
            while pending:
                yield _result(pending.popleft())
        finally:
            pool.shutdown(cancel_futures=True)


def _result(future: Future[Out] | None) -> Out | None:
    return None if future is None else future.result()


def _device(chosen: Any) -> Any:
    return jax.local_devices(backend=chosen)[0] if isinstance(chosen, str) else chosen


def _places(devices: list[Any]) -> list[Any]:
    """A device for each block that may be in flight."""
    if devices[0].platform != "cpu":
        return devices * AHEAD
    return [devices[i % len(devices)] for i in range(max(cores(), len(devices)))]


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def settings() -> dict[str, Any]:
    """Those that belong to this thread."""
    return {name: getattr(jax.config, f"jax_{name}") for name in SETTINGS}


def _adopt(wanted: dict[str, Any]) -> None:
    """Give this thread the settings of another, for as long as it lives."""
    contexts = ExitStack()
    for name, value in wanted.items():
        if getattr(jax.config, f"jax_{name}") != value:
            contexts.enter_context(getattr(jax, name)(value))
    _KEPT.contexts = contexts
