"""The default executor: the devices of this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jax

from jaxtune import environment
from jaxtune.door import FLAG, guarded
from jaxtune.executors.base import Executor, ExecutorSession
from jaxtune.executors.sharded import Sharded
from jaxtune.executors.streamed import local_pool
from jaxtune.executors.workers import WorkerPool
from jaxtune.tasks import Stream
from jaxtune.types import PyTree


@guarded(shard=FLAG)
def local(*, shard: bool = False) -> Executor:
    """Run blocks on all devices of this process, and on all cores of a CPU.

    This is the default.

    >>> import jax, jaxtune as jt
    >>> space = jt.Space(x=jt.uniform(0.0, 1.0))
    >>> found = jt.search(
    ...     lambda key, hparams: hparams["x"] ** 2,
    ...     space,
    ...     key=jax.random.key(0),
    ...     trials=16,
    ...     mode="min",
    ...     executor=jt.executors.local(),
    ... )
    >>> len(found.trials)
    16

    Args:
      shard: whether all devices share the lanes of every block, rather than train a
        block each: for models of which one device holds few lanes. A block's width is
        a multiple of the devices then, and a lane's bits are those of a block that is
        as wide as a device's share.

    Returns:
      An executor.
    """

    @contextmanager
    def together() -> Iterator[ExecutorSession]:
        across = jax.local_device_count()

        def make_pool(shared: PyTree, stream: Stream | None) -> WorkerPool:
            return Sharded(local_pool(shared, stream), across)

        # widths are measured on one device, and a share is another width
        yield ExecutorSession(
            make_pool, environment.device(), measures=False, across=across
        )

    @contextmanager
    def apart() -> Iterator[ExecutorSession]:
        yield ExecutorSession(local_pool, environment.device())

    return together if shard else apart
