"""Durable runs: a directory that a search can be gone on with from."""

from jaxtune.run.directory import begun
from jaxtune.run.errors import RunError
from jaxtune.run.read import load, seconds_of
from jaxtune.run.recorded import recorded
from jaxtune.run.settings import LAST_BITS, Given

__all__ = ["LAST_BITS", "Given", "RunError", "begun", "load", "recorded", "seconds_of"]
