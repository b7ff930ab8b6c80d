"""Write a search for another tool, while it runs or afterwards."""

from __future__ import annotations

import os
from importlib import import_module

from jaxtune.door import NAME, PATH, guarded
from jaxtune.integrations.tool import Tool
from jaxtune.results.result import A_RESULT, Result

TOOLS = {
    "csv": "tables.Csv",
    "parquet": "tables.Parquet",
    "optuna": "optuna.Optuna",
    "tensorboard": "tensorboard.TensorBoard",
    "mlflow": "mlflow.MLflow",
    "wandb": "wandb.WandB",
    "history": "tables.EveryEpoch",
}
"""Name of a tool to the module and the class that write for it."""


@guarded(result=A_RESULT, to=NAME, where=PATH)
def export(result: Result, to: str, where: str | os.PathLike[str]) -> str:
    """Write a result for another tool.

    Args:
      result: from a search, or from a run directory.
      to: ``"csv"`` or ``"parquet"``, a table with one row for each trial;
        ``"history"``, a table in CSV with one row for each trial, seed and epoch, of a
        search with ``history=True``; ``"optuna"``, a study with distributions, states
        and intermediate values;
        ``"tensorboard"``, scalars and hyperparameters; ``"mlflow"``, a run for the
        search with a nested run for each trial; ``"wandb"``, a group of runs.
      where: a file for tables; a journal file or the URL of a database for Optuna; a
        folder for TensorBoard and Weights & Biases; the address of a store, such as
        ``sqlite:///mlflow.db``, for MLflow.

    Returns:
      The place, in the form that the tool expects.

    Raises:
      ValueError: an unknown tool, or a place that already holds something.
      ModuleNotFoundError: the tool's package is not installed; see the extras.

    >>> import tempfile
    >>> from pathlib import Path
    >>> import jax, jaxtune as jt
    >>> space = jt.Space(x=jt.uniform(0.0, 1.0))
    >>> result = jt.search(
    ...     lambda key, hparams: (hparams["x"] - 0.3) ** 2,
    ...     space,
    ...     key=jax.random.key(0),
    ...     trials=8,
    ...     mode="min",
    ...     verbose=0,
    ... )
    >>> where = Path(tempfile.mkdtemp()) / "trials.csv"
    >>> where == Path(jt.integrations.export(result, "csv", where))
    True
    >>> where.read_text().splitlines()[0]
    'trial,round,status,score,x'
    """
    tool = live(to, where)
    tool.on_start(result.setup)
    tool.on_round(result)
    tool.on_end()
    return tool.where


@guarded(to=NAME, where=PATH)
def live(to: str, where: str | os.PathLike[str]) -> Tool:
    """Return a callback that writes for another tool while a search runs.

    TensorBoard, MLflow and Weights & Biases get every score as it is measured. Tables
    and studies get the trials of a round when the round has ended. A resumed search
    reports everything from the beginning, so give it a new place.

    Args:
      to: name of the tool, as in `export`.
      where: place to write to, as in `export`.

    Returns:
      A callback for ``jaxtune.search(..., callbacks=[...])``.

    Raises:
      ValueError: an unknown tool.
    """
    if to not in TOOLS:
        raise ValueError(f"export: got {to!r}. Use one of {', '.join(TOOLS)}.")
    # imported here: each tool needs a package that may not be installed
    module, name = TOOLS[to].split(".")
    tool: type[Tool] = getattr(import_module(f"jaxtune.integrations.{module}"), name)
    return tool(os.fspath(where))
