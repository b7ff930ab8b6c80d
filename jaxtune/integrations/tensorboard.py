"""Results in TensorBoard: a run for each trial, with hyperparameters and scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jaxtune.integrations.columns import metrics_of
from jaxtune.result import Result


def tensorboard(result: Result, where: str) -> str:
    """Write a folder for each trial: scores at rungs and at the end, hyperparameters.

    Open it with ``tensorboard --logdir WHERE``; the HParams page compares the trials.
    """
    from tensorboardX import SummaryWriter

    folder = Path(where)
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"export: {where} is not empty. Use another folder.")
    space, trials, metric = result.setup.space, result.trials, result.setup.metric
    rungs = result.rungs
    metrics = metrics_of(result)
    digits = len(str(len(trials) - 1))
    for trial in range(len(trials)):
        row = trials.row(trial)
        with SummaryWriter(str(folder / f"trial_{trial:0{digits}}")) as writer:
            for at in np.flatnonzero(rungs.trial == trial):
                score = float(rungs.scores[at].mean())
                writer.add_scalar(f"{metric}/rungs", score, int(rungs.epochs[at]))
            values = {"score": row["score"]} | {name: row[name] for name in metrics}
            known = {name: v for name, v in values.items() if np.isfinite(v)}
            hparams = space.values(trials.decoded, trial)
            writer.add_hparams(
                {name: _plain(value) for name, value in hparams.items()},
                known,
                name="hparams",
                global_step=row.get("epochs", 0),
            )
    return where


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else str(value)
