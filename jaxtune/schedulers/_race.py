"""A race between the best configurations (Birattari et al., 2002; irace, 2016).

With noisy scores the best of many trials is the best partly by luck. A race measures
the best few again, and spends the measurements where they decide: whoever is clearly
behind leaves, so that only those that are close are measured often.
"""

from __future__ import annotations

from jaxtune.door import guarded, optional, whole
from jaxtune.registry import maker, recipe_of
from jaxtune.schedulers._in_full import in_full
from jaxtune.schedulers.base import A_SCHEDULER, Race, Scheduler, own_scheduler

MOST = 10_000  # configurations, and measurements of each


@maker
@guarded(top=whole(2, MOST), seeds=whole(2, MOST), scheduler=optional(A_SCHEDULER))
def race(
    top: int = 8, seeds: int = 16, scheduler: Scheduler | None = None
) -> Scheduler:
    """Let the best configurations of a search race for the first place.

    After the trials of the search its best ``top`` configurations are measured again,
    with fresh randomness: 2 times each, then up to 4, 8 and so on. After each look, the
    ones leave that a test separates from the leader; the race ends when one is left, or
    each of the others has ``seeds`` measurements. `Result.best` is the winner, and
    `Result.confirmed` says how likely it is the best of them. The race comes on top of
    the ``trials`` of the search: ``top * seeds`` trainings at most, often half of them.

    >>> import jax, jaxtune as jt
    >>> def objective(key, hparams):
    ...     return (hparams["x"] - 0.3) ** 2 + 0.05 * jax.random.normal(key)
    >>> result = jt.search(
    ...     objective,
    ...     jt.Space(x=jt.uniform(0.0, 1.0)),
    ...     key=jax.random.key(0),
    ...     trials=40,
    ...     mode="min",
    ...     scheduler=jt.schedulers.race(top=4, seeds=8),
    ...     verbose=0,
    ... )
    >>> int(result.confirmed.trial[0]) == result.best.trial
    True
    >>> int(result.confirmed.measurements.max()) <= 8
    True

    Args:
      top: configurations that begin.
      seeds: the most measurements of each of them.
      scheduler: decides how long the trials of the search train; all train in full if
        not given, as those of the race do.

    Returns:
      A scheduler.

    Raises:
      ValueError: an argument out of range, or a scheduler whose trials have no one
        setting, such as population based training.
    """
    led = in_full() if scheduler is None else scheduler
    if led.race is not None:
        raise ValueError(
            f"race: scheduler={scheduler!r} is a race itself. Use one of both."
        )
    if led.explore is not None:
        raise ValueError(
            "race: under population based training no trial has one setting, so it "
            "cannot be measured again. Use another scheduler."
        )
    alone = recipe_of(led) == recipe_of(in_full())
    found = Race(top, seeds, alone)
    return own_scheduler(led.plan, led.decide, race=found)
