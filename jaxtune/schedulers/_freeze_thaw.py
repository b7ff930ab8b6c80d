"""Freeze-thaw: pause trials, predict how they will end, continue the promising ones.

After Swersky et al. (2014, arXiv 1406.3896). Every few epochs all trials stand still, a
model of their curves predicts the final scores, and those that may still be among the
best go on. A trial that was left behind may be taken up again later, when the others
have disappointed or its neighbours have done well.
"""

from __future__ import annotations

import numpy as np

from jaxtune.door import guarded, optional, real, whole
from jaxtune.registry import maker
from jaxtune.schedulers.base import (
    Bracket,
    Decision,
    Plan,
    Progress,
    Scheduler,
    decision,
    geometric,
    own_scheduler,
    rung_counts,
    together,
)
from jaxtune.schedulers.curve_model import (
    SURE,
    Prediction,
    as_quantiles,
    endings,
    level_of,
)
from jaxtune.types import Key

ETA = 3  # of the halving whose epochs are the default
LOOKS = 10  # rungs of a training, if no interval is given
# a step at a share t of the training is for so many trials as t**-THINNING says: three
# times as many after a tenth as at the end, much as halving has it
THINNING = 0.7


@maker
@guarded(
    share=optional(real(above=0, most=1)),
    interval=optional(whole(1)),
    concurrent=optional(whole(1)),
)
def freeze_thaw(
    share: float | None = None,
    interval: int | None = None,
    concurrent: int | None = None,
) -> Scheduler:
    """Continue the trials that are predicted to end best, within a budget of epochs.

    Whenever all trials stand still, the final score of each is predicted from its curve
    and from those of its neighbours in the space. Those most likely to end among the
    best train until the next rung, as many as the rest of the budget is enough for.

    >>> import jaxtune as jt
    >>> jt.schedulers.freeze_thaw(interval=7).plan(64, 20)
    Plan(64 trials, at most 461 epochs
      bracket 1: 64 to epoch 7, about 1 to epoch 14, about 1 to epoch 20)

    Args:
      share: of the epochs that all trials would train in full, at most so many are
        trained; if not given, as many as `successive_halving` would train, and at
        least those that it takes to begin all trials and to end one.
      interval: epochs between two decisions; a tenth of the budget if not given. Each
        decision costs a trip to the host and a new packing of blocks.
      concurrent: trials in training at once. If not given, all begin before any goes
        on; with a number, new trials compete with those that wait for the free places.

    Returns:
      A scheduler. Its ``plan`` raises ``ValueError`` where nothing is decided before
      the end, or the share is too small to begin every trial and to end one.

    Raises:
      ValueError: an argument out of range.
    """

    def plan(trials: int, epochs: int) -> Plan:
        every = interval or max(1, round(epochs / LOOKS))
        rungs = (*range(every, epochs, every), epochs)
        if len(rungs) == 1:
            raise ValueError(
                f"freeze_thaw: epochs={epochs} ends before the first decision, at "
                f"interval={every}. Train longer, or lower it."
            )
        least = trials * every + epochs - every
        budget = _usual(trials, epochs)
        if share is not None:
            # 1e-9: a product that rounding left just below a whole number
            budget = int(share * trials * epochs + 1e-9)
        if share is not None and budget < least:
            raise ValueError(
                f"freeze_thaw: share={share:g} of {trials} trials times {epochs} "
                f"epochs is {budget}, but to begin all and end one takes {least}. Use "
                f"share={np.ceil(1e3 * least / (trials * epochs)) / 1e3:g} or more, or "
                "a smaller interval."
            )
        budget = max(budget, least)
        later = _shared_out(np.asarray(rungs), budget - trials * every, trials)
        bracket = Bracket(0, rungs, (trials, *later))
        return Plan((bracket,), concurrent, budget=budget, learns=True)

    def decide(key: Key, plan: Plan, progress: Progress) -> Decision:
        del key
        if progress.running.any():
            return decision([], 0)
        return _step(np.asarray(plan.brackets[0].epochs), int(plan.epochs), progress)

    return own_scheduler(plan, decide)


def _shared_out(rungs: np.ndarray, free: int, trials: int) -> list[int]:
    """Return the trials that go to each rung but the first, if none takes a place."""
    counts = []
    for stage in range(1, len(rungs)):
        trials = min(trials, _breadth(rungs, stage, free)[0])
        free -= trials * int(rungs[stage] - rungs[stage - 1])
        counts.append(trials)
    return counts


def _usual(trials: int, epochs: int) -> int:
    """Return the epochs that successive halving trains at most."""
    rungs = geometric(epochs, ETA, 2, 2)
    steps = np.diff([0, *rungs])
    return int(np.dot(steps, rung_counts(trials, ETA, len(rungs))))


def _step(rungs: np.ndarray, budget: int, progress: Progress) -> Decision:
    """Return the trials that train to their next rung, new ones and old ones."""
    first, last = int(rungs[0]), int(rungs[-1])
    # `stage` is the number of rungs that a trial has been sent to
    stage = np.searchsorted(rungs, progress.target, side="right")
    new, begun = np.flatnonzero(stage == 0), np.flatnonzero(stage > 0)
    # what it takes to begin the others is set aside
    free = budget - int(progress.target.sum()) - len(new) * first
    left = last - progress.target
    waiting = (stage > 0) & ~progress.failed & (left > 0) & (left <= free)
    if not waiting.any():
        return decision(new[: progress.slots], first, fresh=True)
    # and those that have begun may not spend what the others would go on with
    theirs = (budget - len(stage) * first) * len(begun) // len(stage)
    theirs -= int((progress.target[begun] - first).sum())
    count, ends = _breadth(rungs, int(stage[waiting].max()), theirs)
    chance, mean = _chances(rungs, progress, stage, waiting, ends)
    # where chances are equal, what is expected decides, and then the number; the
    # digits left out belong to rounding, which is another one on each machine
    order = np.lexsort((-mean.round(6), -chance.round(6)))
    best = order[waiting[order]]
    step = rungs[stage[best]] - progress.target[best]
    old = best[_affordable(step, left[best] - step, ends, free)][:count]
    new = order[stage[order] == 0]  # the most promising first
    if len(old) + len(new) > progress.slots:
        going = order[np.isin(order, np.union1d(old, new))][: progress.slots]
        old, new = old[np.isin(old, going)], new[np.isin(new, going)]
    return together(
        [decision(old, rungs[stage[old]]), decision(new, first, fresh=True)]
    )


def _affordable(step: np.ndarray, rest: np.ndarray, ends: int, free: int) -> np.ndarray:
    """Return which of some trials go on, if the first of them can come to the end.

    Args:
      step: ``[m]`` epochs to the next rung, the best trial first.
      rest: ``[m]`` epochs from there to the end.
      ends: trials that are to come to the end, if there are so many.
      free: epochs that all of them may train, enough for each alone.
    """
    kept = np.arange(len(step))
    while True:
        cost = step[kept] + np.where(np.arange(len(kept)) < ends, rest[kept], 0)
        over = np.cumsum(cost) > free
        if not over.any():
            return kept
        # one that takes too much makes room for those after it that take less
        first = int(over.argmax())
        fits = cost <= free - cost[:first].sum()
        fits[:first] = True
        kept = kept[fits]


def _breadth(rungs: np.ndarray, stage: int, free: int) -> tuple[int, int]:
    """Return how many trials the budget allows in this step, and in the last one.

    Args:
      rungs: ``[r]`` epochs.
      stage: rungs that the foremost of them has passed.
      free: epochs that they may train.
    """
    weights = (rungs[stage - 1 : -1] / rungs[-1]) ** -THINNING
    whole = max(0, free) / np.dot(weights, np.diff(rungs)[stage - 1 :])
    # 1e-9: a quotient that rounding left just below a whole number counts as that
    now, then = (max(1, int(whole * weights[at] + 1e-9)) for at in (0, -1))
    return now, then


def _chances(
    rungs: np.ndarray,
    progress: Progress,
    stage: np.ndarray,
    waiting: np.ndarray,
    ends: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the chance ``[n]`` of each trial to end among the best, and its mean."""
    scores = progress.scores.copy()
    lost = progress.failed & (stage > 0)
    scores[lost, stage[lost] - 1] = np.nanmin(scores, initial=np.inf)
    values = as_quantiles(scores)
    points = progress.points
    if points is None:
        points = np.zeros((len(stage), 0))
    seen = np.isfinite(values).cumprod(axis=1).sum(axis=1)
    found = endings(points, values, seen, rungs)
    done = (seen == len(rungs)) & ~progress.failed
    found = _as_known(found, done, values[:, -1])
    rows = np.flatnonzero(waiting | done | (stage == 0))
    level = level_of(found, rows, min(ends, 0.9 * len(rows)))
    return found.above(level), found.mean


def _as_known(found: Prediction, done: np.ndarray, values: np.ndarray) -> Prediction:
    """Return a prediction in which trials that have ended have their values."""
    return found._replace(
        means=np.where(done, values, found.means),
        spreads=np.where(done, SURE, found.spreads),
    )
