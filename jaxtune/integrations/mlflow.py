"""Trials in MLflow: a run for the search, and a nested run for each trial."""

from __future__ import annotations

import time
from typing import Any

from jaxtune.checks import extra
from jaxtune.integrations.tool import Tracker

EXPERIMENT = "jaxtune"
BATCH = 1000  # metrics that a server takes at once
STATUS = {"diverged": "FAILED", "crashed": "FAILED"}


class MLflow(Tracker):
    """Runs in a tracking store, such as ``sqlite:///mlflow.db`` or a server's address.

    Open them with ``mlflow ui --backend-store-uri WHERE``.
    """

    def begin(self) -> None:
        """Create the experiment if it is new, and the run of the search."""
        client = extra("mlflow.tracking", "mlflow").MlflowClient

        if "://" not in self.where:
            raise ValueError(
                f"export: {self.where} is no address. Use sqlite:///FILE, or the "
                "address of a server."
            )
        self._client = client(tracking_uri=self.where)
        known = self._client.get_experiment_by_name(EXPERIMENT)
        self._experiment = (
            self._client.create_experiment(EXPERIMENT)
            if known is None
            else known.experiment_id
        )
        self._runs: dict[int, str] = {}
        self._search = self._created("search", {})
        self._log(self._search, params=self.about)

    def best(self, block: int, score: float) -> None:
        """Log the best score so far to the run of the search."""
        self._log(self._search, {f"best_{self.setup.metric}": score}, block)

    def score(self, trial: int, epochs: int, score: float) -> None:
        """Log a score to the run of a trial."""
        self._log(self._run(trial), {self.setup.metric: score}, epochs)

    def curve(self, trial: int, name: str, values: dict[int, float]) -> None:
        """Log a metric by epoch to the run of a trial."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)  # milliseconds
        points = [Metric(name, value, now, epoch) for epoch, value in values.items()]
        for first in range(0, len(points), BATCH):
            batch = points[first : first + BATCH]
            self._client.log_batch(self._run(trial), metrics=batch)

    def end(self, trial: int, hparams: dict[str, Any], row: dict[str, Any]) -> None:
        """Log hyperparameters and metrics, and end the run; failed trials as failed."""
        run, status = self._run(trial), row["status"]
        metrics = self.metrics(row)
        metrics.pop(self.setup.metric, None)  # `score` has logged it
        self._log(run, metrics, row.get("epochs", 0), hparams)
        for name in ("round", "status"):
            self._client.set_tag(run, f"jaxtune.{name}", row[name])
        self._client.set_terminated(run, STATUS.get(status, "FINISHED"))
        del self._runs[trial]

    def on_end(self) -> None:
        """End all runs; those that are not finished as killed."""
        # an interrupted search must leave no run that seems to be running
        for run in self._runs.values():
            self._client.set_terminated(run, "KILLED")
        status = "FINISHED" if self.finished else "KILLED"
        self._client.set_terminated(self._search, status)

    def _run(self, trial: int) -> str:
        if trial not in self._runs:
            # the tag by which MLflow nests a run in another
            tags = {"mlflow.parentRunId": self._search, "jaxtune.trial": str(trial)}
            self._runs[trial] = self._created(self.name(trial), tags)
        return self._runs[trial]

    def _created(self, name: str, tags: dict[str, str]) -> str:
        run = self._client.create_run(self._experiment, run_name=name, tags=tags)
        return run.info.run_id

    def _log(
        self,
        run: str,
        metrics: dict[str, float] = {},
        step: int = 0,
        params: dict[str, Any] = {},
    ) -> None:
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)  # milliseconds
        self._client.log_batch(
            run,
            metrics=[Metric(name, v, now, step) for name, v in metrics.items()],
            params=[Param(name, str(v)) for name, v in params.items()],
        )
