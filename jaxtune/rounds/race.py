"""A race as a round: the best configurations measured again, in batches.

It is a confirming round, see `jaxtune.rounds.confirm`, whose batches are asked for one
after the other: each holds those configurations that are still in. So who is measured
again is a function of the table, and a race that is resumed goes on as it would have.
"""

from __future__ import annotations

import numpy as np

from jaxtune.goals.limits import Limit
from jaxtune.results.names import REPEAT_OF
from jaxtune.results.racing import measured_of, seeds_at_looks, still_in
from jaxtune.results.trials import Trials
from jaxtune.rounds.schedule import Schedule, Stage
from jaxtune.schedulers import Race

FIRST = 2  # measurements before the first look: with one the noise is not known


def with_race(
    schedule: Schedule, race: Race | None, repeats: int = 1, block: int | None = None
) -> Schedule:
    """Return a schedule with a race behind its rounds, if there is to be one.

    >>> import jaxtune as jt
    >>> from jaxtune.rounds.schedule import flat
    >>> schedule = flat(jt.Space(x=jt.uniform(0.0, 1.0)), 100, 1)
    >>> race = jt.schedulers.race(top=8, seeds=16).race
    >>> with_race(schedule, race).stages[-1].batches
    (16, 16, 32, 64)
    >>> with_race(schedule, race, block=64).stages[-1].batches
    (64, 64)

    Args:
      schedule: of the search; one that ends with a race stays as it is.
      race: of the scheduler.
      repeats: trainings of every trial: seeds and folds.
      block: lanes in a block, if the user said so: the first look waits for a full one.

    Raises:
      ValueError: the rounds have fewer trials than configurations are to race, or
        measure again already.
    """
    last = schedule.stages[-1]
    if race is None or last.races:
        return schedule
    if last.confirms:
        raise ValueError(
            "race: it measures the best again itself. Leave out confirm=, or the race."
        )
    if schedule.searched_trials < race.top:
        raise ValueError(
            f"race: top={race.top} of {schedule.searched_trials} trials. Use a smaller "
            "top, or more trials."
        )
    sizes = np.diff(_looks(race, (block or 0) // (repeats * race.top)), prepend=0)
    batches = tuple((sizes * race.top).tolist())
    more = Stage(
        last.searched, sum(batches), last.epochs, batches=batches, confirms=race.top
    )
    return schedule._replace(stages=(*schedule.stages, more))


def _looks(race: Race, fills: int) -> list[int]:
    """Return the measurements of each at each look: twice as many as at the last."""
    looks = [min(race.seeds, max(FIRST, fills))]
    while looks[-1] < race.seeds:
        looks.append(min(race.seeds, 2 * looks[-1]))
    return looks


def before_first_look(stage: Stage, racing: int) -> int:
    """Return the measurements before the first look.

    Args:
      stage: the race.
      racing: configurations that begin, fewer than were asked for if there are no more.
    """
    return racing * stage.batches[0] // stage.confirms


def next_in_race(
    stage: Stage, rows: Trials, mode: str, limits: tuple[Limit, ...]
) -> np.ndarray:
    """Return whom the next batch of a race measures again, as rows of the race.

    Args:
      stage: the race.
      rows: its trials until now; all of them are done.
      mode: ``"max"`` or ``"min"``.
      limits: of the search.

    Returns:
      ``[n]`` rows of trials with the configurations, in turns; none if it is over.
    """
    looks = seeds_at_looks(stage.batches, stage.confirms)
    found = measured_of(rows[REPEAT_OF], rows.columns, mode, limits)
    stays = np.flatnonzero(still_in(found, rows["score"], mode, looks))
    done = int(found.counts.max())
    if len(stays) < 2 or done >= looks[-1]:
        return np.zeros(0, int)
    times = next(seeds for seeds in looks if seeds > done) - done
    return np.tile([found.rows[i][0] for i in stays], times)


def race_in_words(stage: Stage) -> str:
    """Return what a race measures, in words."""
    looks = seeds_at_looks(stage.batches, stage.confirms)
    shown = ", ".join(map(str, looks))
    return (
        f"at most {stage.trials} that let the best {stage.confirms} race, with looks "
        f"after {shown} of each"
    )
