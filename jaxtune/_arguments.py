"""The arguments of a search, checked one by one before anything is traced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtune import _named, ranking
from jaxtune.checks import is_whole, warn
from jaxtune.door import (
    FLAG,
    NAMES,
    SOME_NAMES,
    Argument,
    an,
    demand,
    either,
    list_of,
    one_of,
    optional,
    real,
    whole,
)
from jaxtune.goals.arguments import Constraints
from jaxtune.planning.probabilities import ends_in_softmax
from jaxtune.planning.scoring import LAST, Scoring
from jaxtune.planning.subsets import BUDGETS, EPOCHS
from jaxtune.planning.tracing import Traced
from jaxtune.rounds.confirm import check_confirm, less_the_repeats, with_confirmation
from jaxtune.rounds.schedule import Schedule, Stage, check_crossed, flat
from jaxtune.samplers.crossing import parts_of
from jaxtune.schedulers import Scheduler
from jaxtune.space import A_SPACE, Space, as_space, check_part, with_default_inside
from jaxtune.space.values import is_number
from jaxtune.tasks import Task, optimizers
from jaxtune.tasks.spelling import STANDARD, standard_name

BUDGET = one_of(*BUDGETS)
MOST = 1000  # dimensions: what decodes them is unrolled
WIDEST = 2**20  # lanes in a block, which are all computed, also where most are empty
BLOCK = optional(whole(1, WIDEST))
VERBOSE = either(FLAG, whole(0))
CALLBACKS = list_of(
    Argument("a Callback", lambda value: hasattr(value, "on_round")),
)
ALLOW = SOME_NAMES._replace(way_out="Use a list, such as ['block'].")
TUPLE = NAMES._replace(
    words="a tuple of names",
    holds=lambda value: isinstance(value, tuple) and NAMES.holds(value),
)
BATCHES = Argument(
    "a tuple of whole numbers from 1",
    lambda value: isinstance(value, tuple) and all(is_whole(size, 1) for size in value),
)
A_STAGE = an("a Stage", Stage, "Use jaxtune.Stage(names, trials), or tiered(...).")


def checked_scheduler(task: Task, given: Any) -> Scheduler:
    """Return the scheduler; ``ValueError`` for one where nothing is trained."""
    scheduler = _named.scheduler(given)
    races_alone = scheduler.race is not None and scheduler.race.alone
    if given is not None and not task.trains and not races_alone:
        raise ValueError(
            "scheduler: a plain function has no epochs to stop at. Leave it out; only "
            "schedulers.race() suits one."
        )
    return scheduler


def schedule_for(
    space: Any, trials: int | None, rounds: int | None, confirm: Any = None
) -> Schedule:
    """Return the rounds of a search over a space, or those of a schedule."""
    rounds = 1 if rounds is None else rounds
    if isinstance(space, Schedule):
        _check_schedule(space)
        if (trials or space.trials) != space.trials or rounds != 1:
            raise ValueError(
                f"trials={trials}, rounds={rounds}: the schedule has {space.trials} "
                f"trials in {len(space.stages)} rounds of its own. Leave both out."
            )
        again = check_confirm(confirm, space.trials)
        return with_confirmation(less_the_repeats(space, again), again)
    space = as_space(space)
    _check_size(space)
    if trials is None:
        raise ValueError("trials: say how many configurations to try.")
    check_counts(trials=trials, rounds=rounds)
    again = check_confirm(confirm, trials)
    if trials - again.trials < rounds:
        less = f", of which {again.trials} confirm," if again.trials else ""
        raise ValueError(
            f"trials={trials}{less} cannot fill rounds={rounds}. trials is the number "
            "of all trials, over all rounds."
        )
    # in trials where a dimension does not matter, it has its default
    conditional = [name for name in space.searched if space[name].condition]
    inside = {name: with_default_inside(space[name]) for name in conditional}
    searched = flat(space.replace(**inside), trials - again.trials, rounds)
    return with_confirmation(searched, again)


def _check_schedule(schedule: Schedule) -> None:
    """Raise ``ValueError`` for a schedule that the user has put together wrongly."""
    demand("Schedule", "space", schedule.space, A_SPACE)
    demand("Schedule", "stages", schedule.stages, list_of(A_STAGE, 1))
    for stage in schedule.stages:
        demand("Stage", "searched", stage.searched, TUPLE)
        demand("Stage", "trials", stage.trials, whole(1))
        demand("Stage", "epochs", stage.epochs, optional(whole(1)))
        demand("Stage", "batches", stage.batches, BATCHES)
        if stage.batches and sum(stage.batches) != stage.trials:
            raise ValueError(
                f"Stage: batches={stage.batches} have {sum(stage.batches)} trials, and "
                f"the stage {stage.trials}. Make them equal, or leave batches out."
            )
        unknown = [n for n in stage.searched if n not in schedule.space.searched]
        if unknown:
            raise ValueError(
                f"Stage: searched has {unknown[0]!r}, and the space searches "
                f"{', '.join(schedule.space.searched)}. Use these names."
            )
    _check_size(schedule.space)


def _check_size(space: Space) -> None:
    if space.dim > MOST:
        raise ValueError(
            f"space: {space.dim} dimensions are searched, and programs of more than "
            f"{MOST} compile for minutes. Search fewer, or one number that several of "
            "them follow from."
        )


def check_repeatable(
    schedule: Schedule, scheduler: Scheduler, goals: Sequence[Any]
) -> None:
    """Raise ``ValueError`` where the best cannot be measured again.

    Args:
      schedule: the rounds.
      scheduler: of the search.
      goals: several goals in place of a score.
    """
    if not schedule.confirms:
        return
    if goals:
        raise ValueError(
            f"{schedule.confirmed_by}: it needs one score, and there are {len(goals)} "
            "goals. Leave it out, or search for one metric."
        )
    if scheduler.explore is not None:
        raise ValueError(
            "confirm: under population based training no trial has one setting, so it "
            "cannot be repeated. Leave it out, or use another scheduler."
        )


def check_compared(
    schedule: Schedule,
    scheduler: Scheduler,
    constraints: Constraints,
    goals: Sequence[Any],
    others: Sequence[Any],
) -> None:
    """Raise ``ValueError`` for a study whose values would not be tuned alike.

    Args:
      schedule: the rounds.
      scheduler: of the search.
      constraints: of the search.
      goals: several goals in place of a score.
      others: known settings, earlier searches, a box to start in; ``None`` for none.
    """
    if not schedule.compared:
        return
    if scheduler.race is not None:
        raise ValueError(
            "study: it measures the best of each value again itself, so it holds no "
            "race. Use another scheduler, and repeats= for more measurements."
        )
    check_crossed(schedule)
    if goals:
        raise ValueError(
            f"study: values are compared by one score, and there are {len(goals)} "
            "goals. Use metric=, and constraints= for the other ones."
        )
    if scheduler.explore is not None:
        raise ValueError(
            "study: under population based training no trial has one setting, so "
            "values cannot be compared. Use another scheduler."
        )
    if constraints.rules:
        raise ValueError(
            "study: a requirement may allow a setting with one value and not with "
            "another, so that they are not tuned alike. Make the space smaller, or "
            "constrain a metric or a size."
        )
    if any(part is not None for part in others):
        raise ValueError(
            "study: first, prior and start favour some values. Leave them out."
        )


def check_random(traced: tuple[Traced, ...], trains: bool, schedule: Schedule) -> None:
    """Raise ``ValueError`` if a function that is to be repeated is not random."""
    if trains or any(one.random for one in traced):
        return
    if schedule.compared:
        raise ValueError(
            "study: the function does not read its key, so fresh seeds give the same "
            "number. Search, and look at the trials of each value."
        )
    raise ValueError(
        f"{schedule.confirmed_by}: the function does not read its key, so measuring "
        "again gives the same number. Leave it out."
    )


def check_start(schedule: Schedule) -> None:
    """Raise ``ValueError`` for a box to start in that is no part of the space."""
    space, start = schedule.space, schedule.start
    if start is None:
        return
    check_part(space, start, "start")
    if start.searched != space.searched:
        raise ValueError(
            f"start: it searches {', '.join(start.searched)}, the space "
            f"{', '.join(space.searched)}. Use space.restrict(...), and fix nothing."
        )


def given_sizes(**sizes: int | None) -> dict[str, Any]:
    """Return the sizes that were given, by name."""
    return {name: size for name, size in sizes.items() if size is not None}


def check_counts(**sizes: Any) -> None:
    """Raise ``ValueError`` for a size that is no whole number from 1."""
    for name, size in sizes.items():
        if not is_whole(size, 1):
            raise ValueError(f"{name}: got {size!r}. Use a whole number from 1.")
        if name == "block" and size > WIDEST:
            raise ValueError(f"block: got {size}. Use at most {WIDEST} lanes.")


def checked_budget(task: Task, epochs: int | None) -> int:
    """Return the epochs of a whole training; 0 for a plain function."""
    if not task.trains:
        if epochs is not None:
            raise ValueError(f"epochs={epochs}: a plain function is not trained.")
        return 0
    if not is_whole(epochs, 1):
        raise ValueError(f"epochs: got {epochs!r}. A task needs a whole number from 1.")
    return epochs


def checked_subsets(
    task: Task,
    budget: str,
    scheduler: Scheduler,
    schedule: Schedule,
    scoring: Scoring,
) -> int:
    """Return the training rows that budgets are shares of; 0 if they are epochs.

    Args:
      task: with its folds.
      budget: the argument of `search`.
      scheduler: of the search.
      schedule: the rounds.
      scoring: the rule of the scores.

    Raises:
      ValueError: a search that has no use for subsets of the data.
    """
    if budget == EPOCHS:
        return 0

    def refuse(where: str, why: str, way_out: str) -> None:
        raise ValueError(f"{where}: {why} under budget={budget!r}. {way_out}")

    if not task.trains:
        refuse("budget", "a plain function has no training data", "Leave it out.")
    if task.stream is not None:
        out = f"Use arrays as train, or budget={EPOCHS!r}."
        refuse("train", "a stream is read as a whole, and has no subsets", out)
    if scheduler.explore is not None:
        out = f"Use budget={EPOCHS!r}, or another scheduler."
        why = "pbt() has no use: no trial goes on from the state of another one"
        refuse("scheduler", why, out)
    if scoring.each_epoch:
        given = "history=True" if scoring.score == LAST else f"score={scoring.score!r}"
        out = f"Leave one of them out, or use budget={EPOCHS!r}."
        refuse(given, "epochs of subsets of the data are not compared", out)
    if any(stage.epochs is not None for stage in schedule.stages):
        refuse("Stage", "all rounds have the same epochs", "Leave epochs out of it.")
    return task.examples_of_a_lane


def checked_objective(
    task: Task, space: Space, metric: str | None, mode: str | None
) -> tuple[str, str]:
    """Return the metric that is the score, and its mode."""
    known = dict(task.metrics)
    if not task.trains:  # the metrics of a dict that it returns are known later
        metric = "value" if metric is None else metric
    metric = metric or next(iter(known), None)
    if metric is None or (known and metric not in known):
        names = ", ".join(known) or "whatever evaluate returns"
        raise ValueError(f"metric: got {metric!r}. Use one of: {names}.")
    mode = mode or known.get(metric)
    if mode is None:
        raise ValueError("mode: say whether scores are better when 'max' or 'min'.")
    ranking.direction(mode)
    _check_limits(task, space)
    taken = [name for name in known if name in space.names]
    if taken:
        raise ValueError(f"space: {taken[0]!r} is a metric of the task. Rename it.")
    return metric, mode


def _check_limits(task: Task, space: Space) -> None:
    _check_ranges(task, space)
    for name, (low, high) in task.limits:
        if name not in space.names:
            continue
        # a list need not be in order, nor of numbers, which the layout checks
        ends = space[name].choices or space[name].bounds
        if not all(is_number(end) for end in ends):
            continue
        bounds = min(ends), max(ends)
        if not low <= bounds[0] <= bounds[1] <= high:
            raise ValueError(
                f"dimension {name!r}: the space has {bounds}, but the model takes "
                f"{low} to {high}. Change the space, or make the model larger."
            )


def _check_ranges(task: Task, space: Space) -> None:
    """Raise ``ValueError`` for numbers that our optimisers and models cannot take."""
    ranges: dict[str, Argument] = {}
    if task.trains and optimizers.reads_standard_names(task.optimizer):
        ranges |= optimizers.RANGES
    if ("hidden_units", "max_units") in task.padding:
        ranges["dropout"] = real(0, 1)
    for name in ranges.keys() & set(space.names):
        for value in space[name].choices or space[name].bounds:
            if is_number(value):
                demand("space", name, value, ranges[name])


def check_metric(traced: tuple[Traced, ...], metric: str, trains: bool) -> None:
    """Raise ``ValueError`` for a score that the programs do not return."""
    for program in traced:
        if program.metrics == ("value",) and metric != "value" and not trains:
            raise ValueError(f"metric={metric!r}: a plain function has only its value.")
        if metric not in program.metrics and not trains:
            raise ValueError(
                f"metric: the function returns {', '.join(program.metrics)}. Say which "
                f"is the score, as in metric={program.metrics[0]!r}, or use goals=."
            )
        if metric not in program.metrics:
            raise ValueError(
                f"metric: got {metric!r}, but evaluate returns "
                f"{', '.join(program.metrics) or 'nothing'}. Use one of these."
            )


def warn_about_outputs(task: Task, traced: tuple[Traced, ...]) -> None:
    """Warn of a classifier whose outputs look like probabilities."""
    if task.classes and any(ends_in_softmax(one.jaxpr.jaxpr) for one in traced):
        warn(
            "model: its outputs are probabilities, made by a softmax or a sigmoid, and "
            "the cross-entropy and the accuracy take logits. Return those instead.",
        )


def warn_about_space(ignored: list[str], task: Task, schedule: Schedule) -> None:
    """Warn of dimensions that nothing reads, and of trials that must repeat."""
    space, trials = schedule.space, schedule.searched_trials
    if ignored:
        # a plain function has no standard names
        sizes = [name for name, _ in task.limits if name not in space.names]
        meant = _meant(ignored, space, sizes) if task.trains else ""
        them = "it" if len(ignored) == 1 else "them"
        warn(
            f"nothing reads {', '.join(ignored)}: searching {them} changes no score. "
            f"Check the spelling{meant}, or fix {them} with "
            "space.keep(...).",
        )
    count = space.size
    if schedule.compared:
        _warn_about_study(space, schedule.compared, trials)
    elif count < trials:
        every = f"{count} configurations" if count > 1 else "one configuration"
        warn(
            f"this space has {every}, so that {trials} trials repeat some. "
            f"trials={count} tries each of them once; seeds=... trains each of them "
            "several times.",
        )


def _warn_about_study(space: Space, names: Sequence[str], trials: int) -> None:
    """Warn of settings that must repeat with some value of a study."""
    parts = parts_of(space, names)
    trials, count = trials // len(parts), min(part.size for part in parts)
    if count < trials:
        settings = f"{count} settings" if count > 1 else "one setting"
        warn(
            f"this space has {settings} of the nuisances, so that {trials} trials of "
            f"each value repeat some. trials={max(2, count)} tries each of them once; "
            "repeats=... measures the best ones more often.",
        )


def _meant(ignored: list[str], space: Space, sizes: list[str]) -> str:
    """Return the names that may have been meant, in brackets.

    They are standard ones, and the sizes of the model that the space does not have.
    """
    names = {name: standard_name(name) for name in ignored}
    known = [f"{name}: {m}?" for name, m in names.items() if m and m not in space.names]
    others = [name for name, m in names.items() if not m and name not in STANDARD]
    if others and sizes:
        known += [f"the model also reads {' and '.join(sizes)}"]
    return f" ({', '.join(known)})" if known else ""
