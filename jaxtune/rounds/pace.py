"""The pace of a search: how many trials a sampler that learns asks for at a time.

Trials come in batches of equal size, each asked for when the one before it has been
told: a twentieth of the round, but not fewer than a model is worth, or than fill the
lanes of a block. The first one may be larger, to have what a model needs to say
anything. So a hundred trials of a plain function are twenty batches of five, and a
hundred thousand on an accelerator are twenty of five thousand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from jaxtune.registry import recipe_of
from jaxtune.rounds.race import race_in_words
from jaxtune.rounds.schedule import Schedule, Stage
from jaxtune.samplers import Sampler
from jaxtune.samplers._model_based import design_length
from jaxtune.samplers.base import learns
from jaxtune.schedulers import Scheduler
from jaxtune.tasks import Task
from jaxtune.tasks.task import repeats_of

LEARNS = 2**17  # trials: of more, to choose a point takes longer than to look at it

PARTS = 20  # batches of a round at most
READINGS = 3  # batches of trials that read a stream, an epoch of which all can share
LEAST = 5  # trials in a batch: fewer are not worth the fit of a model
LANES = 16  # in a batch of trainings: fewer leave a block half empty
# trials in a batch from which on the next one is asked for while it trains: of so many
# the model takes as long as a block, and to know them a batch later costs little
LARGE = 256


def usual_sampler(trials: int) -> str:
    """Return the name of the sampler of a search that was given none.

    >>> usual_sampler(100), usual_sampler(10**6)
    ('gaussian_process', 'sobol')

    Args:
      trials: of the search.
    """
    return "gaussian_process" if trials <= LEARNS else "sobol"


def paced(
    schedule: Schedule,
    sampler: Sampler,
    scheduler: Scheduler,
    task: Task,
    seeds: int,
    block: int | None = None,
) -> Schedule:
    """Return the schedule with the batches of its rounds.

    >>> import jaxtune as jt
    >>> from jaxtune.rounds.schedule import flat
    >>> from jaxtune.tasks.function import as_task
    >>> space = jt.Space(x=jt.uniform(0.0, 1.0), y=jt.uniform(0.0, 1.0))
    >>> model, in_full = jt.samplers.gaussian_process(), jt.schedulers.in_full()
    >>> whole, task = flat(space, 100, 1), as_task(lambda key, hparams: hparams["x"])
    >>> paced(whole, model, in_full, task, seeds=1).stages[0].batches[:4]
    (5, 5, 5, 5)
    >>> paced(whole, jt.samplers.sobol(), in_full, task, seeds=1).stages[0].batches
    ()

    Args:
      schedule: of the search; stages that have batches keep them.
      sampler: of the search. One that does not learn is asked once a round, and so is
        one of the user's own, which may count its calls.
      scheduler: of the search. One that lets trials take over the states of others
        needs all of them at once.
      task: its trials train or not, on folds or not, and may read a stream.
      seeds: trainings of every trial, on every fold.
      block: lanes in a block, if the user said so: a batch fills one.
    """
    alone = scheduler.explore is not None or not recipe_of(sampler)
    if alone or not learns(sampler):
        return schedule
    lanes = max(block or 0, LANES if task.trains else 0)
    fills = -(-lanes // repeats_of(task, seeds))  # trials that fill a block
    parts = PARTS if task.stream is None else READINGS
    stages = [
        _paced_apart(stage, fills, parts, schedule.combinations)
        if stage.compares
        else _paced(stage, fills, parts)
        for stage in schedule.stages
    ]
    return schedule._replace(stages=tuple(stages))


def pace_in_words(sampler: Sampler, stages: Sequence[Stage]) -> str:
    """Return how many trials a sampler asks for at a time; empty for all of a round."""
    searching = [stage for stage in stages if not stage.confirms]
    again = "".join(f"; then {_again(stage)}" for stage in stages if stage.confirms)
    recipe, sizes = recipe_of(sampler), searching[0].batches
    if recipe is None or len(sizes) < 2:
        return f"{sum(stage.trials for stage in searching)} trials{again}" * bool(again)
    whole = sum(size == sizes[1] for size in sizes[1:])
    plural = "es" if whole > 1 else ""
    rest = f", and one of {sizes[-1]}" if sizes[-1] != sizes[1] else ""
    when = "while the one before trains" if searching[0].ahead else "after each"
    of_round = "" if len(searching) == 1 else "in each round "
    return (
        f"{of_round}{sizes[0]} trials, then {whole} batch{plural} of {sizes[1]}{rest}: "
        f"{recipe.name} learns {when}{again}"
    )


def _again(stage: Stage) -> str:
    if stage.races:
        return race_in_words(stage)
    return f"{stage.trials} that measure the best {stage.confirms} again"


def _paced_apart(stage: Stage, fills: int, parts: int, values: int) -> Stage:
    """Return a round of a study, whose sampler learns of each combination alone."""
    if stage.batches or stage.confirms:
        return stage
    own = tuple(name for name in stage.searched if name not in stage.compares)
    one = Stage(own, stage.trials // values)
    each = _paced(one, -(-fills // values), parts).batches
    return stage._replace(batches=tuple(values * size for size in each))


def _paced(stage: Stage, fills: int, parts: int) -> Stage:
    if stage.batches:  # the user's own
        return stage
    # equal sizes, since a model is compiled for each, and full blocks
    size = max(LEAST, fills, math.ceil(stage.trials / parts))
    size = fills * math.ceil(size / fills) if fills else size
    first = max(size, design_length(len(stage.searched)))
    left = stage.trials - first
    if not stage.searched or left <= 0 or stage.confirms:
        return stage
    rest = [left % size] if left % size else []
    batches = (first, *[size] * (left // size), *rest)
    return stage._replace(batches=batches, ahead=size >= LARGE)
