"""How much arithmetic a search took."""

from __future__ import annotations

import numpy as np

from jaxtune.planning import flops
from jaxtune.planning.layout import groups
from jaxtune.results.result import Result
from jaxtune.tasks import Hparams


def operations(result: Result) -> float:
    """Floating-point operations of the trainings, padding of models included.

    Counted in the programs and not measured: three times those of the loss, for every
    example and epoch. Optimisers, scoring and idle lanes are left out.

    Args:
      result: what a search found; a loaded one of a task with functions of the user's
        own needs it, ``load(directory, task)``.

    Returns:
      Operations of all trials and seeds.

    Raises:
      ValueError: a plain function, which is not trained, or a task that is not known.
    """
    workload, space, trials = result.setup.workload, result.setup.space, result.trials
    task = workload.task
    if task is None or not task.trains:
        raise ValueError(
            "operations: there is no task whose training could be counted. A plain "
            "function has none; a run of your own task needs load(directory, task)."
        )
    hparams = {name: np.asarray(v) for name, v in trials.decoded.items()}
    done = 0.0
    for group in groups(workload.layout, space, hparams, 1):
        first = {name: v[group.lanes[0]] for name, v in hparams.items()}
        lane = Hparams(
            {**first, **dict(group.static.values)}, dict(group.static.choices)
        )
        batching = group.static.batching
        examples = batching.examples if batching else task.examples
        each = flops.PASSES * examples * flops.per_example(task, lane)
        done += each * trials.epochs[group.lanes].sum()
    # under population based training, states are trained that no trial ends with
    trained = trials.epochs.sum() or 1
    return float(done * result.cost.epochs / trained)
