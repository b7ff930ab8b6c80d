"""Many trials in training: fixed-width blocks of vmapped lanes."""

from jaxtune.population.block import Block, Static, gather
from jaxtune.population.lane import STATUS, Lane
from jaxtune.population.planner import Group, groups
from jaxtune.population.population import (
    Outcome,
    Workload,
    default_width,
    evaluate,
    prepare,
    unread,
)

__all__ = [
    "STATUS",
    "Block",
    "Group",
    "Lane",
    "Outcome",
    "Static",
    "Workload",
    "default_width",
    "evaluate",
    "gather",
    "groups",
    "prepare",
    "unread",
]
