"""Which columns of a table are metrics."""

from __future__ import annotations

from jaxtune.result import Result

KNOWN = ("trial", "round", "status", "score", "epochs")


def metrics_of(result: Result) -> list[str]:
    """Names of the columns that are neither hyperparameters nor jaxtune's own."""
    others = (*result.setup.space.names, *KNOWN)
    return [name for name in result.trials.names if name not in others]
