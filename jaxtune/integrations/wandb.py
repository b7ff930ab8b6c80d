"""Trials in Weights & Biases: a group of runs, one for each trial and one more."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jaxtune.integrations.tool import Tracker


class WandB(Tracker):
    """Runs of a group that has the folder's name; ``wandb sync`` sends them.

    Offline and in the project ``jaxtune``, unless the environment's ``WANDB_MODE`` and
    ``WANDB_PROJECT`` say otherwise. The runs of a round stay open until it ends.
    """

    def begin(self) -> None:
        """Make the run of the search."""
        folder = Path(self.where)
        folder.mkdir(parents=True, exist_ok=True)
        self._group = folder.resolve().name
        self._runs: dict[int, Any] = {}
        self._search = self._made("search", "search", self.about)
        self._search.define_metric("*", step_metric="block")

    def best(self, block: int, score: float) -> None:
        """One point of the search."""
        self._search.log({"block": block, f"best_{self.setup.metric}": score})

    def score(self, trial: int, epochs: int, score: float) -> None:
        """One point of a trial."""
        self._run(trial).log({"epochs": epochs, self.setup.metric: score})

    def end(self, trial: int, hparams: dict[str, Any], row: dict[str, Any]) -> None:
        """Hyperparameters and metrics; a trial that diverged has failed."""
        run = self._run(trial)
        run.config.update(hparams)
        run.summary.update({"round": row["round"], "status": row["status"]})
        run.summary.update(self.metrics(row))
        run.finish(exit_code=int(row["status"] in ("diverged", "crashed")))
        del self._runs[trial]

    def on_end(self) -> None:
        """The search is over; what it left unfinished has failed."""
        for run in self._runs.values():
            run.finish(exit_code=1)
        self._search.finish(exit_code=int(not self.finished))

    def _run(self, trial: int) -> Any:
        if trial not in self._runs:
            about = {"trial": trial}
            self._runs[trial] = self._made(self.name(trial), "trial", about)
            self._runs[trial].define_metric("*", step_metric="epochs")
        return self._runs[trial]

    def _made(self, name: str, kind: str, config: dict[str, Any]) -> Any:
        import wandb

        # a run holds a trial, not this process: nothing of the machine belongs to it
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
