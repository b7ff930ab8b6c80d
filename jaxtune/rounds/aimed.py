"""The constraints and goals of a search in its rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import numpy as np

from jaxtune import ranking
from jaxtune.checks import warn
from jaxtune.environment import on_host
from jaxtune.goals.arguments import Constraints
from jaxtune.goals.limits import SIZES, Limit, column_of, violation
from jaxtune.goals.order import Goal, aimed_standing, names_in, oriented
from jaxtune.goals.rejection import LEAST, allowed_share
from jaxtune.goals.requirement import Requirement, meets
from jaxtune.goals.scalarisation import scalarised
from jaxtune.planning.sizes import sizes_of
from jaxtune.planning.workload import Workload
from jaxtune.results.result import Result
from jaxtune.results.trials import Trials
from jaxtune.rounds.known import Setting
from jaxtune.rounds.schedule import Schedule
from jaxtune.space import Space
from jaxtune.space.dimension import BELOW_ONE
from jaxtune.space.points import Points
from jaxtune.types import HparamArrays, Key

TYPICAL = 62  # trials whose sizes are looked at before a search, besides two corners


def sizes_named(limits: Sequence[Limit], goals: Sequence[Goal]) -> list[str]:
    """Return the sizes that constraints and goals name."""
    return [name for name in SIZES if name in names_in(limits, goals)]


def with_sizes(
    points: Points,
    workload: Workload,
    space: Space,
    limits: Sequence[Limit],
    goals: Sequence[Goal],
) -> Points:
    """Return the points of a round with the true sizes that the search looks at."""
    names = sizes_named(limits, goals)
    return points._replace(sizes=sizes_of(workload, space, points.hparams, names))


def admission(
    rules: Sequence[Requirement], space: Space
) -> Callable[[HparamArrays], np.ndarray] | None:
    """Return the test of configurations; ``None`` if everything is allowed."""
    return (lambda hparams: meets(rules, space, hparams)) if rules else None


def roomy_enough(
    key: Key, box: Space, whole: Callable[[], Space], rules: Sequence[Requirement]
) -> Space:
    """Return the box; the whole space if too little of the box is allowed."""
    if not rules or not box.searched or allowed_share(box, rules, key) >= LEAST:
        return box
    return whole()


def told_scores(
    history: Sequence[Trials],
    mode: str,
    limits: Sequence[Limit],
    goals: Sequence[Goal],
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Return the scores of all trials so far, for zoom and samplers.

    Args:
      history: the trials of each round.
      mode: of the score.
      limits: of the search.
      goals: of the search.
      weights: ``[m]`` make one score of several goals; non-dominated sorting orders
        the trials if not given.

    Returns:
      ``[n]`` as `jaxtune.goals.order.aimed_standing` has them.
    """
    if not history:
        return np.empty(0, np.float32)

    def column(name: str) -> np.ndarray:
        # a round in which all trials crashed knows no metric by its name
        known = [column_of(name, r.columns, len(r)) for r in history]
        return np.concatenate(known)

    columns = {name: column(name) for name in names_in(limits, goals)}
    stages = np.concatenate([rows.stage for rows in history])
    scores = ranking.orient(column("score"), mode)
    if goals and weights is not None:
        scores, goals = scalarised(oriented(goals, columns), weights), ()
    return aimed_standing(scores, stages, columns, limits, goals)


def check_known(settings: Sequence[Setting], rules: Sequence[Requirement]) -> None:
    """Raise ``ValueError`` for a known setting that does not meet a requirement."""
    for number, setting in enumerate(settings):
        for rule in rules:
            if not rule.meets(setting):
                raise ValueError(
                    f"first: setting {number}, {setting!r}, does not meet {rule!r}. "
                    "Change it, or require less."
                )


@on_host()
def check_reachable(
    workload: Workload,
    schedule: Schedule,
    constraints: Constraints,
    goals: Sequence[Goal],
) -> None:
    """Refuse constraints under which nothing is left, before anything trains.

    Raises:
      ValueError: less than a thousandth of the space of a round is allowed, or the
        sizes of typical trials are all beyond a limit.
    """
    names = dict.fromkeys(stage.searched for stage in schedule.stages)
    searched = [stage.searched for stage in schedule.stages]
    for number in [searched.index(opened) for opened in names]:
        box = schedule.opened(None, number)
        if constraints.rules:
            _check_share(box, constraints.rules, workload.key)
    sized = [limit for limit in constraints.limits if limit.name in SIZES]
    if sized:
        _check_sizes(workload, schedule.space, sized)


def _check_share(box: Space, rules: Sequence[Requirement], key: Key) -> None:
    share = allowed_share(box, rules, key)
    if share < LEAST:
        fixed = [name for name in box.names if not box[name].searched]
        closed = f" with {', '.join(fixed)} at their defaults" if fixed else ""
        raise ValueError(
            f"constraints: {share:.2%} of the space{closed} meets what jt.require "
            f"demands, and a search needs {LEAST:.1%}. Require less, or search a "
            "space in which more is allowed."
        )


def _check_sizes(workload: Workload, space: Space, limits: Sequence[Limit]) -> None:
    key = jax.random.key(0)  # trials of any search over this space
    drawn = np.asarray(jax.random.uniform(key, (TYPICAL, space.dim)))
    ends = np.asarray([[0.0], [BELOW_ONE]], np.float32) * np.ones(
        (2, space.dim), np.float32
    )
    hparams = jax.device_get(space.decode(np.concatenate([ends, drawn])))
    names = sizes_named(limits, ())
    sizes = sizes_of(workload, space, hparams, names)
    for limit in limits:
        if (violation([limit], sizes, TYPICAL + 2) > 0).all():
            values = sizes[limit.name]
            raise ValueError(
                f"constraints: {limit} holds for none of {TYPICAL + 2} trials spread "
                f"over the space, which have {values.min():g} to {values.max():g}. "
                "Change the bound or the space."
            )


def warn_if_infeasible(result: Result) -> None:
    """Warn where no trial of a search is within its limits."""
    limits = result.setup.constraints.limits
    if limits and not result.feasible.any() and np.isfinite(result.standing).any():
        warn(
            f"no trial has {' and '.join(map(str, limits))}: the best is the one that "
            "violates this least. Change the bounds, or search more trials.",
        )
