"""Hand a search to another tool, while it runs or afterwards."""

from __future__ import annotations

import os
from importlib import import_module

from jaxtune.integrations.tool import Tool
from jaxtune.results.result import Result

TOOLS = {
    "csv": "tables.Csv",
    "parquet": "tables.Parquet",
    "optuna": "optuna.Optuna",
    "tensorboard": "tensorboard.TensorBoard",
    "mlflow": "mlflow.MLflow",
    "wandb": "wandb.WandB",
}
"""Name of a tool to the file and the class here that write for it."""


def export(result: Result, to: str, where: str | os.PathLike[str]) -> str:
    """Write a result for another tool.

    Args:
      result: from a search, or from a run directory.
      to: ``"csv"`` or ``"parquet"``, a table with one row for each trial;
        ``"optuna"``, a study with the root space's distributions, states and
        intermediate values; ``"tensorboard"``, scalars and hyperparameters;
        ``"mlflow"``, a run for the search with a nested one for each trial;
        ``"wandb"``, a group of runs.
      where: a file for tables; for Optuna a journal file or the URL of a database; a
        folder for TensorBoard and Weights & Biases; for MLflow the address of a store,
        such as ``sqlite:///mlflow.db``.

    Returns:
      Where it was written, as the tool wants to be told.

    Raises:
      ValueError: another tool, or a place that holds something already.
      ModuleNotFoundError: the tool's package is not there; see the extras.
    """
    tool = live(to, where)
    tool.on_start(result.setup)
    tool.on_round(result)
    tool.on_end()
    return tool.where


def live(to: str, where: str | os.PathLike[str]) -> Tool:
    """A callback that writes for another tool while a search runs.

    TensorBoard, MLflow and Weights & Biases are told every score as it is measured;
    tables and studies, the trials of a round when it has ended. A search that goes on
    tells everything from the beginning: give it a new place.

    Args:
      to: which tool, as in `export`.
      where: as in `export`.

    Returns:
      To be passed as ``jaxtune.search(..., callbacks=[...])``.

    Raises:
      ValueError: another tool.
    """
    if to not in TOOLS:
        raise ValueError(f"export: got {to!r}. Use one of {', '.join(TOOLS)}.")
    module, name = TOOLS[to].split(".")
    made: type[Tool] = getattr(import_module(f"jaxtune.integrations.{module}"), name)
    return made(os.fspath(where))
