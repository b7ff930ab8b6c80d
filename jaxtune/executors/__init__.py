"""Executors: the processes and devices that run the blocks of a search."""

from jaxtune.executors._local import local
from jaxtune.executors._pod import pod
from jaxtune.executors._ray import ray
from jaxtune.executors.base import Executor as Executor

__all__ = ["local", "pod", "ray"]
