"""The arithmetic that a search took."""

from __future__ import annotations

import numpy as np

from jaxtune.door import guarded
from jaxtune.planning import flops
from jaxtune.planning.layout import groups
from jaxtune.results.result import A_RESULT, Result


@guarded(result=A_RESULT)
def operations(result: Result) -> float:
    """Count the floating-point operations of the trainings, a model's padding included.

    They are counted in the programs and not measured: three times those of the loss,
    for every example and epoch. Optimisers, scoring and the padding of blocks are left
    out.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> import jaxtune as jt
    >>> import numpy as np
    >>> x = np.linspace(-1, 1, 32, dtype=np.float32)[:, None]
    >>> linear = (lambda rng, x: jnp.zeros((1, 1)), lambda w, x: x @ w)
    >>> task = jt.regression(linear, train=(x, 2 * x), valid=(x, 2 * x), batch_size=16)
    >>> space = jt.Space(learning_rate=jt.log_uniform(1e-3, 1e-1))
    >>> result = jt.search(
    ...     task, space, key=jax.random.key(0), trials=4, epochs=2, verbose=0
    ... )
    >>> trained = 4 * 2 * 32  # trials, epochs, examples
    >>> jt.analysis.operations(result) > 3 * 2 * trained  # a product and a sum each
    True

    Args:
      result: the result of a search. If it was loaded and its task has functions of
        your own, pass the task: ``load(directory, task)``.

    Returns:
      Operations of all trials and seeds.

    Raises:
      ValueError: a plain function, which is not trained, or the task is not known.
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
        lane = group.static.hparams(first)
        batching = group.static.batching
        examples = batching.examples if batching else task.examples
        each = flops.PASSES * examples * flops.per_example(task, lane)
        done += each * trials.epochs[group.lanes].sum()
    # population based training also trains states that no trial ends with
    trained = trials.epochs.sum() or 1
    return float(done * result.cost.epochs / trained)
