"""Hand a result to another tool."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module

from jaxtune.result import Result

TOOLS = {
    "csv": "tables",
    "parquet": "tables",
    "optuna": "optuna",
    "tensorboard": "tensorboard",
}
"""Name of a tool to the file here that writes for it."""


def export(result: Result, to: str, where: str | os.PathLike[str]) -> str:
    """Write a result for another tool.

    Args:
      result: from a search, or from a run directory.
      to: ``"csv"`` or ``"parquet"``, a table with one row for each trial;
        ``"optuna"``, a study with the root space's distributions, states and
        intermediate values; ``"tensorboard"``, scalars and hyperparameters.
      where: a file for tables; for Optuna a journal file or the URL of a database; for
        TensorBoard a folder.

    Returns:
      Where it was written, as the tool wants to be told.

    Raises:
      ValueError: another tool, or a place that holds something already.
      ModuleNotFoundError: the tool's package is not there; see the extras.
    """
    if to not in TOOLS:
        raise ValueError(f"export: got {to!r}. Use one of {', '.join(TOOLS)}.")
    module = import_module(f"jaxtune.integrations.{TOOLS[to]}")
    write: Callable[[Result, str], str] = getattr(module, to)
    return write(result, os.fspath(where))
