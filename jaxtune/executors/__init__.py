"""Who runs blocks: this process, or many."""

from jaxtune.executors.crew import Crew as Crew
from jaxtune.executors.crew import Executor as Executor
from jaxtune.executors.local import local
from jaxtune.executors.pod import pod
from jaxtune.executors.ray import ray

__all__ = ["local", "pod", "ray"]
