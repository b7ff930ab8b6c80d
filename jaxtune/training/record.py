"""What a scheduler may know of the trials of a round."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from jaxtune import ranking
from jaxtune.programs.lane import FAILED
from jaxtune.schedulers import Decision, Plan, Progress


class Rungs(NamedTuple):
    """Scores on the way: one row for every rung that a trial reached.

    Args:
      trial: ``[k]`` int, in the order in which they became known.
      epochs: ``[k]`` int, trained until then.
      scores: ``[k, s]`` float32, as the task measures them; NaN if failed.
    """

    trial: np.ndarray
    epochs: np.ndarray
    scores: np.ndarray

    def by_trial(self) -> dict[int, dict[int, float]]:
        """Trial to epochs to mean score, failed ones left out."""
        known: dict[int, dict[int, float]] = {}
        with np.errstate(invalid="ignore"):
            means = self.scores.mean(axis=1, dtype=np.float64)
        for trial, epochs, mean in zip(self.trial, self.epochs, means, strict=True):
            if np.isfinite(mean):
                known.setdefault(int(trial), {})[int(epochs)] = float(mean)
        return known


class InTraining(Protocol):
    """What is known of lanes: a `RoundState`, or a simulation of one."""

    epochs: np.ndarray
    status: np.ndarray
    metrics: dict[str, np.ndarray]


class Record:
    """What a scheduler may know, kept up to date; mutable, for one round.

    Args:
      plan: what it planned.
      trials: how many.
      seeds: lanes of each.
    """

    def __init__(self, plan: Plan, trials: int, seeds: int):
        self._rungs = np.full((trials, plan.rungs), -1)
        for bracket in plan.brackets:
            self._rungs[bracket.rows, : len(bracket.epochs)] = bracket.epochs
        self._epochs = np.zeros(trials, np.int32)
        self._target = np.zeros(trials, np.int32)
        self._failed = np.zeros(trials, bool)
        self._scores = np.full((trials, plan.rungs), np.nan)
        self._errors = np.zeros((trials, plan.rungs))
        self._seeds = seeds
        self._log: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def progress(self, slots: int | None) -> Progress:
        """A copy for the scheduler."""
        known = Progress(
            self._epochs.copy(),
            self._target.copy(),
            self._scores.copy(),
            self._errors.copy(),
            self._failed.copy(),
            len(self._epochs),
        )
        if slots is None:
            return known
        return known._replace(slots=max(0, slots - int(known.running.sum())))

    def send(self, decided: Decision) -> None:
        """Note who trains until when; a state taken over is as old as its source.

        Raises:
          ValueError: an epoch at which the trial's bracket has no rung.
        """
        known = (self._rungs[decided.trial] == decided.epochs[:, None]).any(axis=1)
        if not known.all():
            at = np.flatnonzero(~known)[0]
            row, rungs = decided.trial[at], self._rungs[decided.trial[at]]
            raise ValueError(
                f"scheduler: decide sent row {row} until epoch {decided.epochs[at]}, "
                f"but its bracket has rungs at {rungs[rungs > 0].tolist()}."
            )
        before = self._epochs.copy()
        over = decided.source >= 0
        self._epochs[decided.trial[over]] = before[decided.source[over]]
        self._target[decided.trial] = decided.epochs
        self._failed[decided.trial] = False

    def update(self, cohort: InTraining, metric: str, mode: str) -> np.ndarray:
        """Note what a wave brought; returns the trials that failed in it."""
        shape = (len(self._epochs), self._seeds)
        was = (self._epochs < self._target) & ~self._failed
        epochs = cohort.epochs.reshape(shape)
        failed = np.isin(cohort.status.reshape(shape), FAILED).any(axis=1)
        values = cohort.metrics.get(metric, np.full(epochs.size, np.nan, np.float32))
        values = values.reshape(shape)
        arrived = (epochs == self._target[:, None]).all(axis=1)
        # a loss may be fine while the metric is not
        failed |= arrived & ~np.isfinite(values).all(axis=1)
        new = was & (arrived | failed)
        self._epochs = np.where(was, epochs.min(axis=1), self._epochs)
        self._failed = np.where(was, failed, self._failed)
        rows = np.flatnonzero(new & arrived)
        at = np.argmax(self._rungs[rows] == self._target[rows, None], axis=1)
        oriented = np.asarray(ranking.orient(values[rows].astype(np.float64), mode))
        self._scores[rows, at] = oriented.mean(axis=1)
        if self._seeds > 1:
            spread = oriented.std(axis=1, ddof=1) / np.sqrt(self._seeds)
            self._errors[rows, at] = spread
        told = np.flatnonzero(new)
        known = np.where(np.isfinite(values), values, np.float32(np.nan))
        self._log.append((told, self._epochs[told].copy(), known[told]))
        return np.flatnonzero(new & failed)

    def check_all_began(self) -> None:
        """Raise ``ValueError`` where a round ends before every trial was tried."""
        idle = np.flatnonzero(self._target == 0)
        if idle.size:
            raise ValueError(
                f"scheduler: decide ended the round, but row {idle[0]} and "
                f"{idle.size - 1} others never began. Send every trial somewhere."
            )

    def rungs(self, trials: np.ndarray) -> Rungs:
        """Everything noted, in order."""
        rows, epochs, scores = map(np.concatenate, zip(*self._log, strict=True))
        return Rungs(trials[rows], epochs, scores)

    def latest(self, trials: np.ndarray) -> Rungs:
        """What the last update noted."""
        rows, epochs, scores = self._log[-1]
        return Rungs(trials[rows], epochs, scores)


def check_decision(decided: Decision, progress: Progress, budget: int) -> Decision:
    """Refuse a decision that no scheduler may make.

    Args:
      decided: what the scheduler said.
      progress: what it knew.
      budget: epochs of a whole training.

    Returns:
      The decision, as NumPy arrays.

    Raises:
      ValueError: rows that do not exist, are still training or have diverged, epochs
        that are over or too many, naming the row; or more trials than places.
    """
    trial, source, epochs = (np.asarray(column, np.int32) for column in decided)
    if len(trial) > progress.slots:
        raise ValueError(
            f"scheduler: decide sent {len(trial)} trials, but {progress.slots} may "
            "begin or go on now. See progress.slots."
        )
    count = len(progress.epochs)

    def refuse(bad: np.ndarray, why: str) -> None:
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            raise ValueError(
                f"scheduler: decide sent row {trial[at]} on from row {source[at]} "
                f"until epoch {epochs[at]}, but {why}."
            )

    refuse((trial < 0) | (trial >= count), f"there are {count} trials")
    refuse((source < -1) | (source >= count), f"there are {count} trials")
    refuse(progress.running[trial], "it is still training")
    refuse(np.bincount(trial, minlength=count)[trial] > 1, "it is sent twice")
    refuse((source < 0) != (progress.target[trial] == 0), "only new trials start fresh")
    kept = source == trial
    refuse(kept & progress.failed[trial], "it has diverged")
    refuse(epochs > budget, f"a whole training has {budget} epochs")
    refuse(
        epochs <= np.where(source < 0, 0, progress.epochs[source]), "it is past that"
    )
    return Decision(trial, source, epochs)


def no_rungs(seeds: int) -> Rungs:
    """No scores on the way."""
    none = np.zeros(0, np.int32)
    return Rungs(none, none, np.zeros((0, seeds), np.float32))
