"""Who runs blocks: this process, or many."""

from jaxtune.executors._local import local
from jaxtune.executors._pod import pod
from jaxtune.executors._ray import ray
from jaxtune.executors.base import Executor as Executor
from jaxtune.executors.base import ExecutorSession as ExecutorSession

__all__ = ["local", "pod", "ray"]
