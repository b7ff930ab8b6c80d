"""Trials in TensorBoard: a run for each, with hyperparameters and scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jaxtune.integrations.tool import Tracker


class TensorBoard(Tracker):
    """A folder for each trial: scores by epochs, hyperparameters; one for the search.

    Open it with ``tensorboard --logdir WHERE``; the HParams page compares the trials.
    """

    def begin(self) -> None:
        """Refuse a folder that is not empty; ``ValueError``."""
        import tensorboardX  # noqa: F401  # missing? then before anything trains

        folder = Path(self.where)
        if folder.exists() and any(folder.iterdir()):
            raise ValueError(f"export: {folder} is not empty. Use another folder.")
        self._files = 0

    def best(self, block: int, score: float) -> None:
        """One point of the search."""
        with self._writer("search") as writer:
            writer.add_scalar(f"best_{self.setup.metric}", score, block)

    def score(self, trial: int, epochs: int, score: float) -> None:
        """One point of a trial."""
        with self._writer(self.name(trial)) as writer:
            writer.add_scalar(self.setup.metric, score, epochs)

    def end(self, trial: int, hparams: dict[str, Any], row: dict[str, Any]) -> None:
        """Hyperparameters and metrics."""
        step = row.get("epochs", 0)
        with self._writer(self.name(trial)) as writer:
            own = {"name": "hparams", "global_step": step}
            writer.add_hparams(hparams, self.metrics(row), **own)

    def _writer(self, run: str) -> Any:
        """A file for each point: thousands of trials cannot all keep one open.

        Their names sort as they were written, which a time in seconds does not do.
        """
        from tensorboardX import SummaryWriter

        self._files += 1
        suffix = f".{self._files:08}"
        return SummaryWriter(str(Path(self.where) / run), filename_suffix=suffix)
