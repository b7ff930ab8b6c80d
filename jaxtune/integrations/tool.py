"""What another tool is told: during a search, or of a result afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxtune import ranking
from jaxtune.results.result import Result, Setup
from jaxtune.rounds.callbacks import Callback
from jaxtune.space import Space
from jaxtune.training.round_state import BlockEvent

KNOWN = ("trial", "round", "status", "score", "epochs")


class Tool(Callback):
    """A place where another tool finds what a search measured.

    Args:
      where: a file, a folder or an address.
    """

    def __init__(self, where: str):
        self.where = where


class Tracker(Tool):
    """A tool that has a run for each trial, and one for the search.

    A trial's scores are told as soon as all of its seeds have them, its hyperparameters
    and final metrics when its round ends, for they may change until then. What is told
    of a round afterwards is what was not told before.
    """

    def __init__(self, where: str):
        super().__init__(where)
        self.finished = False
        self._ended, self._blocks, self._best = 0, 0, -np.inf
        self._seen: dict[tuple[int, int], dict[int, float]] = {}
        self._told: dict[tuple[int, int], float] = {}

    def begin(self) -> None:
        """Make the run of the search; ``self.setup`` says what it is."""
        raise NotImplementedError

    def best(self, block: int, score: float) -> None:
        """The best score after so many blocks, in the user's direction."""
        raise NotImplementedError

    def score(self, trial: int, epochs: int, score: float) -> None:
        """A trial's score after some epochs."""
        raise NotImplementedError

    def end(self, trial: int, hparams: dict[str, Any], row: dict[str, Any]) -> None:
        """A trial is done: what it trained with, and its row of the table."""
        raise NotImplementedError

    def on_start(self, setup: Setup) -> None:
        """Begin."""
        self.setup = setup
        self.begin()

    def on_block(self, round: int, block: BlockEvent) -> None:
        """Tell scores whose seeds are complete, and the best one."""
        self._blocks += 1
        values = block.metrics[self.setup.metric]
        for trial, seed, epochs, value in zip(
            block.trial.tolist(),
            block.seed.tolist(),
            block.epochs.tolist(),
            values.tolist(),
            strict=True,
        ):
            known = self._seen.setdefault((trial, epochs), {})
            known[seed] = value
            if len(known) == self.setup.seeds:
                self._tell(trial, epochs, float(np.mean(list(known.values()))))
                del self._seen[trial, epochs]
        if np.isfinite(self._best):
            sign = ranking.direction(self.setup.mode)
            self.best(self._blocks, sign * self._best)

    def on_round(self, result: Result) -> None:
        """Tell what is not known yet of the trials of the round, and end them."""
        trials, space = result.trials, result.setup.space
        on_the_way = result.rungs.by_trial()
        for trial in range(self._ended, len(trials)):
            row = trials.row(trial)
            if row["status"] == "waiting":
                continue
            scores = on_the_way.get(trial, {}) | {row.get("epochs", 0): row["score"]}
            for epochs, score in scores.items():
                self._tell(trial, epochs, score)
            hparams = space.values(trials.decoded, trial)
            self.end(trial, {n: plain(v) for n, v in hparams.items()}, row)
        self._ended, self.finished = len(trials), result.finished

    def _tell(self, trial: int, epochs: int, score: float) -> None:
        score = float(np.float32(score))  # as the table has it
        if not np.isfinite(score) or self._told.get((trial, epochs)) == score:
            return
        self._told[trial, epochs] = score
        self._best = max(self._best, ranking.direction(self.setup.mode) * score)
        self.score(trial, epochs, score)

    @property
    def about(self) -> dict[str, Any]:
        """What the run of the search says of it."""
        setup = self.setup
        named = {"metric": setup.metric, "mode": setup.mode, "trials": setup.trials}
        return named | {"seeds": setup.seeds, "epochs": setup.workload.epochs}

    def metrics(self, row: dict[str, Any]) -> dict[str, float]:
        """The score and the finite metrics in a row of the table."""
        named = ("score", *measured(self.setup.space, row))
        return {name: float(row[name]) for name in named if np.isfinite(row[name])}

    def name(self, trial: int) -> str:
        """What the run of a trial is called; names sort as trials do."""
        return f"trial_{trial:0{len(str(self.setup.trials - 1))}}"


def measured(space: Space, columns: Iterable[str]) -> list[str]:
    """Columns that are neither hyperparameters nor jaxtune's own: the metrics."""
    others = (*space.names, *KNOWN)
    return [name for name in columns if name not in others]


def plain(value: Any) -> Any:
    """A hyperparameter as tools take it: a number, a truth value, or text."""
    return value if isinstance(value, bool | int | float | str) else str(value)
