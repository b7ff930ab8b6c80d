"""Hyperband (Li et al., 2018, JMLR 18): halving with several first rungs at once.

It is not known beforehand after how many epochs a score becomes informative. Hyperband
hedges: one bracket starts many trials with few epochs, the next fewer with more, and
the last one trains few trials in full.
"""

from __future__ import annotations

from jaxtune.door import guarded, whole
from jaxtune.registry import maker
from jaxtune.schedulers.base import (
    Bracket,
    Plan,
    Scheduler,
    apportion,
    geometric,
    own_scheduler,
    rung_counts,
)
from jaxtune.schedulers.halving import BOUND, ETA, promote_the_best


@maker
@guarded(eta=ETA, min_epochs=whole(1), bound=BOUND)
def hyperband(eta: float = 3, min_epochs: int = 1, bound: float = 0.0) -> Scheduler:
    """Run brackets of successive halving that differ in their first rung.

    Bracket sizes are those of the paper's table 1, ``floor((s_max + 1) / (s + 1)) *
    eta ** s`` (its algorithm rounds up instead, 34, 15 and 8 for 27, 9 and 6):

    >>> import jaxtune as jt
    >>> for bracket in jt.schedulers.hyperband(eta=3).plan(128, 81).brackets:
    ...     print(dict(zip(bracket.epochs, bracket.counts)))
    {1: 81, 3: 27, 9: 9, 27: 3, 81: 1}
    {3: 27, 9: 9, 27: 3, 81: 1}
    {9: 9, 27: 3, 81: 1}
    {27: 6, 81: 2}
    {81: 5}

    Any other number of trials is shared out in these proportions.

    Args:
      eta: at each rung one in ``eta`` trials is promoted, and trains ``eta`` times as
        long.
      min_epochs: smallest first rung of the first bracket. One epoch, as in the paper:
        if scores say nothing so early, the other brackets still do.
      bound: as in `successive_halving`.

    Returns:
      A scheduler. Its ``plan`` raises ``ValueError`` where the epochs leave only one
      bracket.

    Raises:
      ValueError: an argument out of range.
    """

    def plan(trials: int, epochs: int) -> Plan:
        rungs = geometric(epochs, eta, min_epochs)
        if len(rungs) == 1:
            raise ValueError(
                f"hyperband: epochs={epochs} leaves one bracket only with eta={eta:g} "
                f"and min_epochs={min_epochs}. Train longer, or lower min_epochs."
            )
        most = len(rungs)  # s_max + 1
        sizes = [most // (s + 1) * round(eta**s) for s in reversed(range(most))]
        brackets, first = [], 0
        for skipped, count in enumerate(apportion(trials, sizes, 0)):
            if count:
                counts = rung_counts(count, eta, most - skipped)
                brackets.append(Bracket(first, rungs[skipped:], counts))
            first += count
        return Plan(tuple(brackets), final=True)

    return own_scheduler(plan, promote_the_best(bound))
