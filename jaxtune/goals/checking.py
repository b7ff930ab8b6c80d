"""Checks of constraints and goals against a task and a space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jaxtune.goals.arguments import Constraints, as_goals
from jaxtune.goals.limits import SIZES
from jaxtune.goals.order import Goal
from jaxtune.registry import recipe_of
from jaxtune.schedulers import Scheduler


def goals_and_score(
    given: Any, known: Mapping[str, str], metric: str | None, mode: str | None
) -> tuple[tuple[Goal, ...], str | None, str | None]:
    """Return the goals, and the metric and mode of the score.

    Args:
      given: the argument ``goals=``.
      known: name of the task's metrics to their modes.
      metric: the argument ``metric=``.
      mode: the argument ``mode=``.

    Returns:
      The goals; as the score the first of them that is no size, or ``metric`` and
      ``mode`` without goals.

    Raises:
      ValueError: both goals and a metric or a mode, or goals that are all sizes.
    """
    goals = as_goals(given, {**dict.fromkeys(SIZES, "min"), **known})
    if not goals:
        return goals, metric, mode
    if metric is not None or mode is not None:
        raise ValueError(
            f"goals: they take the place of metric={metric!r} and mode={mode!r}. Leave "
            "these out; a goal may be a pair such as ('loss', 'min')."
        )
    measured = [goal for goal in goals if goal.name not in SIZES]
    if not measured:
        raise ValueError(
            f"goals: {' and '.join(goal.name for goal in goals)} are known without "
            "training. Add a metric."
        )
    return goals, measured[0].name, measured[0].mode


def check_parts(scheduler: Scheduler, prior: Any, goals: Sequence[Goal]) -> None:
    """Refuse parts of a search that need one score, where there are several goals.

    Args:
      scheduler: of the search; one with ``bound`` adds standard errors.
      prior: the argument ``prior=``, earlier searches with a score.
      goals: of the search.
    """
    if goals and prior is not None:
        raise ValueError(
            f"prior: earlier searches have one score, and there are {len(goals)} "
            "goals. Leave prior out, or search for one metric."
        )
    recipe = recipe_of(scheduler)
    bound = dict(recipe.arguments).get("bound") if recipe else None
    if goals and bound:
        raise ValueError(
            f"scheduler: bound={bound} adds standard errors to one score, and there "
            f"are {len(goals)} goals. Leave bound out."
        )


def check_names(
    metrics: Iterable[str],
    names: Iterable[str],
    trains: bool,
    constraints: Constraints,
    goals: Sequence[Goal],
) -> None:
    """Refuse a limit or a goal of what no trial has.

    Args:
      metrics: that ``evaluate`` returns.
      names: of the hyperparameters.
      trains: whether the task trains.
      constraints: of the search.
      goals: of the search.

    Raises:
      ValueError: a name that is no metric and no size, or a size that is not known or
        whose column is taken.
    """
    metrics, names = list(metrics), list(names)
    limits = [("constraints", limit.name) for limit in constraints.limits]
    for word, name in [*limits, *(("goals", goal.name) for goal in goals)]:
        if name in SIZES:
            _check_size(word, name, metrics, names, trains)
        elif name in names:
            raise ValueError(
                f"{word}: {name!r} is a hyperparameter. Use jt.require(lambda h: "
                f"h[{name!r}] ...), or a smaller range."
            )
        elif name not in metrics:
            known = dict.fromkeys([*metrics, *(SIZES if trains else ())])
            more = "" if trains else " A plain function may return a dict of metrics."
            raise ValueError(
                f"{word}: got {name!r}. Use one of: {', '.join(known)}.{more}"
            )


def _check_size(
    word: str, name: str, metrics: list[str], names: list[str], trains: bool
) -> None:
    if not trains:
        raise ValueError(
            f"{word}: a plain function has no {name!r}. Return it with the others, in "
            f'a dict such as {{"value": ..., "size": ...}}, and use its name.'
        )
    for taken, what in ((metrics, "metric"), (names, "hyperparameter")):
        if name in taken:
            raise ValueError(
                f"{word}: {name!r} is a size of the model and the name of a {what}, "
                "and both need a column of the table. Rename the other."
            )
