"""The devices of this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jax

from jaxtune import population
from jaxtune.executors.crew import Crew, Executor
from jaxtune.population.hands import Hands
from jaxtune.population.sharded import Sharded
from jaxtune.run import fingerprint
from jaxtune.tasks import Stream
from jaxtune.types import PyTree


def local(*, shard: bool = False) -> Executor:
    """All devices of this process, and on a CPU all its cores: the default.

    Args:
      shard: whether all devices share the lanes of every block, rather than train a
        block each: for models of which one device holds few lanes. A block's width is
        a multiple of the devices then, and a lane's bits are those of a block that is
        as wide as a device's share.

    Returns:
      An executor.
    """

    @contextmanager
    def together() -> Iterator[Crew]:
        across = jax.local_device_count()

        def hire(shared: PyTree, stream: Stream | None) -> Hands:
            return Sharded(population.local(shared, stream), across)

        yield Crew(hire, fingerprint.device(), measures=False, across=across)

    @contextmanager
    def apart() -> Iterator[Crew]:
        yield Crew(population.local, fingerprint.device())

    return together if shard else apart
