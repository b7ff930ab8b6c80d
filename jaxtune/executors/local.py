"""The devices of this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jaxtune import population
from jaxtune.executors.crew import Crew, Executor
from jaxtune.run import fingerprint


def local() -> Executor:
    """All devices of this process, and on a CPU all its cores: the default.

    Returns:
      An executor.
    """

    @contextmanager
    def begin() -> Iterator[Crew]:
        yield Crew(population.local, fingerprint.device())

    return begin
