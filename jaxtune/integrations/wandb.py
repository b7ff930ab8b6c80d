"""Trials in Weights & Biases: a group with a run for each trial and for the search."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jaxtune.checks import extra
from jaxtune.integrations.tool import Tracker


class WandB(Tracker):
    """A group of runs, named after the folder; ``wandb sync`` uploads them.

    Runs are offline and in the project ``jaxtune``, unless the environment variables
    ``WANDB_MODE`` and ``WANDB_PROJECT`` say otherwise. The runs of a round stay open
    until it ends.
    """

    def begin(self) -> None:
        """Create the run of the search."""
        extra("wandb", "wandb")  # if missing, fail before anything trains
        folder = Path(self.where)
        folder.mkdir(parents=True, exist_ok=True)
        self._group = folder.resolve().name
        self._runs: dict[int, Any] = {}
        self._search = self._created("search", "search", self.about)
        # else the horizontal axis would count log calls
        self._search.define_metric("*", step_metric="block")

    def best(self, block: int, score: float) -> None:
        """Log the best score so far to the run of the search."""
        self._search.log({"block": block, f"best_{self.setup.metric}": score})

    def score(self, trial: int, epochs: int, score: float) -> None:
        """Log a score to the run of a trial."""
        self._run(trial).log({"epochs": epochs, self.setup.metric: score})

    def curve(self, trial: int, name: str, values: dict[int, float]) -> None:
        """Log a metric by epoch to the run of a trial."""
        for epoch, value in values.items():
            self._run(trial).log({"epochs": epoch, name: value})

    def end(self, trial: int, hparams: dict[str, Any], row: dict[str, Any]) -> None:
        """Log hyperparameters and metrics, and end the run; failed trials as failed."""
        run = self._run(trial)
        run.config.update(hparams)
        run.summary.update({"round": row["round"], "status": row["status"]})
        run.summary.update(self.metrics(row))
        run.finish(exit_code=int(row["status"] in ("diverged", "crashed")))
        del self._runs[trial]

    def on_end(self) -> None:
        """End all runs; those that are not finished as failed."""
        for run in self._runs.values():
            run.finish(exit_code=1)
        self._search.finish(exit_code=int(not self.finished))

    def _run(self, trial: int) -> Any:
        if trial not in self._runs:
            about = {"trial": trial}
            self._runs[trial] = self._created(self.name(trial), "trial", about)
            self._runs[trial].define_metric("*", step_metric="epochs")
        return self._runs[trial]

    def _created(self, name: str, kind: str, config: dict[str, Any]) -> Any:
        import wandb

        # many runs share this process: its output and statistics belong to none of them
        quiet = wandb.Settings(
            silent=True, console="off", x_disable_stats=True, x_disable_meta=True
        )
        mode: Any = os.environ.get("WANDB_MODE", "offline")
        return wandb.init(
            mode=mode,
            project=os.environ.get("WANDB_PROJECT", "jaxtune"),
            dir=self.where,
            group=self._group,
            job_type=kind,
            name=name,
            config=config,
            reinit="create_new",
            settings=quiet,
        )
