"""Ray's workers as a pool: processes on this machine, or on those of a cluster.

Ray decides where a block runs, runs it again if its process or its machine is lost, and
keeps what all blocks read once on every machine.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from copy import copy
from typing import Any, NamedTuple

from jaxtune import environment
from jaxtune.checks import is_whole, warn
from jaxtune.door import FLAG, MAPPING, guarded, optional, real
from jaxtune.environment import cores, thread_settings
from jaxtune.executors import ray_worker
from jaxtune.executors.base import Executor, ExecutorSession
from jaxtune.executors.serialization import Blob, dumps, to_blob
from jaxtune.executors.streamed import with_stream
from jaxtune.executors.workers import (
    FuturePool,
    OutOfMemory,
    Run,
    WorkerPool,
)
from jaxtune.programs.job import failed_block
from jaxtune.tasks import Stream
from jaxtune.types import PyTree

LOOPBACK = ("127.0.0.1", "::1", "localhost")
# Ray's switch for clusters off Linux; without them a node's address is the loopback's
CLUSTERS = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
MODE = "RAY_AUTH_MODE"
STATISTICS = "RAY_USAGE_STATS_ENABLED"  # whether Ray reports its use to its makers
# for a cluster that is started here: a block that took all memory is not tried again
# at the same width
LOCAL_CONFIG = {"task_oom_retries": 0}
FRESH = 2.0  # seconds for which a count of workers is used again


@guarded(
    cpus=real(),
    gpus=real(),
    resources=optional(MAPPING),
    mixed=FLAG,
    runtime_env=optional(MAPPING),
)
def ray(
    address: str | None = None,
    *,
    workers: int | None = None,
    cpus: float = 1.0,
    gpus: float = 0.0,
    resources: dict[str, float] | None = None,
    tries: int = 4,
    mixed: bool = False,
    runtime_env: dict[str, Any] | None = None,
) -> Executor:
    """Run blocks in the processes of a Ray cluster, on one machine or many.

    Every block is a task of Ray's. The table is that of `local` to the bit, on the same
    kind of device, however many workers there are, come and go, or are killed.

    Nothing is started before a search asks for it:

    >>> import jaxtune as jt
    >>> executor = jt.executors.ray(workers=2, cpus=1)
    >>> jt.executors.ray(workers=0)
    Traceback (most recent call last):
      ...
    ValueError: ray: workers=0. Use a whole number from 1.

    Args:
      address: of a running cluster, such as ``"auto"`` or ``"10.0.0.1:6379"``. If not
        given, the one that this process has joined already; else one is started here,
        for as long as the search lasts, that listens on the loopback interface only.
      workers: processes of a cluster that is started; one for each core if not given,
        or for each share of a GPU.
      cpus: cores that a block needs.
      gpus: GPUs that a block needs; a fraction shares one.
      resources: anything else that a block needs, by Ray's names.
      tries: how often a block is run if its process dies each time. Then the block is
        given up: its trials have failed, and the search continues.
      mixed: whether blocks may run on other kinds of device than the first. Last bits
        depend on the kind, so if false, the search stops where another one turns up; if
        true, ``result.devices`` has the trials of each kind.
      runtime_env: for Ray to prepare workers with, as for ``ray.init``.

    Returns:
      An executor (needs Ray, in the extra ``ray``).

    Raises:
      ValueError: an argument that makes no sense.
    """
    _check(address, workers, tries, cpus, gpus)
    request = ResourceRequest(cpus, gpus, resources or {}, tries)

    @contextmanager
    def begin() -> Iterator[ExecutorSession]:
        with _cluster(address, workers, request, runtime_env):
            device = _device_of_workers(request, address)
            here = environment.device()
            allowed = None if mixed else device["kind"]
            blobs: dict[str, Any] = {}

            def make_pool(shared: PyTree, stream: Stream | None) -> WorkerPool:
                return with_stream(RayPool(request, shared, blobs, allowed), stream)

            # a width measured here is right for workers on the same kind of device
            yield ExecutorSession(make_pool, device, measures=device == here)

    return begin


def _check(address: Any, workers: Any, tries: Any, cpus: float, gpus: float) -> None:
    if address is not None and not (isinstance(address, str) and address):
        raise ValueError(
            f"ray: address={address!r}. Use 'auto', 'host:port', or none at all."
        )
    for name, count in (("workers", workers), ("tries", tries)):
        left_out = name == "workers" and count is None
        if not left_out and not is_whole(count, 1):
            raise ValueError(f"ray: {name}={count!r}. Use a whole number from 1.")
    if workers is not None and address is not None:
        raise ValueError(
            f"ray: workers={workers} is for a cluster that is started here; the one at "
            f"{address!r} has its own. Leave it out."
        )
    for name, share in (("cpus", cpus), ("gpus", gpus)):
        if not share >= 0 or (share > 1 and not is_whole(share, 1)):
            raise ValueError(
                f"ray: {name}={share!r}. Use a fraction of one, or a whole number."
            )
    if not cpus and not gpus:
        raise ValueError("ray: a block needs a core or a GPU: cpus=1.0, or gpus=1.0.")


class ResourceRequest(NamedTuple):
    """The resources that Ray gives to a block, see `ray`."""

    cpus: float
    gpus: float
    resources: dict[str, float]
    tries: int

    def options(self) -> dict[str, Any]:
        """Return the request under the names of Ray."""
        named = {"num_cpus": self.cpus, "num_gpus": self.gpus}
        options = {**named, "resources": self.resources, "max_retries": self.tries - 1}
        if 0 < self.gpus < 1:  # JAX would take three quarters of it
            share = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 * self.gpus:.3f}"}
            options["runtime_env"] = {"env_vars": share}
        return options

    def fit(self, have: dict[str, float]) -> int:
        """Return how many blocks run at once with such resources."""
        needs = {"CPU": self.cpus, "GPU": self.gpus, **self.resources}
        return min(int(have.get(k, 0) / share) for k, share in needs.items() if share)


@contextmanager
def _cluster(
    address: str | None,
    workers: int | None,
    request: ResourceRequest,
    runtime_env: dict[str, Any] | None,
) -> Iterator[None]:
    """Connect to Ray; a connection that is there already stays."""
    alone = address is None or _host(address) in LOOPBACK
    if alone:
        os.environ.setdefault(CLUSTERS, "0")
    elif os.environ.setdefault(MODE, "token") != "token":
        warn(
            f"ray: {MODE}={os.environ[MODE]}, so whoever reaches {address} can run "
            f"code on it. Start the cluster with {MODE}=token."
        )
    try:
        import ray
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "executors.ray() needs Ray: pip install 'jaxtune[ray]'"
        ) from None

    if ray.is_initialized():
        if address is not None or workers is not None:
            raise ValueError(
                "ray: this process has joined a cluster already. Leave address and "
                "workers out to use it, or call ray.shutdown() before."
            )
        yield
        return
    plain: dict[str, Any] = {"logging_level": "warning", "runtime_env": runtime_env}
    try:
        if address is None:
            _start(workers, request, plain)
        else:
            _check_reachable(address)
            ray.init(address, **plain)
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Refuse to join a cluster from a process that listens to itself alone."""
    import ray

    here = ray.util.get_node_ip_address()
    if here in LOOPBACK and address != "auto" and _host(address) not in LOOPBACK:
        raise RuntimeError(
            f"ray: this process is known to Ray as {here}, so {address} could not "
            "reach it: it started a local cluster before, or this system's default is "
            f"the loopback interface. Use a new process, with {CLUSTERS}=1 in its "
            "environment."
        )


def _host(address: str) -> str:
    return address.rpartition(":")[0]


def _start(
    workers: int | None, request: ResourceRequest, plain: dict[str, Any]
) -> None:
    """Start a cluster of this machine alone."""
    import ray

    count = cores() if workers is None and request.cpus else workers
    if count is not None:
        plain["num_cpus"] = max(1, -int(-count * request.cpus // 1))
    if request.resources and workers is not None:
        plain["resources"] = {n: workers * v for n, v in request.resources.items()}
    os.environ.setdefault(STATISTICS, "0")
    with warnings.catch_warnings():
        # Python warns of forks beside JAX's threads, but these become Ray's programs
        warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
        ray.init(
            "local", include_dashboard=False, _system_config=dict(LOCAL_CONFIG), **plain
        )
    where = ray.util.get_node_ip_address()
    if where not in LOOPBACK:
        ray.shutdown()
        raise RuntimeError(
            "ray: it was imported before jaxtune could restrict it to the loopback "
            f"interface, and would listen on {where}. Set {CLUSTERS}=0 in the "
            "environment, or call ray.init(...) as you want it before the search."
        )


def _device_of_workers(request: ResourceRequest, address: str | None) -> dict[str, str]:
    """Return the device of the first worker that has the driver's versions."""
    import ray

    if not request.fit(ray.cluster_resources()):
        have = {n: v for n, v in ray.cluster_resources().items() if ":" not in n}
        lacks = (
            f"ray: the cluster has {have}, too little for a block with cpus="
            f"{request.cpus}, gpus={request.gpus}, resources={request.resources}"
        )
        if address is None and len(ray.nodes()) == 1:
            raise ValueError(f"{lacks}. Ask for less.")
        warn(f"{lacks}: waiting for a node.")
    task = ray.remote(ray_worker.device_of_worker).options(**request.options())
    return _result(task.remote(ray_worker.driver()).future())


class RayPool(FuturePool):
    """A pool of Ray's workers.

    Args:
      request: the resources of a block.
      shared: the tuple that all jobs read.
      blobs: name to a reference, of what is in the object store already; mutable, for
        one search.
      allowed: the kind of device that blocks may run on; any if ``None``.
    """

    def __init__(
        self,
        request: ResourceRequest,
        shared: PyTree,
        blobs: dict[str, Any],
        allowed: str | None,
    ):
        import ray

        self._request, self._blobs, self._allowed = request, blobs, allowed
        self._task = ray.remote(ray_worker.run_job).options(**request.options())
        self._shared = [self._stored(to_blob(shared))]
        self._sender = ray_worker.driver()
        self._runs: dict[Run, Any] = {}
        self._flying: dict[Future[Any], Any] = {}
        self._counted, self._count = -FRESH, 1

    @property
    def capacity(self) -> int:
        """Two blocks for each worker: one runs, and the next one is there already."""
        import ray

        now = time.monotonic()
        if now - self._counted > FRESH:  # asking Ray costs more than a small block
            self._count = max(1, self._request.fit(ray.cluster_resources()))
            self._counted = now
        return 2 * self._count

    @property
    def lookahead(self) -> int:
        """So many that no worker waits for a block that is tried again."""
        return 4 * self._count

    def with_shared(self, more: PyTree) -> RayPool:
        """Return the same workers with ``more`` appended to what they share."""
        both = copy(self)
        blob = to_blob(more)
        # not through _stored: each part of a stream is used once, and then released
        both._shared = [*self._shared, (blob.name, [_put(blob)])]
        return both

    def submit(self, run: Run, job: Any) -> Future[Any]:
        """Begin a task."""
        if run not in self._runs:
            self._runs[run] = self._stored(to_blob(run))
        ref = self._task.remote(
            self._runs[run], self._shared, thread_settings(), self._sender, dumps(job)
        )
        future = ref.future()
        self._flying[future] = ref
        return future

    def result_of(self, future: Future[Any]) -> Any:
        """Return the result of a task; a failed block if its workers died."""
        import ray

        self._flying.pop(future, None)
        try:
            result = _result(future)
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError) as end:
            tries, detail = self._request.tries, str(end).partition("\n")[0]
            return failed_block(f"it ended {tries} processes, the last one: {detail}")
        if self._allowed not in (None, result.device):
            raise RuntimeError(
                f"executor: a block ran on {result.device}, but the search began on "
                f"{self._allowed}, and last bits depend on the kind of device. Ask for "
                "one kind with resources={...}, or use mixed=True: result.devices then "
                "has the trials of each kind. Finished blocks are kept."
            )
        return result

    @contextmanager
    def running(self) -> Iterator[None]:
        """Enclose some tasks; those that are not done at the end are cancelled."""
        import ray

        try:
            yield
        finally:
            for ref in self._flying.values():
                ray.cancel(ref, force=False)
            self._flying.clear()

    def _stored(self, blob: Blob) -> tuple[str, list[Any]]:
        """Return a name and a reference; every blob is sent once in a search."""
        if blob.name not in self._blobs:
            self._blobs[blob.name] = _put(blob)
        # in a list, since Ray would replace a bare reference by its value
        return blob.name, [self._blobs[blob.name]]


def _put(blob: Blob) -> Any:
    import ray

    return ray.put(blob.data)


def _result(future: Future[Any]) -> Any:
    """Return the result of a task, or raise the error that its code raised."""
    import ray

    try:
        return future.result()
    except ray.exceptions.OutOfMemoryError as error:
        detail = str(error).partition("\n")[0]
        raise OutOfMemory("a worker's machine", detail) from error
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, Exception):
            raise error.cause from error
        raise
