"""Trials in TensorBoard: a run for each trial, with hyperparameters and scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jaxtune.checks import extra
from jaxtune.integrations.tool import Tracker


class TensorBoard(Tracker):
    """A folder for each trial, with scores by epoch and hyperparameters.

    One more folder has the best score of the search. Open all of them with
    ``tensorboard --logdir WHERE``; its HParams page compares the trials.
    """

    def begin(self) -> None:
        """Raise ``ValueError`` if the folder is not empty."""
        extra("tensorboardX", "export")  # if missing, fail before anything trains

        folder = Path(self.where)
        if folder.exists() and any(folder.iterdir()):
            raise ValueError(f"export: {folder} is not empty. Use another folder.")
        self._files = 0

    def best(self, block: int, score: float) -> None:
        """Write the best score so far to the folder of the search."""
        with self._writer("search") as writer:
            writer.add_scalar(f"best_{self.setup.metric}", score, block)

    def score(self, trial: int, epochs: int, score: float) -> None:
        """Write a score to the folder of a trial."""
        with self._writer(self.name(trial)) as writer:
            writer.add_scalar(self.setup.metric, score, epochs)

    def curve(self, trial: int, name: str, values: dict[int, float]) -> None:
        """Write a metric by epoch to the folder of a trial."""
        with self._writer(self.name(trial)) as writer:
            for epoch, value in values.items():
                writer.add_scalar(name, value, epoch)

    def end(self, trial: int, hparams: dict[str, Any], row: dict[str, Any]) -> None:
        """Write the hyperparameters and metrics of a trial."""
        step, metrics = row.get("epochs", 0), self.metrics(row)
        with self._writer(self.name(trial)) as writer:
            # without a name tensorboardX makes a folder that is named after the time
            writer.add_hparams(hparams, metrics, name="hparams", global_step=step)

    def _writer(self, run: str) -> Any:
        """Open a new file in a run's folder, closed after one point."""
        # thousands of trials cannot all keep a file open
        from tensorboardX import SummaryWriter

        # names must sort in the order of writing; tensorboardX's own has a time in
        # seconds, which is too coarse
        self._files += 1
        suffix = f".{self._files:08}"
        return SummaryWriter(str(Path(self.where) / run), filename_suffix=suffix)
