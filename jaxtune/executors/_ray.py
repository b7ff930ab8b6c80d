"""Ray's workers as hands: processes on this machine, or on those of a cluster.

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
from jaxtune.environment import cores, settings
from jaxtune.executors import ray_worker as worker
from jaxtune.executors.base import Crew, Executor
from jaxtune.executors.serialization import Parcel, pack, parcel
from jaxtune.executors.streamed import over
from jaxtune.executors.workers import Crashed, Hands, Made, NoRoom, Run, Workers
from jaxtune.tasks import Stream
from jaxtune.types import PyTree

LOOPBACK = ("127.0.0.1", "::1", "localhost")
# Ray's switch for clusters off Linux; without them a node's address is the loopback's
CLUSTERS = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
MODE = "RAY_AUTH_MODE"
STATISTICS = "RAY_USAGE_STATS_ENABLED"  # sent home by Ray
# of a cluster of our own: a block that took all memory is not tried as it is again
OURS = {"task_oom_retries": 0}
FRESH = 2.0  # seconds for which a count of workers holds


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
    """Processes of a Ray cluster, on one machine or many.

    Every block is a task of Ray's. The table is that of `local` to the bit, on the same
    kind of device, however many workers there are, come and go, or are killed.

    Args:
      address: of a running cluster, such as ``"auto"`` or ``"10.0.0.1:6379"``. If not
        given, the one that this process has joined already; else one is started here,
        for as long as the search lasts, that listens on the loopback interface only.
      workers: processes of a cluster that is started; one for each core if not given,
        or for each share of a GPU.
      cpus: cores that a block asks for.
      gpus: GPUs that a block asks for; a fraction shares one.
      resources: anything else that it asks for, by Ray's names.
      tries: a block whose process dies is run so often before it is given up: its
        trials have failed then, and the search goes on.
      mixed: whether blocks may run on other kinds of device than the first. Last bits
        depend on the kind, so if not, the search stops where one turns up; if so,
        ``result.devices`` tells which trials ran where.
      runtime_env: for Ray to prepare workers with, as for ``ray.init``.

    Returns:
      An executor (needs Ray, in the extra ``ray``).

    Raises:
      ValueError: an argument that makes no sense.
    """
    _check(address, workers, tries, cpus, gpus)
    asks = Asks(cpus, gpus, resources or {}, tries)

    @contextmanager
    def begin() -> Iterator[Crew]:
        with _cluster(address, workers, asks, runtime_env):
            about = _about_worker(asks, address)
            here = environment.device()
            allowed = None if mixed else about["kind"]
            parcels: dict[str, Any] = {}

            def hire(shared: PyTree, stream: Stream | None) -> Hands:
                return over(Remote(asks, shared, parcels, allowed), stream)

            yield Crew(hire, about, measures=about == here)

    return begin


def _check(address: Any, workers: Any, tries: Any, cpus: float, gpus: float) -> None:
    if address is not None and not isinstance(address, str):
        raise ValueError(
            f"ray: address={address!r}. Use 'auto', 'host:port', or none at all."
        )
    for name, count in (("workers", workers), ("tries", tries)):
        if count is not None and not is_whole(count, 1):
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


class Asks(NamedTuple):
    """What a block asks for."""

    cpus: float
    gpus: float
    resources: dict[str, float]
    tries: int

    def options(self) -> dict[str, Any]:
        """As Ray calls them."""
        named = {"num_cpus": self.cpus, "num_gpus": self.gpus}
        options = {**named, "resources": self.resources, "max_retries": self.tries - 1}
        if 0 < self.gpus < 1:  # JAX would take three quarters of it
            share = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 * self.gpus:.3f}"}
            options["runtime_env"] = {"env_vars": share}
        return options

    def fit(self, have: dict[str, float]) -> int:
        """How many blocks run at once with such resources."""
        wanted = {"CPU": self.cpus, "GPU": self.gpus, **self.resources}
        return min(int(have.get(k, 0) / share) for k, share in wanted.items() if share)


@contextmanager
def _cluster(
    address: str | None,
    workers: int | None,
    asks: Asks,
    runtime_env: dict[str, Any] | None,
) -> Iterator[None]:
    """A connection to Ray; one that is there already stays."""
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
            _start(workers, asks, plain)
        else:
            _check_reachable(address)
            ray.init(address, **plain)
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Refuse to join others from a process that only ever listens to itself."""
    import ray

    here = ray.util.get_node_ip_address()
    if here in LOOPBACK and address != "auto" and _host(address) not in LOOPBACK:
        raise RuntimeError(
            f"ray: this process is known to Ray as {here}, so {address} could not "
            "reach it: it began a cluster of its own before, or this system does so "
            f"by itself. Use a new process, with {CLUSTERS}=1 in its environment."
        )


def _host(address: str) -> str:
    return address.rpartition(":")[0]


def _start(workers: int | None, asks: Asks, plain: dict[str, Any]) -> None:
    """A cluster of this machine alone."""
    import ray

    count = cores() if workers is None and asks.cpus else workers
    if count is not None:
        plain["num_cpus"] = max(1, -int(-count * asks.cpus // 1))
    if asks.resources and workers is not None:
        plain["resources"] = {n: workers * v for n, v in asks.resources.items()}
    os.environ.setdefault(STATISTICS, "0")
    with warnings.catch_warnings():
        # Python's of JAX: what is forked here becomes another program at once
        warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
        ray.init("local", include_dashboard=False, _system_config=dict(OURS), **plain)
    where = ray.util.get_node_ip_address()
    if where not in LOOPBACK:
        ray.shutdown()
        raise RuntimeError(
            "ray: it was imported before it could be asked to listen on the loopback "
            f"interface only, and would listen on {where}. Set {CLUSTERS}=0 in the "
            "environment, or call ray.init(...) as you want it before the search."
        )


def _about_worker(asks: Asks, address: str | None) -> dict[str, str]:
    """What the first worker computes on, once it has the driver's versions."""
    import ray

    if not asks.fit(ray.cluster_resources()):
        have = {n: v for n, v in ray.cluster_resources().items() if ":" not in n}
        lacks = (
            f"ray: the cluster has {have}, too little for a block with cpus="
            f"{asks.cpus}, gpus={asks.gpus}, resources={asks.resources}"
        )
        if address is None and len(ray.nodes()) == 1:
            raise ValueError(f"{lacks}. Ask for less.")
        warn(f"{lacks}: waiting for a node.")
    task = ray.remote(worker.about).options(**asks.options())
    return _got(task.remote(worker.driver()).future())


class Remote(Workers):
    """Hands of Ray's.

    Args:
      asks: what a block asks for.
      shared: what all blocks read.
      parcels: what is in the object store already, by name; mutable, for one search.
      allowed: the kind of device that blocks may run on; any if ``None``.
    """

    def __init__(
        self, asks: Asks, shared: PyTree, parcels: dict[str, Any], allowed: str | None
    ):
        import ray

        self._asks, self._parcels, self._allowed = asks, parcels, allowed
        self._task = ray.remote(worker.work).options(**asks.options())
        self._shared = [self._kept(parcel(shared))]
        self._sender = worker.driver()
        self._runs: dict[Run, Any] = {}
        self._flying: dict[Future[Any], Any] = {}
        self._counted, self._count = -FRESH, 1

    @property
    def room(self) -> int:
        """A block for every worker, and one more that waits beside it."""
        import ray

        now = time.monotonic()
        if now - self._counted > FRESH:
            self._count = max(1, self._asks.fit(ray.cluster_resources()))
            self._counted = now
        return 2 * self._count

    @property
    def ahead(self) -> int:
        """A block that is tried again holds up no worker."""
        return 4 * self._count

    def beside(self, more: PyTree) -> Remote:
        """The same workers; what they share, a tuple, gets one thing more."""
        both = copy(self)
        own = parcel(more)
        both._shared = [*self._shared, (own.name, [_put(own)])]
        return both

    def submit(self, run: Run, job: Any) -> Future[Made]:
        """Begin a task."""
        if run not in self._runs:
            self._runs[run] = self._kept(parcel(run))
        own = (self._runs[run], self._shared, settings(), self._sender)
        ref = self._task.remote(*own, pack(job))
        future = ref.future()
        self._flying[future] = ref
        return future

    def take(self, future: Future[Made]) -> Made:
        """What became of a task."""
        import ray

        self._flying.pop(future, None)
        try:
            made = _got(future)
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError) as end:
            said = str(end).partition("\n")[0]
            return Made(Crashed(self._asks.tries, said), "")
        if self._allowed not in (None, made.device):
            raise RuntimeError(
                f"executor: a block ran on {made.device}, but the search began on "
                f"{self._allowed}, and last bits depend on the kind of device. Ask for "
                "one kind with resources={...}, or use mixed=True: result.devices then "
                "tells which trials ran where. What was done before is kept."
            )
        return made

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Tasks that nobody waits for any more are cancelled."""
        import ray

        try:
            yield
        finally:
            for ref in self._flying.values():
                ray.cancel(ref, force=False)
            self._flying.clear()

    def _kept(self, own: Parcel) -> tuple[str, list[Any]]:
        """A parcel, sent once in a search; in a list, so that Ray passes it by name."""
        if own.name not in self._parcels:
            self._parcels[own.name] = _put(own)
        return own.name, [self._parcels[own.name]]


def _put(own: Parcel) -> Any:
    import ray

    return ray.put(own.data)


def _got(future: Future[Any]) -> Any:
    """The result of a task, or its own error."""
    import ray

    try:
        return future.result()
    except ray.exceptions.OutOfMemoryError as error:
        said = str(error).partition("\n")[0]
        raise NoRoom("a worker's machine", said) from error
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, Exception):
            raise error.cause from error
        raise
