"""Studies: what a hyperparameter does, when all others are tuned for each value."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jaxtune._search import StopLike, search
from jaxtune.checks import as_whole
from jaxtune.door import demand, whole, without
from jaxtune.executors.base import Executor
from jaxtune.rounds.callbacks import Callback
from jaxtune.rounds.roles import schedule_of_study, space_of_study, usual_repeats
from jaxtune.samplers import Sampler
from jaxtune.schedulers import Scheduler
from jaxtune.signals import GRACE
from jaxtune.space import Dimension, Space, as_space
from jaxtune.tasks import GroupedFolds, Task
from jaxtune.types import Key, Objective

if TYPE_CHECKING:
    from jaxtune.report._study import Study


ALIKE = "All values are tuned alike, and this would favour some. Leave it out"
ONE_ROUND = "It tunes in one round, and measures the best of each value again. Use"


@without(
    first=f"{ALIKE}.",
    start=f"{ALIKE}, or make the space smaller.",
    prior=f"{ALIKE}. A dimension that is tuned may have a belief, prior=near(...).",
    goals="Values are compared by one score. Use metric=, and constraints= for others.",
    confirm=f"{ONE_ROUND} repeats=.",
    rounds=f"{ONE_ROUND} trials=.",
    budget=f"{ONE_ROUND} trials=, the settings for each value, and epochs=.",
)
def study(
    task: Task | Objective,
    space: Space | Mapping[str, Dimension],
    *,
    key: Key,
    scientific: Sequence[str] | Mapping[str, Any],
    nuisance: Sequence[str] | None = None,
    fixed: Mapping[str, Any] | Sequence[str] | None = None,
    trials: int,
    repeats: int | None = None,
    epochs: int | None = None,
    seeds: int = 1,
    metric: str | None = None,
    mode: str | None = None,
    sampler: Sampler | str | None = "sobol",
    scheduler: Scheduler | str | None = None,
    folds: int | GroupedFolds | Iterable[Any] | None = None,
    score: str | int = "last",
    history: bool = False,
    stop: StopLike = None,
    constraints: Any = None,
    directory: str | os.PathLike[str] | None = None,
    block: int | None = None,
    programs: int | None = None,
    rewrite: bool = True,
    callbacks: Sequence[Callback] = (),
    executor: Executor | str | None = None,
    grace: float = GRACE,
    verbose: int = 1,
) -> Study:
    """Measure what a hyperparameter does, when the others are tuned for each value.

    Every setting of the nuisances is tried with each value of the scientific
    hyperparameter, with the same random numbers, in the same program. The best setting
    of each value is then trained again with fresh seeds, and these scores are compared
    in pairs.

    >>> import jax, jax.numpy as jnp, jaxtune as jt
    >>> def objective(key, hparams):
    ...     shift = 0.5 * (hparams["kind"] == "b")
    ...     noise = 0.05 * jax.random.normal(key)
    ...     return (jnp.log10(hparams["rate"]) + 2) ** 2 + shift + noise
    >>> space = jt.Space(rate=jt.log_uniform(1e-4, 1.0), kind=jt.choice(["a", "b"]))
    >>> study = jt.study(
    ...     objective,
    ...     space,
    ...     key=jax.random.key(0),
    ...     scientific=["kind"],
    ...     trials=32,
    ...     mode="min",
    ...     verbose=0,
    ... )
    >>> study.conclusion.split(" (")[0]
    'a is better at this budget than b'

    Args:
      task: as for `search`.
      space: all hyperparameters.
      key: root of all randomness.
      scientific: the hyperparameters whose effect is measured: names, or a dict from
        names to the values to compare. A choice has all its values if none are given,
        a range five that are even on its scale. Of several hyperparameters all
        combinations are tuned.
      nuisance: names of the hyperparameters to tune for each value; all others if not
        given. If it is given, all others have to be in ``fixed``.
      fixed: name to the one value of a hyperparameter; or a list of names, which keep
        their defaults.
      trials: settings of the nuisances, each of which is tried with every value, so
        that the results of a value do not depend on how many there are.
      repeats: trainings of the best setting of each value with fresh seeds; if not
        given, ten, or what it takes to show a difference between many values: 14 of 25.
      epochs: as for `search`.
      seeds: trainings of every trial; its score is their mean.
      metric: as for `search`.
      mode: as for `search`.
      sampler: of the nuisances. A sequence gives all values the same settings. One that
        learns tunes each value by itself, and nothing is known of the luck of tuning.
      scheduler: as for `search`; it compares trials of the same value alone.
      folds: as for `search`.
      score: as for `search`.
      history: as for `search`.
      stop: as for `search`. A study that is stopped in the tuning compares nothing.
      constraints: bounds of metrics and sizes, as for `search`, but no `require`.
      directory: a run directory, as for `search`. `resume` goes on with a study that
        was killed, and ``load(directory).study`` opens it.
      block: as for `search`.
      programs: as for `search`.
      rewrite: as for `search`.
      callbacks: as for `search`.
      executor: as for `search`.
      grace: as for `search`.
      verbose: as for `search`.

    Returns:
      A table, a conclusion, pictures, and the result of the search.

    Raises:
      ValueError: an argument that makes no sense, with one that does.
      RunError: a directory that cannot be used, or that holds another run.
    """
    made, names = space_of_study(as_space(space), scientific, nuisance, fixed)
    trials, repeats = as_whole(trials), as_whole(repeats)
    repeats = usual_repeats(made, names) if repeats is None else repeats
    for name, count in (("trials", trials), ("repeats", repeats)):
        demand("study", name, count, whole(2))
    result = search(
        task,
        schedule_of_study(made, names, trials, repeats),
        key=key,
        epochs=epochs,
        seeds=seeds,
        metric=metric,
        mode=mode,
        sampler="sobol" if sampler is None else sampler,
        scheduler=scheduler,
        folds=folds,
        score=score,
        history=history,
        stop=stop,
        constraints=constraints,
        directory=directory,
        block=block,
        programs=programs,
        rewrite=rewrite,
        callbacks=callbacks,
        executor=executor,
        grace=grace,
        verbose=verbose,
    )
    return result.study
