"""A last round that measures the best configurations again.

With noisy scores the best of many trials is the best partly by luck. A confirming round
repeats the best few: a repeat is a trial of its own, with the same hyperparameters and
random numbers of its own, so whatever holds for a trial holds for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxtune import ranking
from jaxtune.checks import as_whole, is_whole
from jaxtune.results.trials import Trials
from jaxtune.rounds.race import before_first_look
from jaxtune.rounds.repeats import identities
from jaxtune.rounds.schedule import Schedule, Stage
from jaxtune.schedulers import Scheduler, in_full
from jaxtune.schedulers.groups import apart
from jaxtune.schedulers.restarts import from_scratch
from jaxtune.space import Space
from jaxtune.space.dimension import BELOW_ONE
from jaxtune.space.points import Points
from jaxtune.space.values import is_number
from jaxtune.tasks import Task
from jaxtune.types import HparamArrays

# measurements of each configuration: more of them cost the search more than they
# tell, and with fewer the spread is not known (docs/benchmarks.md)
TIMES = 3


# trials from which on a search of trainings confirms by itself, and how many: fewer
# trials are better spent on searching
FROM, BY_DEFAULT = 100, 5


class Confirmation(NamedTuple):
    """The end of a budget that measures the best again.

    Args:
      best: number of configurations; 0 for none.
      trials: number of measurements of all of them.
    """

    best: int = 0
    trials: int = 0


def check_confirm(confirm: Any, trials: int) -> Confirmation:
    """Return how many trials confirm how many configurations.

    >>> from jaxtune.rounds.confirm import check_confirm
    >>> check_confirm(5, 100), check_confirm(0.15, 100)
    (Confirmation(best=5, trials=15), Confirmation(best=5, trials=15))
    >>> check_confirm(0.1, 1000)  # both the configurations and the times grow
    Confirmation(best=13, trials=100)

    Args:
      confirm: the argument of `search`: a number of configurations, or a share of the
        trials.
      trials: of the whole search.

    Raises:
      ValueError: neither of these, or too few trials for it.
    """
    confirm = float(confirm) if isinstance(confirm, np.floating) else as_whole(confirm)
    if confirm is None or (is_whole(confirm, 0) and confirm == 0):
        return Confirmation()
    if is_whole(confirm, 2):
        found = Confirmation(int(confirm), TIMES * int(confirm))
        need = found.trials + found.best
        if trials < need:
            raise ValueError(
                f"confirm={confirm}: {TIMES} measurements of each take {found.trials} "
                f"of {trials} trials. Use trials={need} or more, or a smaller number."
            )
        return found
    if not (is_number(confirm) and 0 < confirm < 1):
        raise ValueError(
            f"confirm: got {confirm!r}. Use a whole number from 2, of configurations "
            "to measure again, a share of the trials such as 0.15, or 0 for none."
        )
    count = round(float(confirm) * trials)
    # of 15 measurements three for each of five, as above; of more, more of both
    best = max(2, min(round(math.sqrt(count * 5 / TIMES)), count // 2))
    if count < 2 * best or trials - count < best:
        raise ValueError(
            f"confirm={confirm}: {count} of {trials} trials. At least two "
            "configurations are measured twice, and as many have to be there. Use more "
            "trials, or another share."
        )
    return Confirmation(best, count)


def usual_confirm(
    trials: Any, seeds: int, task: Task, given: Sequence[Any] = ()
) -> int:
    """Return ``confirm`` of a search that was given none.

    Scores of one training are noisy, and where noise decides between the best trials,
    measuring them again takes half of what is lost (docs/benchmarks.md).

    Args:
      trials: of the search.
      seeds: trainings of every trial.
      task: its trials train or not, on folds or not.
      given: other parts that a user may choose, ``None`` where they are left to decide.
        Only where all are, the search is not what the user has laid out.
    """
    if any(part is not None for part in given):
        return 0
    noisy = task.trains and seeds == 1 and task.folds is None
    return BY_DEFAULT if noisy and is_whole(trials, FROM) else 0


def scheduler_of_stage(
    stage: Stage,
    scheduler: Scheduler,
    budget: int,
    combinations: int = 1,
    restarts: bool = False,
) -> Scheduler:
    """Return the scheduler of a round: repeats are not stopped by others.

    Args:
      stage: the round.
      scheduler: of the search.
      budget: epochs of a whole training.
      combinations: of the values that a study compares, each scheduled on its own.
      restarts: whether trials train anew at every rung.
    """
    if stage.confirms:
        # at its own pace a trial is complete where it was stopped, and so is a repeat
        own_pace = scheduler.plan(stage.trials, budget).own_pace
        scheduler = scheduler if own_pace else in_full()
    elif stage.compares:
        scheduler = apart(scheduler, combinations)
    return from_scratch(scheduler) if restarts else scheduler


def with_confirmation(schedule: Schedule, found: Confirmation) -> Schedule:
    """Return a schedule with a last round that measures the best again."""
    if not found.best:
        return schedule
    last = schedule.stages[-1]
    more = Stage(last.searched, found.trials, last.epochs, confirms=found.best)
    return schedule._replace(stages=(*schedule.stages, more))


def less_the_repeats(schedule: Schedule, found: Confirmation) -> Schedule:
    """Return a schedule of the user's own, its last round shorter by the repeats.

    Raises:
      ValueError: fewer than two trials would be left of it.
    """
    last = schedule.stages[-1]
    left = last.trials - found.trials
    if found.best and left < 2:
        raise ValueError(
            f"confirm: {found.trials} measurements come out of the last round, which "
            f"has {last.trials} trials. Use a larger budget, or confirm fewer."
        )
    return schedule._replace(
        stages=(*schedule.stages[:-1], last._replace(trials=left)),
    )


def measured_again(
    schedule: Schedule, number: int, history: Sequence[Trials], standing: np.ndarray
) -> Points:
    """Return the points of a confirming round: the best configurations, in turns.

    Args:
      schedule: the space and its rounds.
      number: of the round.
      history: the trials of each round before it.
      standing: ``[n]`` of all of them, by which they rank.
    """
    stage, space = schedule.stages[number], schedule.space
    before = _decoded(history)
    first = _first_trials(space, before)
    own = np.asarray([first[name] for name in identities(space, before)])
    # what was measured several times, as in a run that is extended, by its mean
    trials, place, counts = np.unique(own, return_inverse=True, return_counts=True)
    means = np.bincount(place, weights=standing) / counts
    best = [
        _best_few(trials[rows], means[rows], stage.confirms)
        for rows in _compared(stage, before, trials)
    ]
    count = before_first_look(stage, len(best[0])) if stage.races else stage.trials
    chosen = np.resize(np.stack(best, axis=1), count)
    # the whole space, since the best need not lie in the box of the last round
    everything = stage.searched == space.searched
    box = space if everything else space.keep(*stage.searched)
    hparams = {name: values[chosen] for name, values in before.items()}
    points = np.clip(np.asarray(box.encode(hparams)), 0, BELOW_ONE)
    return Points(box, points.astype(np.float32), hparams)


def _best_few(trials: np.ndarray, means: np.ndarray, count: int) -> np.ndarray:
    """Return the best of some trials, at most ``count``."""
    fine = int(np.isfinite(means).sum())
    # where all trials failed, those are measured again
    return trials[ranking.order(means)][: min(count, fine or len(means))]


def _compared(
    stage: Stage, hparams: HparamArrays, trials: np.ndarray
) -> list[np.ndarray]:
    """Return the places of the trials with each combination of compared values."""
    if not stage.compares:
        return [np.arange(len(trials))]
    columns = [np.asarray(hparams[name])[trials] for name in stage.compares]
    names, place = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    groups = [np.flatnonzero(place.ravel() == number) for number in range(len(names))]
    # as they stand in every row of crossed points, which share their random numbers
    return sorted(groups, key=lambda group: int(trials[group[0]]))


def repeats_in(
    schedule: Schedule,
    number: int,
    history: Sequence[Trials],
    hparams: HparamArrays,
) -> np.ndarray | None:
    """Return the trials ``[n]`` that those of a round measure again.

    Args:
      schedule: the space and its rounds.
      number: of the round.
      history: the trials of each round before it.
      hparams: of the round, name to ``[n]`` array.

    Returns:
      Of each the first trial with its hyperparameters; -1 in a round that searches.
      ``None`` if no round of the search measures again.
    """
    if not schedule.confirms:
        return None
    if not schedule.stages[number].confirms:
        return np.full(len(next(iter(hparams.values()))), -1)
    first = _first_trials(schedule.space, _decoded(history))
    names = identities(schedule.space, hparams)
    return np.asarray([first[name] for name in names])


def _decoded(history: Sequence[Trials]) -> dict[str, np.ndarray]:
    parts = [rows.decoded for rows in history]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _first_trials(space: Space, hparams: HparamArrays) -> dict[bytes, int]:
    """Return configuration to the first trial that has it."""
    first: dict[bytes, int] = {}
    for trial, name in enumerate(identities(space, hparams)):
        first.setdefault(name, trial)
    return first
