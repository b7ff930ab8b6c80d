"""The call of a search, as Python text that gives the same table again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxtune.goals.arguments import Constraints
from jaxtune.planning.scoring import LAST
from jaxtune.registry import Recipe, recipe_of, remake
from jaxtune.report.code import (
    Names,
    choice_code,
    code_of,
    smaller_code,
    space_code,
)
from jaxtune.report.definition import smaller
from jaxtune.results.result import Result, Setup
from jaxtune.rounds.confirm import (
    Confirmation,
    check_confirm,
    less_the_repeats,
    with_confirmation,
)
from jaxtune.rounds.known import Setting, decoded_arrays
from jaxtune.rounds.pace import paced
from jaxtune.rounds.race import with_race
from jaxtune.rounds.refine import zoom
from jaxtune.rounds.roles import schedule_of_study
from jaxtune.rounds.schedule import Schedule, Stage, flat, tiered
from jaxtune.schedulers import in_full
from jaxtune.space import Space
from jaxtune.storage.documents import value_document, value_of


class PrintedCall(NamedTuple):
    """The call of a search.

    Args:
      space: the search space as Python text, which defines ``space``.
      text: the call itself; it reads ``task``, ``space``, ``jt``, ``jax``, ``jnp``.
      names: of the variables that a reader has to define, since they stand for what
        has no text: the variable to what it is.
    """

    space: str
    text: str
    names: dict[str, str]


def printed_call(result: Result) -> PrintedCall:
    """Return the call that makes a search again, to the bit.

    Args:
      result: of the search, or of its run directory.
    """
    setup, names = result.setup, Names()
    space = f"space = {space_code(setup.space, names)}"
    study = _study(setup)
    subject, rounds, block = study or _rounds(setup)
    arguments = {
        "key": _key(setup.workload.key),
        **rounds,
        **_parts(setup, names),
        **_scores(setup, names),
        **_identity(setup, block),
    }
    lines = [f"    {name}={text}," for name, text in arguments.items()]
    name, end = ("study", ").result") if study else ("search", ")")
    text = "\n".join([f"jt.{name}(", f"    task, {subject},", *lines, end])
    return PrintedCall(space, text, {name: what for what, name in names.known.items()})


def _key(key: Any) -> str:
    """Return a key as the number that it is made of, if there is one, or its data."""
    words, kind = np.asarray(jax.random.key_data(key)), str(jax.random.key_impl(key))
    usual = kind == str(jax.random.key_impl(jax.random.key(0)))
    if usual and words.size == 2 and not words[0] and words[1] < 2**31:
        return f"jax.random.key({words[1]})"
    data = f"jnp.array({words.tolist()}, dtype='uint32')"
    return f"jax.random.wrap_key_data({data}, impl={kind!r})"


def _rounds(setup: Setup) -> tuple[str, dict[str, str], int | None]:
    """Return what is searched, and the arguments that lay out the rounds.

    Returns:
      Both, and the lanes of a block; ``None`` if they are not to be said.
    """
    stages = setup.given.stages
    again = [stage for stage in stages if stage.confirms and not stage.races]
    number = sum(not stage.confirms for stage in stages)
    trials = _asked(setup)
    found = _confirmation(again, trials)
    confirm = {"confirm": repr(found)} if found else {}
    for block in _blocks(setup):
        if _lays_out(setup, found, block, _plain):
            rounds = {"rounds": repr(number)} if number > 1 else {}
            return "space", {"trials": repr(trials), **rounds, **confirm}, block
        for each in range(1, number + 1):
            if _lays_out(setup, found, block, partial(_by_tiers, each)):
                tiers = f"jt.tiered(space, {trials}, rounds={each})"
                return tiers, confirm, block
    shown = ", ".join(map(_stage, stages))
    return f"jt.Schedule(space, ({shown},))", {}, _width(setup)


def _blocks(setup: Setup) -> list[int | None]:
    """Return what may be said of the lanes of a block, the preferred first."""
    # batches fill a block that is said; one that was not said follows from the rest
    return [_width(setup)] if setup.given.choices.block else [_width(setup), None]


def _asked(setup: Setup) -> int:
    """Return the trials that a search was asked for; those of a race are on top."""
    return setup.trials - sum(s.trials for s in setup.given.stages if s.races)


def _study(setup: Setup) -> tuple[str, dict[str, str], int | None] | None:
    """Return what `_rounds` does, for a study; ``None`` if the rounds are not its."""
    names = setup.given.stages[0].compares
    if not names or len(setup.given.stages) != 2:
        return None
    count = Schedule(setup.space, setup.given.stages).combinations
    trials, repeats = (stage.trials // count for stage in setup.given.stages)
    schedule = schedule_of_study(setup.space, names, trials, repeats)
    for block in _blocks(setup):
        if _lays_out(setup, None, block, lambda *_: schedule):
            rounds = {
                "scientific": repr(list(names)),
                "trials": repr(trials),
                "repeats": repr(repeats),
            }
            return "space", rounds, block
    return None


def _confirmation(again: Sequence[Stage], trials: int) -> int | float | None:
    """Return ``confirm=`` of a search; ``None`` without it, or if there is no such."""
    if len(again) != 1:
        return None
    (stage,) = again
    share = stage.trials / trials
    # a share is rounded to whole trials: the one of the fewest digits was given
    for found in (stage.confirms, *(round(share, n) for n in range(1, 16)), share):
        with suppress(ValueError):
            if check_confirm(found, trials) == (stage.confirms, stage.trials):
                return found
    return None


def _plain(space: Space, trials: int, rounds: int, again: Confirmation) -> Schedule:
    return with_confirmation(flat(space, trials - again.trials, rounds), again)


def _by_tiers(
    each: int, space: Space, trials: int, rounds: int, again: Confirmation
) -> Schedule:
    del rounds  # follows from those of each tier
    return with_confirmation(
        less_the_repeats(tiered(space, trials, each), again), again
    )


def _lays_out(
    setup: Setup,
    confirm: int | float | None,
    block: int | None,
    lay_out: Callable[[Space, int, int, Confirmation], Schedule],
) -> bool:
    """Return whether a way to lay out rounds gives those of the search."""
    stages = setup.given.stages
    rounds = sum(not stage.confirms for stage in stages)
    try:
        again = check_confirm(confirm, _asked(setup))
        schedule = lay_out(setup.space, _asked(setup), rounds, again)
    except ValueError:  # such rounds cannot be filled
        return False
    workload, given = setup.workload, setup.given
    sampler, scheduler = _made(given.sampler), _made(given.scheduler) or in_full()
    schedule = with_race(schedule, scheduler.race, setup.repeats, block)
    if sampler is None:  # of the user's own, which is asked once a round
        return schedule.stages == stages
    stream = None if workload.task is None else workload.task.stream
    folds = None if setup.folds is None else SimpleNamespace(number=setup.folds)
    task: Any = SimpleNamespace(trains=workload.trains, stream=stream, folds=folds)
    batched = paced(schedule, sampler, scheduler, task, setup.seeds, block)
    return batched.stages == stages


def _stage(stage: Stage) -> str:
    """Return a stage as Python text."""
    searched = repr(stage.searched)
    usual = Stage(stage.searched, stage.trials)
    more = [
        f"{name}={getattr(stage, name)!r}"
        for name in Stage._fields
        if getattr(stage, name) != getattr(usual, name)
    ]
    return f"jt.Stage({', '.join([searched, repr(stage.trials), *more])})"


def _made(part: Any) -> Any:
    """Return a part of jaxtune's own, of which a run has the recipe; else ``None``."""
    found = value_of(value_document(part))
    return remake(found) if isinstance(found, Recipe) else None


def _parts(setup: Setup, names: Names) -> dict[str, str]:
    """Return the arguments that say which trials are tried, and how long."""
    given, space = setup.given, setup.space
    found = {name: getattr(given, name) for name in ("sampler", "refine", "scheduler")}
    # all trials train in full where there is no scheduler
    usual = {"refine": zoom(), "scheduler": in_full()}
    parts = {
        name: code_of(part, names)
        for name, part in found.items()
        if part is not None
        and value_of(value_document(part)) != _recipe(usual.get(name))
    }
    if given.start is not None:
        bounds = smaller(space, given.start)
        parts["start"] = f"space{smaller_code(space, bounds, {}, names)}"
    if given.first:
        settings = [_setting(space, setting, names) for setting in given.first]
        parts["first"] = f"[{', '.join(settings)}]"
    if given.earlier:
        plural = "es" * (given.earlier > 1)
        what = f"{given.earlier} earlier search{plural}: a result, a run directory"
        parts["prior"] = names.of(what + ", or a list of them", "earlier")
    return parts


def _recipe(part: Any) -> Any:
    return None if part is None else value_of(value_document(recipe_of(part)))


def _setting(space: Space, setting: Setting, names: Names) -> str:
    """Return a known setting, without the values that nothing would read."""
    read = space.values(decoded_arrays(space, [setting]), 0)
    values = {
        name: choice_code(space[name], value, names)
        if space[name].choices
        else code_of(value, names)
        for name, value in setting.items()
        if name in read
    }
    return f"{{{', '.join(f'{name!r}: {code}' for name, code in values.items())}}}"


def _scores(setup: Setup, names: Names) -> dict[str, str]:
    """Return the arguments that say how trials are trained and scored."""
    workload, given = setup.workload, setup.given
    scoring = workload.scoring
    goals = [tuple(goal) for goal in setup.goals]
    value = not workload.trains and setup.metric == "value"
    parts: dict[str, Any] = {
        "epochs": workload.epochs or None,
        "seeds": setup.seeds if setup.seeds > 1 else None,
        "metric": None if goals or value else setup.metric,
        "mode": None if goals else setup.mode,
        "score": None if scoring.score == LAST else scoring.score,
        "history": scoring.history or None,
        "keep": workload.keep,
        "budget": "examples" if workload.budget_rows else None,
        "goals": goals or None,
    }
    found = {k: code_of(v, names) for k, v in parts.items() if v is not None}
    if setup.folds is not None:
        own = f"the {setup.folds} folds, unless they were a number: groups, or rows"
        number = given.choices.folds
        found["folds"] = names.of(own, "folds") if number is None else repr(number)
    if setup.constraints.limits or setup.constraints.rules:
        found["constraints"] = _constraints(setup.constraints, names)
    return found


def _constraints(constraints: Constraints, names: Names) -> str:
    """Return constraints as they are given to a search."""
    limits = [
        {limit.name: (limit.relation, limit.bound)} for limit in constraints.limits
    ]
    parts = [code_of(limit, names) for limit in limits]
    seen: Counter[str] = Counter()
    for rule in constraints.rules:
        seen[rule.name] += 1
        what = f"the function {rule.name} of a requirement"
        likely = "rule" if rule.name == "<lambda>" else rule.name.rpartition(".")[2]
        parts.append(f"jt.require({names.of(what, likely, seen[rule.name])})")
    return f"[{', '.join(parts)}]"


def _identity(setup: Setup, block: int | None) -> dict[str, str]:
    """Return the arguments on which the last bits of every trial depend."""
    choices = setup.given.choices
    wanted = {"block": block, "programs": choices.programs}
    rewrite = {} if choices.rewrite else {"rewrite": "False"}
    return {
        n: repr(value) for n, value in wanted.items() if value is not None
    } | rewrite


def _width(setup: Setup) -> int:
    """Return the lanes of a block; on several devices, of the share of each."""
    return setup.workload.width // setup.workload.across
