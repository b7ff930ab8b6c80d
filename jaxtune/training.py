"""The trials of one round in training, led by a scheduler."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune import ranking
from jaxtune.journal import Journal, Lineage, Points
from jaxtune.population import (
    FAILED,
    Cohort,
    Hire,
    Leg,
    OnBlock,
    Outcome,
    Workload,
    evaluate,
    local,
)
from jaxtune.schedulers import Decision, Plan, Progress, Scheduler
from jaxtune.space import Space
from jaxtune.types import Key

AT_ONCE = 4  # blocks in training where a scheduler leaves it to us: for as many cores


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


class Training(NamedTuple):
    """What came out of one round.

    Args:
      outcome: last measurements, statuses and epochs.
      final: points and hyperparameters at the end.
      rungs: scores on the way.
      lineage: who took over from whom.
      budget: epochs of a whole training; 0 for plain functions.
      over: whether the round has ended.
    """

    outcome: Outcome
    final: Points
    rungs: Rungs
    lineage: Lineage
    budget: int
    over: bool = True


class Led(NamedTuple):
    """Who decides, and by what.

    Args:
      scheduler: who decides; nobody if ``None``.
      plan: what it planned for the trials and epochs of this round.
      key: its key for this round.
      metric: which metric is the score.
      mode: ``"max"`` or ``"min"``.
    """

    scheduler: Scheduler | None
    plan: Plan | None
    key: Key
    metric: str
    mode: str


def train(
    workload: Workload,
    root: Space,
    trials: np.ndarray,
    start: Points,
    seeds: np.ndarray,
    led: Led,
    on_block: OnBlock,
    journal: Journal | None = None,
    on_rung: Callable[[Rungs], None] = lambda _: None,
    hire: Hire = local,
) -> Training:
    """Train the trials of a round: in full, or as a scheduler decides.

    Args:
      workload: task or function, root key, width, and the epochs of a whole training.
      root: the space that the user gave.
      trials: ``[n]`` trial ids.
      start: the configurations to begin with.
      seeds: ``[s]`` seed ids.
      led: who decides.
      on_block: told what every finished block measured.
      journal: told of every block; it may know what some of them measured.
      on_rung: told which trials reached a rung, whenever some did.
      hire: who runs blocks.

    Returns:
      Measurements, final configurations, and what happened on the way.

    Raises:
      ValueError: a decision that no scheduler may make.
    """
    journal = journal or Journal()
    if led.scheduler is None or led.plan is None:
        own = (trials, start.hparams, seeds)
        outcome = evaluate(workload, root, *own, on_block, journal, hire)
        none = no_rungs(len(seeds))
        return Training(outcome, start, none, no_lineage(start), workload.epochs)
    scheduler, plan, key = led.scheduler, led.plan, led.key
    cohort = Cohort(workload, root, trials, start.hparams, seeds, journal, hire)
    record = Record(plan, len(trials), len(seeds))
    slots = plan.concurrent
    if slots is not None:
        # as many as at the round's beginning, if a run goes on with other blocks
        lanes = AT_ONCE * journal.width(workload.width)
        slots = slots or max(1, lanes // len(seeds))
    now, taken = start, [beginnings(trials, start)]
    while True:
        progress = record.progress(slots)
        decided = scheduler.decide(key, plan, progress)
        decided = check_decision(decided, progress, workload.epochs)
        moved = decided.source != decided.trial
        over = moved & (decided.source >= 0)
        if over.any():

            def vary(now=now, decided=decided, over=over, progress=progress):
                went = (key, workload, root, now, decided, progress)
                varied = _explored(scheduler, *went)
                return varied, _takings(trials, varied, decided, over, progress)

            now, takings = journal.vary(vary)
            cohort.gather(decided.trial[over], decided.source[over], now.hparams)
            taken.append(takings)
        record.send(decided)
        cohort.send(decided.trial, decided.epochs)
        if not cohort.waiting.size:
            record.check_all_began()
            break
        cohort.wave(on_block)
        cohort.halt(record.update(cohort, led.metric, led.mode))
        reached = record.latest(trials)
        if reached.trial.size:
            on_rung(reached)
    outcome = cohort.outcome()
    return Training(
        outcome,
        now,
        record.rungs(trials),
        joined(taken) if len(taken) > 1 else no_lineage(start),
        workload.epochs,
    )


class InTraining(Protocol):
    """What is known of lanes: a `Cohort`, or a simulation of one."""

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


def _explored(
    scheduler: Scheduler,
    key: Key,
    workload: Workload,
    root: Space,
    now: Points,
    decided: Decision,
    progress: Progress,
) -> Points:
    """Configurations after trials took over others' and changed them."""
    source = np.arange(len(now.points))
    source[decided.trial] = np.where(decided.source < 0, decided.trial, decided.source)
    copied = now.points[source]
    points = copied
    if scheduler.explore is not None:
        epoch = int(progress.epochs[decided.source[decided.source >= 0]].max())
        points = np.array(scheduler.explore(key, now.space, jnp.asarray(copied), epoch))
    shapes = {bucket.name for bucket in workload.layout.buckets}
    for column, name in enumerate(now.space.searched):
        # what sets a shape comes with the state that has it
        if root[name].static or name in shapes:
            points[:, column] = copied[:, column]
    takers = source != np.arange(len(source))
    points = np.where(takers[:, None], points, now.points)
    hparams = jax.device_get(now.space.decode(points))
    return Points(
        now.space,
        points,
        {n: np.where(takers, v, now.hparams[n]) for n, v in hparams.items()},
    )


def beginnings(trials: np.ndarray, start: Points) -> Lineage:
    """Every trial begins with itself."""
    zeros = np.zeros(len(trials), np.int32)
    return Lineage(trials, zeros, trials, dict(start.hparams))


def _takings(
    trials: np.ndarray,
    now: Points,
    decided: Decision,
    over: np.ndarray,
    progress: Progress,
) -> Lineage:
    rows, source = decided.trial[over], decided.source[over]
    hparams = {name: values[rows] for name, values in now.hparams.items()}
    return Lineage(trials[rows], progress.epochs[source], trials[source], hparams)


def legs_of(lineage: Lineage, last: Leg) -> list[Leg]:
    """The legs that led to a state.

    Args:
      lineage: of the trial's round.
      last: the trial, the epoch that it reached, and its present hyperparameters.

    Returns:
      Legs in order.
    """
    legs: list[Leg] = []
    trial, until = last.trial, last.epochs
    while True:
        known = (lineage.trial == trial) & (lineage.epochs < until)
        if not known.any():
            # it never took over, and nor did those that it comes from
            return [*([] if legs else [last]), *reversed(legs)]
        row = np.flatnonzero(known)[-1]
        hparams = {name: values[row] for name, values in lineage.hparams.items()}
        legs.append(Leg(trial, until, hparams))
        trial, until = int(lineage.source[row]), int(lineage.epochs[row])


def joined(parts: list[Lineage]) -> Lineage:
    """Several lineages as one, in order."""
    names = parts[0].hparams
    return Lineage(
        np.concatenate([part.trial for part in parts]),
        np.concatenate([part.epochs for part in parts]),
        np.concatenate([part.source for part in parts]),
        {name: np.concatenate([p.hparams[name] for p in parts]) for name in names},
    )


def no_rungs(seeds: int) -> Rungs:
    """No scores on the way."""
    none = np.zeros(0, np.int32)
    return Rungs(none, none, np.zeros((0, seeds), np.float32))


def no_lineage(start: Points) -> Lineage:
    """Nobody took over anything."""
    none = np.zeros(0, np.int32)
    return Lineage(none, none, none, {n: v[:0] for n, v in start.hparams.items()})
