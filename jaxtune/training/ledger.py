"""The ledger of a round: the epochs, statuses and metrics of its lanes.

A round has one ledger. The `Progress` that a scheduler may see is derived from it, and
so are the scores at the rungs and the lanes that still have to train.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxtune import ranking
from jaxtune.brevity import brief
from jaxtune.programs.lane import FAILED, RUNNING, WAITING
from jaxtune.schedulers import Decision, Plan, Progress
from jaxtune.training.curves import Curves
from jaxtune.training.rung_aims import RungAims


@brief
class Rungs(NamedTuple):
    """Scores at rungs: a row each time a trial reached one, or failed on the way.

    Args:
      trial: ``[k]`` int, in the order in which they became known.
      epochs: ``[k]`` int, trained until then; of a failure, maybe between two rungs.
      scores: ``[k, s]`` float32, as the task measures them; NaN if failed.
    """

    trial: np.ndarray
    epochs: np.ndarray
    scores: np.ndarray

    def by_trial(self) -> dict[int, dict[int, float]]:
        """Return trial to epochs to mean score, failed ones left out."""
        known: dict[int, dict[int, float]] = {}
        with np.errstate(invalid="ignore"):
            means = self.scores.mean(axis=1, dtype=np.float64)
        for trial, epochs, mean in zip(self.trial, self.epochs, means, strict=True):
            if np.isfinite(mean):
                known.setdefault(int(trial), {})[int(epochs)] = float(mean)
        return known


def no_rungs(seeds: int) -> Rungs:
    """Return no rows: the rungs of a round that compares nothing, or is not over."""
    none = np.zeros(0, np.int32)
    return Rungs(none, none, np.zeros((0, seeds), np.float32))


class Ledger:
    """``n`` trials times ``s`` seeds in training; lane ``row * s + seed``.

    Mutable, lives for one round. Rows are trials of the round, from 0.

    Args:
      trials: ``n``.
      seeds: ``s``.
      curves: of the lanes, where metrics are known after each epoch.
    """

    def __init__(self, trials: int, seeds: int, curves: Curves | None = None):
        self.shape = (trials, seeds)
        lanes = trials * seeds
        self.epochs = np.zeros(lanes, np.int32)
        self.status = np.full(lanes, RUNNING, np.int32)
        self.metrics: dict[str, np.ndarray] = {}
        self.curves = curves
        self.target = np.zeros(trials, np.int32)
        # of the last time that a lane was scored or failed, for a look in between
        self.shown = np.zeros(lanes, bool)
        self.shown_epochs = np.zeros(lanes, np.int32)
        self.shown_status = np.full(lanes, WAITING, np.int32)
        self._halted = np.zeros(trials, bool)
        self._open = np.zeros(trials, bool)  # sent, and neither arrived nor failed yet

    @property
    def waiting(self) -> np.ndarray:
        """``[m]`` the lanes that have not arrived, failed, or been halted."""
        going = (self.epochs < self.lane_target) & (self.status == RUNNING)
        return np.flatnonzero(going & ~np.repeat(self._halted, self.shape[1]))

    @property
    def lane_target(self) -> np.ndarray:
        """``[n * s]`` the epoch that each lane trains to."""
        return np.repeat(self.target, self.shape[1])

    def lanes(self, rows: np.ndarray) -> np.ndarray:
        """Return the lanes ``[m, s]`` of trials ``[m]``."""
        seeds = np.arange(self.shape[1])
        return np.asarray(rows)[:, None] * self.shape[1] + seeds

    def send(self, rows: np.ndarray, epochs: np.ndarray) -> None:
        """Let trials ``[m]`` train until they have trained ``[m]`` epochs."""
        self.target[rows] = epochs
        # a trial that failed trains again if it has taken over another's state
        self._halted[rows] = False
        self._open[rows] = True

    def halt(self, rows: np.ndarray) -> None:
        """Let trials ``[m]`` train no further."""
        self._halted[rows] = True

    def copy(self, into: np.ndarray, source: np.ndarray) -> None:
        """Give lanes ``[m]`` the epochs and statuses of other lanes ``[m]``."""
        # NumPy reads all sources before it writes, so two lanes may swap
        self.epochs[into] = self.epochs[source]
        self.status[into] = self.status[source]
        if self.curves is not None:
            self.curves.copy(into, source)

    def note(
        self,
        lanes: np.ndarray,
        epochs: np.ndarray,
        arrives: np.ndarray,
        metrics: dict[str, np.ndarray],
        status: np.ndarray,
    ) -> None:
        """Record the results of some lanes ``[m]``.

        Args:
          lanes: ``[m]`` int.
          epochs: ``[m]`` int, trained until now.
          arrives: ``[m]`` bool, the lanes that were scored.
          metrics: name to ``[m]``.
          status: ``[m]`` int32.
        """
        lost = np.isin(status, FAILED)
        shown = lanes[arrives | lost]
        # Ctrl-C in the middle of this must not leave a lane with half of its numbers
        self.shown[shown] = False
        self.epochs[lanes] = epochs
        self.status[lanes] = status
        for name, values in metrics.items():
            if name not in self.metrics:
                self.metrics[name] = np.full(len(self.epochs), np.nan, np.float32)
            known = self.metrics[name]
            # a block is scored as a whole, but what is known of a lane must not depend
            # on the lanes beside it: only those that arrived get a score
            known[lanes[arrives]] = values[arrives]
        # what an earlier rung measured is not the score of a lane that failed since;
        # lanes that arrive bring their NaN, but a block that was given up brings none
        unknown = lost & ~(arrives & bool(metrics))
        for known in self.metrics.values():
            known[lanes[unknown]] = np.nan
        own = arrives | lost
        self.shown_epochs[shown], self.shown_status[shown] = epochs[own], status[own]
        self.shown[shown] = True

    def arrivals(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Close the trials that have arrived or failed since the last call.

        Args:
          values: ``[n, s]`` the metric that is the score.

        Returns:
          Rows ``[k]`` of these trials, then ``[k]`` bool: those that arrived, and
          ``[k]`` bool: those that failed. A trial that arrives with a score that is not
          finite is both.
        """
        arrived, failed = self._arrived, self._failed(values)
        rows = np.flatnonzero(self._open & (arrived | failed))
        self._open[rows] = False
        return rows, arrived[rows], failed[rows]

    def failed(self, values: np.ndarray) -> np.ndarray:
        """Return ``[n]`` bool: a seed failed, or arrived with a score not finite."""
        # a trial that has not begun stands at its target, 0, and has no score yet
        begun = self.target > 0
        return self._failed(values) & begun & ~self._open

    def _failed(self, values: np.ndarray) -> np.ndarray:
        lost = np.isin(self.status.reshape(self.shape), FAILED).any(axis=1)
        # a loss may be fine while the metric is not
        return lost | (self._arrived & ~np.isfinite(values).all(axis=1))

    @property
    def _arrived(self) -> np.ndarray:
        return (self.epochs.reshape(self.shape) == self.target[:, None]).all(axis=1)

    @property
    def trial_epochs(self) -> np.ndarray:
        """``[n]`` epochs that all seeds of a trial have trained."""
        # seeds of one trial may train in different blocks, so one may be ahead
        return self.epochs.reshape(self.shape).min(axis=1)


class RungScores:
    """The scores of a round at its rungs; mutable, read by `Progress`.

    Args:
      plan: of the scheduler.
      ledger: of the round.
      metric: the metric that is the score.
      mode: ``"max"`` or ``"min"``.
      aims: the constraints and goals of the search; they change what is compared.
    """

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        metric: str,
        mode: str,
        aims: RungAims | None = None,
    ):
        self._aims = aims
        trials = ledger.shape[0]
        self._ledger, self._metric, self._mode = ledger, metric, mode
        # brackets differ in their number of rungs; no epoch equals -1
        self._rungs = np.full((trials, plan.rungs), -1)
        for bracket in plan.brackets:
            self._rungs[bracket.rows, : len(bracket.epochs)] = bracket.epochs
        self._scores = np.full((trials, plan.rungs), np.nan)
        self._errors = np.zeros((trials, plan.rungs))
        self._log: list[Rungs] = []

    @property
    def _values(self) -> np.ndarray:
        """``[n, s]`` the score as the task measures it; NaN where it is not known."""
        # metrics are known by name only after a block has been scored
        shape = self._ledger.shape
        unknown = np.full(shape[0] * shape[1], np.nan, np.float32)
        return self._ledger.metrics.get(self._metric, unknown).reshape(shape)

    def progress(self, slots: int | None, points: np.ndarray | None = None) -> Progress:
        """Return the progress that a scheduler may see, as a copy.

        Args:
          slots: trials that may train at once; all if ``None``.
          points: where the trials lie, for a scheduler that learns.
        """
        ledger = self._ledger
        scores = self._scores.copy()
        known = Progress(
            epochs=ledger.trial_epochs,
            target=ledger.target.copy(),
            scores=scores if self._aims is None else self._aims.compared(scores),
            errors=self._errors.copy(),
            failed=ledger.failed(self._values),
            slots=len(ledger.target),
            points=points,
        )
        if slots is None:
            return known
        return known._replace(slots=max(0, slots - int(known.running.sum())))

    def check_rungs(self, decided: Decision) -> None:
        """Raise ``ValueError`` for an epoch at which a trial's bracket has no rung."""
        known = (self._rungs[decided.trial] == decided.epochs[:, None]).any(axis=1)
        if not known.all():
            at = np.flatnonzero(~known)[0]
            row, rungs = decided.trial[at], self._rungs[decided.trial[at]]
            raise ValueError(
                f"scheduler: decide sent row {row} until epoch {decided.epochs[at]}, "
                f"but its bracket has rungs at {rungs[rungs > 0].tolist()}."
            )

    def update(self, trials: np.ndarray) -> tuple[Rungs, np.ndarray]:
        """Record the trials that reached a rung, or failed, since the last call.

        Args:
          trials: ``[n]`` trial ids.

        Returns:
          The new scores, and the rows in the round of the trials that failed.
        """
        ledger, values = self._ledger, self._values
        rows, arrived, failed = ledger.arrivals(values)
        at_rung = rows[arrived]
        rung = np.argmax(self._rungs[at_rung] == ledger.target[at_rung, None], axis=1)
        oriented = np.asarray(
            ranking.orient(values[at_rung].astype(np.float64), self._mode)
        )
        self._scores[at_rung, rung] = oriented.mean(axis=1)
        if self._aims is not None:
            self._aims.note(at_rung, rung, ledger.metrics, ledger.shape)
        seeds = ledger.shape[1]
        # with one seed the standard error is not defined and stays zero
        if seeds > 1:
            self._errors[at_rung, rung] = oriented.std(axis=1, ddof=1) / np.sqrt(seeds)
        finite = np.where(np.isfinite(values), values, np.float32(np.nan))
        new = Rungs(trials[rows], ledger.trial_epochs[rows], finite[rows])
        self._log.append(new)
        return new, rows[failed]

    def all(self) -> Rungs:
        """Return all scores that were recorded, in order."""
        none = no_rungs(self._ledger.shape[1])
        return Rungs(*map(np.concatenate, zip(none, *self._log, strict=True)))


def check_all_began(ledger: Ledger) -> None:
    """Raise ``ValueError`` where a round ends before every trial was tried."""
    idle = np.flatnonzero(ledger.target == 0)
    if idle.size:
        raise ValueError(
            f"scheduler: decide ended the round, but row {idle[0]} and "
            f"{idle.size - 1} others never began. Send every trial somewhere."
        )


def check_decision(
    decided: Decision,
    progress: Progress,
    budget: int,
    gone: Sequence[int] | np.ndarray = (),
) -> Decision:
    """Refuse a decision that no scheduler may make.

    Args:
      decided: the scheduler's decision.
      progress: the progress that it was made from.
      budget: epochs of a whole training.
      gone: rows of trials that never go on, by the scheduler's plan.

    Returns:
      The decision, as NumPy arrays.

    Raises:
      ValueError: rows that do not exist, are still training or have failed, epochs
        that are over or too many, naming the row; or more trials than slots.
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

    # in this order: a row that does not exist is no index for the checks after it
    refuse((trial < 0) | (trial >= count), f"there are {count} trials")
    refuse((source < -1) | (source >= count), f"there are {count} trials")
    refuse(progress.running[trial], "it is still training")
    refuse(np.bincount(trial, minlength=count)[trial] > 1, "it is sent twice")
    refuse((source < 0) != (progress.target[trial] == 0), "only new trials start fresh")
    kept = source == trial
    refuse(kept & progress.failed[trial], "it has failed")
    refuse(np.isin(source, gone), "its plan is final, and it was left before")
    refuse(epochs > budget, f"a whole training has {budget} epochs")
    # for a fresh start, source -1 reads the last row, which where() then leaves out
    refuse(
        epochs <= np.where(source < 0, 0, progress.epochs[source]), "it is past that"
    )
    return Decision(trial, source, epochs)
