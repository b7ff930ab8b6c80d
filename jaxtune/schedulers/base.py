"""The interface of a scheduler: pure functions of budgets and scores, on the host.

Every scheduler is a gather. It decides which trials train next, from which trial's
state each continues, and until which epoch. It never sees parameters, and it has no
state of its own, so the record of a search is enough to resume it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, Protocol

import numpy as np

from jaxtune import ranking
from jaxtune.brevity import brief
from jaxtune.door import an, demand, whole
from jaxtune.printing import counted
from jaxtune.registry import reduced, text_of
from jaxtune.space import Space
from jaxtune.types import Array, Key

FRESH = -1  # a source: start from new parameters, not from a trained state
FOUR_BLOCKS = 0  # of `Plan.concurrent`: as many trials as fill four blocks


class Bracket(NamedTuple):
    """A group of trials that are compared with each other, and its rungs.

    Args:
      first: row of its first trial within the round.
      epochs: its rungs, ascending; a trial that passes the last has trained in full.
      counts: trials that train to each rung; the largest possible where scores decide,
        or about as many where they share out a `Plan.budget`.
      step: from each of its rows to the next.
    """

    first: int
    epochs: tuple[int, ...]
    counts: tuple[int, ...]
    step: int = 1

    @property
    def rows(self) -> np.ndarray:
        """Rows of its trials within the round, ascending."""
        return self.first + self.step * np.arange(self.counts[0])


class Plan(NamedTuple):
    """The rungs of a round, known before anything is traced; prints as a table.

    Args:
      brackets: in the order of their trials; together they hold every trial once.
      concurrent: trials in training at once; `FOUR_BLOCKS` (0) for as many as fill four
        blocks, or ``None`` for all that are ready, where decisions do not depend on
        which trials train at the same time.
      compares: whether trials are compared on the way, so that scores at rungs are
        kept and a trial of which one seed failed is stopped; false for `in_full`.
      final: whether a trial that is left at a rung while others of its bracket go on
        from there never goes on itself, so that its state is not needed.
      own_pace: whether a trial is stopped by its own scores alone. One that is left at
        a rung is complete then: its score compares with those of trials that trained
        longer, and its state is not needed.
      restarts: whether each rung is a training of its own, on a subset of the data, see
        `jaxtune.search` with ``budget="examples"``.
      budget: epochs that all trials together train at most, where the scheduler shares
        them out as it goes; ``None`` for the sum over the rungs.
      learns: whether the scheduler is shown where the trials lie, `Progress.points`.
    """

    brackets: tuple[Bracket, ...]
    concurrent: int | None = None
    compares: bool = True
    final: bool = False
    own_pace: bool = False
    restarts: bool = False
    budget: int | None = None
    learns: bool = False

    @property
    def trials(self) -> int:
        """Configurations in all brackets."""
        return sum(bracket.counts[0] for bracket in self.brackets)

    @property
    def rungs(self) -> int:
        """Rungs of the longest bracket."""
        return max(len(bracket.epochs) for bracket in self.brackets)

    @property
    def epochs(self) -> int:
        """Epochs that all trials together train at most."""
        if self.budget is not None:
            return self.budget
        return sum(
            int(np.dot(self.steps(bracket), bracket.counts))
            for bracket in self.brackets
        )

    def steps(self, bracket: Bracket) -> list[int]:
        """Return the epochs that a trial trains for each rung of a bracket.

        Args:
          bracket: of this plan.
        """
        if self.restarts:
            return list(bracket.epochs)
        return np.diff([0, *bracket.epochs]).tolist()

    def __repr__(self) -> str:
        lines = []
        for number, bracket in enumerate(self.brackets):
            lines.append(f"  bracket {number + 1}: {self._shown(bracket)}")
        head = f"Plan({counted(self.trials, 'trial')}, at most "
        head += counted(self.epochs, "epoch")
        if self.concurrent is not None:
            head += f", {self.concurrent or 'four blocks'} at once"
        return "\n".join([head, *lines]) + ")"

    def _shown(self, bracket: Bracket) -> str:
        rungs = list(zip(bracket.counts, bracket.epochs, strict=True))
        if self.restarts:
            last = bracket.epochs[-1]
            parts = [f"{count} on {epoch}/{last}" for count, epoch in rungs]
            parts[0] += " of the data"
        else:
            parts = [f"{count} to epoch {epoch}" for count, epoch in rungs]
        if self.budget is not None:
            parts[1:] = [f"about {part}" for part in parts[1:]]
        return ", ".join(parts)


@brief
class Progress(NamedTuple):
    """The state of the ``n`` trials of a round, in trial order.

    Args:
      epochs: ``[n]`` int, trained so far; 0 for a trial that has not started.
      target: ``[n]`` int, the epoch that it trains to; it is running while
        ``epochs < target`` and it has not failed.
      scores: ``[n, r]`` at each rung of its own bracket, the mean over seeds: higher is
        better, NaN where it has failed or has not arrived.
      errors: ``[n, r]`` standard error of that mean over seeds; 0 with one seed.
      failed: ``[n]`` bool, its present state cannot be trained further.
      slots: trials that may start or continue now.
      points: ``[n, D]`` where the trials lie, if `Plan.learns`: numbers on their own
        scale from 0 to 1, and a column for each value of a choice, so that any two of
        them are 1 apart. NaN for trials whose configuration is not known yet.
    """

    epochs: np.ndarray
    target: np.ndarray
    scores: np.ndarray
    errors: np.ndarray
    failed: np.ndarray
    slots: int
    points: np.ndarray | None = None

    @property
    def running(self) -> np.ndarray:
        """``[n]`` bool, the trials in training."""
        return (self.epochs < self.target) & ~self.failed


@brief
class Decision(NamedTuple):
    """The ``m`` trials that train next.

    Args:
      trial: ``[m]`` int, rows of the trials, each at most once.
      source: ``[m]`` int, rows of the trials whose states they continue from: their
        own, another trial's, or -1 for a fresh start.
      epochs: ``[m]`` int, the epochs that they train to.
    """

    trial: np.ndarray
    source: np.ndarray
    epochs: np.ndarray


class MakePlan(Protocol):
    """Lay out the rungs of ``trials`` configurations and a budget of ``epochs`` each.

    Raises ``ValueError`` where there is nothing to decide.
    """

    def __call__(self, trials: int, epochs: int, /) -> Plan: ...


class Decide(Protocol):
    """Decide which trials train next, at the start and after every segment of training.

    A pure function: the same progress and key give the same decision.
    """

    def __call__(self, key: Key, plan: Plan, progress: Progress, /) -> Decision: ...


class Explore(Protocol):
    """Change the hyperparameters of trials that took over another trial's state.

    Takes the points ``[n, d]`` that they took over, in the cube of ``space``, and the
    epoch ``[]``. Every row is computed; rows that took nothing over are ignored.
    """

    def __call__(
        self, key: Key, space: Space, points: Array, epoch: int, /
    ) -> Array: ...


class Race(NamedTuple):
    """A last round that measures the best configurations again, as long as they differ.

    Args:
      top: number of configurations that begin.
      seeds: measurements of each that stays to the end.
      alone: whether no other scheduler decides how long the trials before it train.
    """

    top: int
    seeds: int
    alone: bool = True


class Scheduler(NamedTuple):
    """Functions that decide how long each trial trains.

    >>> import jaxtune as jt
    >>> plan, decide, explore = jt.schedulers.successive_halving(eta=2)
    >>> plan(16, 8)
    Plan(16 trials, at most 64 epochs
      bracket 1: 16 to epoch 2, 8 to epoch 4, 4 to epoch 8)

    Args:
      plan: ``(trials, epochs) -> Plan``, plain Python numbers.
      decide: ``(key, plan, progress) -> Decision``.
      explore: ``(key, space, points [n, d], epoch) -> points [n, d]`` for trials that
        took over another's state; ``None`` keeps what they took over.
    """

    plan: MakePlan
    decide: Decide
    explore: Explore | None = None

    @property
    def race(self) -> Race | None:
        """Race that follows the rounds of a search; ``None`` for nothing."""
        return getattr(self.plan, "race", None)

    def __repr__(self) -> str:
        return text_of(self)

    def __reduce__(self) -> Any:
        return reduced(self)


A_SCHEDULER = an(
    "a scheduler",
    Scheduler,
    "Use what one of jaxtune.schedulers returns, such as hyperband().",
)


def own_scheduler(
    plan: MakePlan,
    decide: Decide,
    explore: Explore | None = None,
    race: Race | None = None,
) -> Scheduler:
    """Return a scheduler of ours, whose ``plan`` refuses what are no counts."""

    @wraps(plan)
    def checked_plan(trials: int, epochs: int) -> Plan:
        # a plain function has no epochs
        return plan(
            demand("plan", "trials", trials, whole(1)),
            demand("plan", "epochs", epochs, whole(0)),
        )

    # with the plan, so that a scheduler is still a tuple of three
    checked_plan.race = race  # type: ignore[attr-defined]
    return Scheduler(checked_plan, decide, explore)


def decision(rows: Any, epochs: Any, fresh: bool = False) -> Decision:
    """Make a decision that starts trials, or continues them from their own states.

    Args:
      rows: ``[m]`` int, the trials.
      epochs: the epoch that they train to, one number or ``[m]``.
      fresh: whether they start.

    Returns:
      The decision.
    """
    rows = np.asarray(rows, np.int32)
    until = np.broadcast_to(np.asarray(epochs, np.int32), rows.shape)
    return Decision(rows, np.full_like(rows, FRESH) if fresh else rows, until)


def together(parts: list[Decision]) -> Decision:
    """Join several decisions to one."""
    if not parts:
        return decision([], 0)
    return Decision(
        trial=np.concatenate([part.trial for part in parts]),
        source=np.concatenate([part.source for part in parts]),
        epochs=np.concatenate([part.epochs for part in parts]),
    )


def left_behind(plan: Plan, target: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Return the rows of trials that never train again, after a decision.

    >>> import numpy as np
    >>> from jaxtune.schedulers.base import left_behind
    >>> import jaxtune as jt
    >>> plan = jt.schedulers.successive_halving().plan(4, 6)
    >>> sent, trained = np.asarray([2, 6, 2, 2]), np.asarray([2, 2, 2, 2])
    >>> left_behind(plan, sent, trained).tolist()
    [0, 2, 3]

    Args:
      plan: of the scheduler.
      target: ``[n]`` int, the epoch that each trial was sent to.
      epochs: ``[n]`` int, trained so far.
    """
    if plan.own_pace:
        return np.flatnonzero((target > 0) & (epochs >= target))
    rows = [
        bracket.rows[target[bracket.rows] < target[bracket.rows].max()]
        for bracket in plan.brackets
        if plan.final
    ]
    return np.concatenate([np.zeros(0, int), *rows])


def start_new_trials(plan: Plan, progress: Progress) -> Decision:
    """Send every trial that has not started to the first rung of its bracket."""
    parts = []
    for bracket in plan.brackets:
        rows = bracket.rows
        idle = rows[progress.target[rows] == 0]
        parts.append(decision(idle, bracket.epochs[0], fresh=True))
    return together(parts)


def synchronous(
    choose: Callable[[Bracket, int, Progress, np.ndarray], np.ndarray],
) -> Decide:
    """Make a ``decide`` that waits at a rung until every trial sent there has arrived.

    Args:
      choose: ``(bracket, rung, progress, rows) -> rows`` to promote, among those that
        have arrived at the rung and have not failed.

    Returns:
      The function ``decide``.
    """

    def decide(key: Key, plan: Plan, progress: Progress) -> Decision:
        del key
        parts = [start_new_trials(plan, progress)]
        for bracket in plan.brackets:
            rows = bracket.rows
            # the latest rung that a trial of the bracket was sent to
            sent = progress.target[rows].max()
            if sent not in bracket.epochs[:-1] or progress.running[rows].any():
                continue
            here = rows[(progress.target[rows] == sent) & ~progress.failed[rows]]
            rung = bracket.epochs.index(int(sent))
            promoted = choose(bracket, rung, progress, here)
            parts.append(decision(promoted, bracket.epochs[rung + 1]))
        return together(parts)

    return decide


def best(
    progress: Progress, rung: int, rows: np.ndarray, count: int, bound: float
) -> np.ndarray:
    """Return the ``count`` best of some trials by their score at a rung; ties by id.

    Args:
      progress: the state of the round.
      rung: index of the rung.
      rows: ``[k]`` the trials, ascending.
      count: trials at most; failed ones are never among them.
      bound: standard errors over seeds that are added to the mean.

    Returns:
      ``[<= count]`` rows, best first.
    """
    scores = (progress.scores + bound * progress.errors)[rows, rung]
    order = ranking.order(scores)
    finite = int(np.isfinite(scores).sum())
    return rows[order[: min(count, finite)]]


def geometric(
    epochs: int, eta: float, least: int, most: int | None = None
) -> tuple[int, ...]:
    """Return the rungs ``epochs / eta ** k``, rounded, none below ``least``.

    Args:
      epochs: the last rung.
      eta: ratio between rungs.
      least: smallest first rung, in epochs.
      most: rungs at most before the last one.

    Returns:
      Ascending tuple of ints; only ``(epochs,)`` where there is no room for another.
    """
    rungs = [epochs]
    while most is None or len(rungs) <= most:
        lower = int(epochs / eta ** len(rungs) + 0.5)
        if lower < least or lower >= rungs[-1]:  # rounding may repeat a rung
            break
        rungs.append(lower)
    return tuple(reversed(rungs))


def rung_counts(trials: int, eta: float, rungs: int) -> tuple[int, ...]:
    """Return the trials that train to each rung: one in ``eta``, and at least one."""
    # 1e-9: a quotient that rounding left just below a whole number counts as that
    return tuple(max(1, int(trials / eta**k + 1e-9)) for k in range(rungs))


def apportion(total: int, weights: list[int], least: int) -> list[int]:
    """Share out a whole number in proportion to weights.

    The remainder goes to the largest fractions, the earlier of two equal ones first.

    Args:
      total: the number to share out.
      weights: positive numbers.
      least: the smallest share, where that is possible.

    Returns:
      One whole number for each weight; their sum is ``total``.
    """
    least = min(least, total // len(weights))
    free = total - least * len(weights)
    exact = [free * weight / sum(weights) for weight in weights]
    counts = [int(share) for share in exact]
    order = sorted(range(len(weights)), key=lambda i: (counts[i] - exact[i], i))
    for i in order[: free - sum(counts)]:
        counts[i] += 1
    return [least + count for count in counts]
