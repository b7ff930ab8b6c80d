"""Schedules of rounds: all dimensions open in each round, or tier by tier."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from jaxtune.brevity import brief
from jaxtune.checks import as_whole, is_whole
from jaxtune.schedulers.base import apportion
from jaxtune.space import Space, as_space, with_default_inside
from jaxtune.space.conditions import ancestors


@brief
class Stage(NamedTuple):
    """One round of a search.

    Args:
      searched: names of the dimensions that are open; the others keep their defaults.
      trials: number of configurations.
      epochs: of a whole training; those of the search if ``None``.
      first: known settings, which are its first trials, see `search`.
      batches: how many trials are asked for at a time, see `paced`; empty for all.
      ahead: whether a batch is asked for while the one before it trains.
      confirms: number of the best configurations so far, which its trials measure
        again; 0 for a round that searches. With ``batches`` it is a race: these are
        the measurements before each look if no configuration leaves, see
        `jaxtune.schedulers.race`.
      compares: names of dimensions with a list of values, which are compared: every
        point of the others is tried with each combination of their values, with the
        same random numbers; and of each combination the best is measured again.
    """

    searched: tuple[str, ...]
    trials: int
    epochs: int | None = None
    first: tuple[dict[str, Any], ...] = ()
    batches: tuple[int, ...] = ()
    ahead: bool = False
    confirms: int = 0
    compares: tuple[str, ...] = ()

    @property
    def races(self) -> bool:
        """True if the configurations that it measures again may leave on the way."""
        return bool(self.confirms and self.batches)


@brief
class Schedule(NamedTuple):
    """A space and its rounds; `search` takes one in place of a space.

    Args:
      space: the whole space.
      stages: the rounds, in order.
      start: the box in which the search starts; the whole space if ``None``.
    """

    space: Space
    stages: tuple[Stage, ...]
    start: Space | None = None

    @property
    def trials(self) -> int:
        """Trials of all rounds."""
        return sum(stage.trials for stage in self.stages)

    @property
    def searched_trials(self) -> int:
        """Trials of the rounds that search, and measure nothing again."""
        return sum(stage.trials for stage in self.stages if not stage.confirms)

    @property
    def confirms(self) -> bool:
        """True if some round measures configurations again."""
        return any(stage.confirms for stage in self.stages)

    @property
    def confirmed_by(self) -> str:
        """``"race"`` or ``"confirm"``, whichever measures the best again."""
        return "race" if self.stages[-1].races else "confirm"

    @property
    def compared(self) -> tuple[str, ...]:
        """Names of the dimensions whose values are compared; empty in most searches."""
        return next((s.compares for s in self.stages if s.compares), ())

    @property
    def combinations(self) -> int:
        """Number of combinations of the compared values; 1 if none is compared."""
        return math.prod(int(self.space[name].cardinality) for name in self.compared)

    def opened(self, box: Space | None, number: int) -> Space:
        """Return the space of one round.

        Args:
          box: the refined space of the last round; ``None`` at first.
          number: of the round, from 0.

        Returns:
          Dimensions that were open keep the refined bounds, newly opened ones have
          those of ``start``, the others are fixed at their defaults.
        """
        names, first = self.stages[number].searched, self.start or self.space
        everything = names == self.space.searched
        box = box or (first if everything else first.keep(*names))
        newly = [name for name in names if not box[name].searched]
        return box.replace(**{name: first[name] for name in newly})


def check_crossed(schedule: Schedule) -> None:
    """Raise ``ValueError`` for rounds in which values cannot be compared.

    Args:
      schedule: of a search, or one that was read from a file.
    """
    names, space = schedule.compared, schedule.space
    if not names:
        return
    unlisted = [
        name
        for name in names
        if name not in space.searched or space[name].cardinality == math.inf
    ]
    if unlisted:
        raise ValueError(
            f"Stage: compares has {unlisted[0]!r}, of which the space has no list of "
            "values. Use dimensions that are searched, such as ordinal([16, 64])."
        )
    for stage in schedule.stages:
        if stage.compares != names or stage.searched != space.searched:
            raise ValueError(
                "Stage: compares and searched differ from round to round. A study has "
                "the same in all of them."
            )
        if stage.confirms > 1 or stage.trials % schedule.combinations:
            raise ValueError(
                f"Stage: {stage.trials} trials, confirms={stage.confirms}. A round "
                f"that compares {schedule.combinations} combinations has a multiple of "
                "as many trials, and measures the best of each again."
            )


def flat(space: Space, trials: int, rounds: int) -> Schedule:
    """Make a schedule with all dimensions open, ``trials`` spread over ``rounds``."""
    counts = apportion(trials, [1] * rounds, 2)
    return Schedule(space, tuple(Stage(space.searched, count) for count in counts))


def tiered(space: Space, budget: int, rounds: int = 1) -> Schedule:
    """Open a space tier by tier: the most important hyperparameters first.

    First tier 1 is searched, with all other dimensions at their defaults. Then each
    next tier is opened at its full range, while the tiers before it stay open in the
    refined box around the best trials. A stage gets trials in proportion to the number
    of its open dimensions, but no more than they have configurations. A conditional
    dimension does not open before the dimensions it depends on.

    >>> import jaxtune as jt
    >>> schedule = jt.tiered(jt.presets.standard(), 270)
    >>> [(len(stage.searched), stage.trials) for stage in schedule.stages]
    [(2, 24), (5, 57), (7, 78), (10, 111)]

    Args:
      space: the whole space; tiers without a searched dimension are skipped.
      budget: configurations in the whole search.
      rounds: search rounds of each tier, with a refinement between any two.

    Returns:
      A schedule for `search`.

    Raises:
      ValueError: the budget cannot fill the rounds, or no dimension is searched.
    """
    space, budget, rounds = as_space(space), as_whole(budget), as_whole(rounds)
    # a tier that is closed has its defaults, which a smaller space may leave out
    inside = {name: with_default_inside(space[name]) for name in space.searched}
    space = space.replace(**inside)
    if not space.searched:
        raise ValueError(f"space: nothing is searched, all is fixed in {space}.")
    for name, value in (("budget", budget), ("rounds", rounds)):
        if not is_whole(value, 1):
            raise ValueError(f"{name}: got {value!r}. Use a whole number from 1.")
    opens = _opening_tiers(space)
    tiers = sorted(set(opens.values()))
    if budget < 2 * len(tiers) * rounds:
        raise ValueError(
            f"budget={budget} cannot fill {len(tiers) * rounds} rounds with two trials "
            "each. Use a larger budget, or fewer rounds."
        )
    open_at = [
        tuple(name for name in space.searched if opens[name] <= tier)
        for tier in tiers
        for _ in range(rounds)
    ]
    counts = _at_most_once(space, open_at, apportion(budget, [*map(len, open_at)], 2))
    return Schedule(space, tuple(map(Stage, open_at, counts)))


def _at_most_once(
    space: Space, open_at: list[tuple[str, ...]], counts: list[int]
) -> list[int]:
    """Move trials to later rounds where a round has too few configurations."""
    counts, spent = list(counts), 0
    for number, names in enumerate(open_at[:-1]):
        # the rounds before it tried some of the same
        left = math.prod(space[name].cardinality for name in names) - spent
        more = counts[number] - max(2, left)
        if more > 0:
            counts[number] -= int(more)
            counts[number + 1] += int(more)
        spent += counts[number]
    return counts


def _opening_tiers(space: Space) -> dict[str, int]:
    """Return the tier at which each searched dimension opens."""
    dimensions = {name: space[name] for name in space.names}
    return {
        name: max(
            space[other].tier
            for other in [name, *ancestors(dimensions, name)]
            if space[other].searched
        )
        for name in space.searched
    }
