"""A result described by all that its scores depend on, whether or not it has a run."""

from __future__ import annotations

import json
from typing import Any

from jaxtune.planning.tracing import trace
from jaxtune.results.result import Result
from jaxtune.storage.fingerprint import task_hashes
from jaxtune.storage.settings import without_pace

# what makes searches of different keys repetitions of one: the arguments, and the task
IDENTITY = (
    *("task", "space", "rounds", "start", "epochs", "seeds", "folds", "score"),
    *("metric", "mode", "sampler", "refine", "scheduler", "first", "prior"),
    *("constraints", "goals"),
)


def description_of(result: Result) -> dict[str, Any]:
    """Return the settings of a result that its scores depend on, with its task.

    Args:
      result: from a search, or from a run directory. The task of a search without a
        directory is traced, as a run does when it begins.

    Returns:
      As in ``run.json``, the part named by `IDENTITY`.
    """
    settings = without_pace(dict(result.settings))
    if "task" not in settings:
        workload, space = result.setup.workload, result.setup.space
        hashes = task_hashes(workload, trace(workload, space), space)
        settings["task"] = json.loads(json.dumps(hashes))  # as in a file
    return {name: settings[name] for name in IDENTITY}
