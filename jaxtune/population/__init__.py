"""Many trials in training: fixed-width blocks of vmapped lanes."""

from jaxtune.population.block import Block, Static, gather
from jaxtune.population.cohort import Cohort, Measured, OnBlock, Outcome, Spent
from jaxtune.population.hands import Hire
from jaxtune.population.lane import (
    CRASHED,
    DIVERGED,
    FAILED,
    RUNNING,
    STATUS,
    STOPPED,
    WAITING,
    Batching,
    Lane,
)
from jaxtune.population.narrow import Leg, Narrow, narrowed
from jaxtune.population.planner import Bucket, Group, Layout, groups
from jaxtune.population.population import evaluate, retrace
from jaxtune.population.streamed import local
from jaxtune.population.tracing import Traced, digest, trace, unread
from jaxtune.population.workload import Workload, default_width, prepare

__all__ = [
    "CRASHED",
    "DIVERGED",
    "FAILED",
    "RUNNING",
    "STATUS",
    "STOPPED",
    "WAITING",
    "Batching",
    "Block",
    "Bucket",
    "Cohort",
    "Group",
    "Hire",
    "Lane",
    "Layout",
    "Leg",
    "Measured",
    "Narrow",
    "OnBlock",
    "Outcome",
    "Spent",
    "Static",
    "Traced",
    "Workload",
    "default_width",
    "digest",
    "evaluate",
    "gather",
    "groups",
    "local",
    "narrowed",
    "prepare",
    "retrace",
    "trace",
    "unread",
]
