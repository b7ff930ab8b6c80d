"""Base classes of the tools: callbacks that report a search, or a finished result."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxtune import ranking
from jaxtune.results.names import REPEAT_OF
from jaxtune.results.result import Result, Setup
from jaxtune.rounds.callbacks import Callback
from jaxtune.space import Space
from jaxtune.training.round_state import BlockEvent

KNOWN = ("trial", "round", "status", "score", "epochs", REPEAT_OF)


class Tool(Callback):
    """A callback that writes a search for another tool.

    Args:
      where: a file, a folder or an address to write to.
    """

    def __init__(self, where: str):
        # functions of the user may change the folder that this process works in
        self.where = (
            where if "://" in where else os.path.abspath(os.path.expanduser(where))
        )


class Tracker(Tool):
    """A tool that has a run for each trial, and one for the search.

    It reports a trial's score as soon as all of its seeds have one. Hyperparameters and
    final metrics are reported when the round ends, since they may change until then.
    """

    def __init__(self, where: str):
        super().__init__(where)
        self.finished = False
        self._ended, self._blocks, self._best = 0, 0, -np.inf
        # by trial and epochs: the scores of its seeds so far, and the mean as reported
        self._seen: dict[tuple[int, int], dict[int, float]] = {}
        self._reported: dict[tuple[int, int], float] = {}

    def begin(self) -> None:
        """Create the run of the search; ``self.setup`` describes the search."""
        raise NotImplementedError

    def best(self, block: int, score: float) -> None:
        """Report the best score after so many blocks, in the user's direction."""
        raise NotImplementedError

    def score(self, trial: int, epochs: int, score: float) -> None:
        """Report a trial's score after some epochs."""
        raise NotImplementedError

    def curve(self, trial: int, name: str, values: dict[int, float]) -> None:
        """Report a metric of a trial, the mean over seeds, by epoch."""
        raise NotImplementedError

    def end(self, trial: int, hparams: dict[str, Any], row: dict[str, Any]) -> None:
        """Finish a trial's run, with its hyperparameters and its row of the table."""
        raise NotImplementedError

    def on_start(self, setup: Setup) -> None:
        """Keep the setup and create the run of the search."""
        self.setup = setup
        self.begin()

    def on_block(self, round: int, block: BlockEvent) -> None:
        """Report scores whose seeds are complete, and the best score so far."""
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
            if len(known) == self.setup.repeats:
                self._report(trial, epochs, float(np.mean(list(known.values()))))
                del self._seen[trial, epochs]
        if np.isfinite(self._best):
            sign = ranking.direction(self.setup.mode)
            self.best(self._blocks, sign * self._best)

    def on_round(self, result: Result) -> None:
        """Report what is not reported yet of the round's trials, and end their runs."""
        trials, space = result.trials, result.setup.space
        on_the_way = result.rungs.by_trial()
        kept = result.setup.workload.scoring.history
        histories = result.history if kept else {}
        for trial in range(self._ended, len(trials)):
            row = trials.row(trial)
            if not trials.done[trial]:
                continue
            # also for `export`, which has seen no block: every score comes from here
            scores = on_the_way.get(trial, {}) | {row.get("epochs", 0): row["score"]}
            for epochs, score in scores.items():
                self._report(trial, epochs, score)
            for name, values in histories.items():
                known = mean_curve(values[trial])
                if known:
                    self.curve(trial, f"history/{name}", known)
            hparams = space.values(trials.decoded, trial)
            self.end(trial, {n: as_scalar(v) for n, v in hparams.items()}, row)
        self._ended, self.finished = len(trials), result.finished

    def _report(self, trial: int, epochs: int, score: float) -> None:
        # as float32, like the scores of the table: else the same score would be
        # reported twice, from a block and from its round
        score = float(np.float32(score))
        if not np.isfinite(score) or self._reported.get((trial, epochs)) == score:
            return
        self._reported[trial, epochs] = score
        self._best = max(self._best, ranking.direction(self.setup.mode) * score)
        self.score(trial, epochs, score)

    @property
    def about(self) -> dict[str, Any]:
        """The settings that describe the search in its run."""
        setup = self.setup
        named = {"metric": setup.metric, "mode": setup.mode, "trials": setup.trials}
        folds = {} if setup.folds is None else {"folds": setup.folds}
        return named | folds | {"seeds": setup.seeds, "epochs": setup.workload.epochs}

    def metrics(self, row: dict[str, Any]) -> dict[str, float]:
        """Return the score and the finite metrics in a row of the table."""
        named = ("score", *metric_names(self.setup.space, row))
        return {name: float(row[name]) for name in named if np.isfinite(row[name])}

    def name(self, trial: int) -> str:
        """Return the name of a trial's run, padded so that names sort as ids do."""
        return f"trial_{trial:0{len(str(self.setup.trials - 1))}}"


def mean_curve(values: np.ndarray) -> dict[int, float]:
    """Return epoch to the mean over seeds, where all seeds have a number.

    >>> import numpy as np
    >>> mean_curve(np.asarray([[1.0, 2.0, np.nan], [3.0, np.nan, np.nan]]))
    {1: 2.0}

    Args:
      values: ``[s, epochs]``, a trial of ``result.history``.
    """
    with np.errstate(invalid="ignore"):
        means = values.mean(axis=0, dtype=np.float64)
    return {
        epoch: float(mean)
        for epoch, mean in enumerate(means.tolist(), 1)
        if np.isfinite(mean)
    }


def metric_names(space: Space, columns: Iterable[str]) -> list[str]:
    """Return the columns that are metrics, in their order."""
    others = (*space.names, *KNOWN)
    return [name for name in columns if name not in others]


def as_scalar(value: Any) -> Any:
    """Return a hyperparameter as tools accept it: a number, a bool, or text."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)  # no tool has such numbers
    return value if isinstance(value, bool | int | float | str) else str(value)
