"""The settings of a run: all that its numbers depend on, as JSON, and comparisons."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtune import environment
from jaxtune.checks import RunError, warn
from jaxtune.forms import AS_WRITTEN
from jaxtune.planning.scoring import LAST, Scoring, check_scoring
from jaxtune.planning.tracing import Traced
from jaxtune.reading import decoding, in_short
from jaxtune.registry import MAKERS, Recipe, recipe_of, remake
from jaxtune.results.about import about_task
from jaxtune.results.given import Given, UserChoices
from jaxtune.rounds.arguments import Search
from jaxtune.rounds.pace import usual_sampler
from jaxtune.rounds.refine import Refiner, zoom
from jaxtune.rounds.schedule import Schedule, check_crossed
from jaxtune.samplers import Sampler
from jaxtune.schedulers import in_full
from jaxtune.storage import fingerprint
from jaxtune.storage.aims import (
    constraints_document,
    constraints_of,
    goals_document,
    goals_of,
)
from jaxtune.storage.bounds import check_bounds
from jaxtune.storage.captured import callbacks_of
from jaxtune.storage.compared import (
    ALLOWED,
    LAST_BITS,
    argument_of,
    differences,
    in_words,
    way_out,
)
from jaxtune.storage.directory import SETTINGS, begun, check_directory, settings_of
from jaxtune.storage.documents import (
    Unserialisable,
    box_document,
    box_of,
    first_document,
    first_of,
    schedule_document,
    space_document,
    space_of,
    stages_of,
    value_document,
    value_of,
)
from jaxtune.storage.layouts import forms_of, layout_document, layout_of
from jaxtune.storage.own_code import code_of_search
from jaxtune.storage.past import prior_hashes
from jaxtune.storage.verified import check_written
from jaxtune.versions import SAME_BITS, WAYS

IN_FULL = recipe_of(in_full())

PACE = ("batches", "ahead")  # of a round

# the refiner of a search that was given none, up to version 0.2.0
FORMER_ZOOM = zoom(top=0.1, margin=1.0, evidence=0.05, rounds="last")


def settings_document(
    search: Search,
    traced: tuple[Traced, ...],
    given: UserChoices,
    device: dict[str, str],
) -> dict:
    """Return the settings of a run: all that its numbers depend on.

    Args:
      search: the requested search.
      traced: its traced programs.
      given: what the user chose.
      device: the kind of device that runs its blocks.

    Returns:
      The contents of ``run.json``.
    """
    workload = search.workload
    recipe = workload.task.recipe
    own = code_of_search(search)
    settings = {
        # first, as they explain other differences
        "jax": environment.jax_settings(),
        **arguments_document(search),
        "block_given": given.block,
        "rewrite_given": given.rewrite,
        "folds_given": given.folds,
        "about": about_task(workload.task),
        "code": own.sums,
        "programs": given.programs,
        "block": workload.width,
        "rates": workload.rates,
        "across": workload.across,
        "layout": layout_document(workload.layout),
        "task": fingerprint.task_hashes(workload, traced, search.schedule.space),
        "recipe": None if recipe is None else value_document(recipe),
        "version": environment.versions(),
        # samplers compute on the host
        "device": {"host": environment.host_kind(), **device},
        "flags": environment.flags(),
        "not_compared": [*own.unknown, *callbacks_of(traced).unknown],
    }
    # through JSON, so that tuples are lists as in the settings that are read
    return json.loads(json.dumps(settings))


def arguments_document(search: Search) -> dict[str, Any]:
    """Return the arguments of a search but its task: the part that is quick to know."""
    workload, start = search.workload, search.schedule.start
    made = {
        "sampler": search.sampler,
        "refine": search.refine,
        "scheduler": search.scheduler,
    }
    arguments = {
        "space": space_document(search.schedule.space),
        "rounds": schedule_document(search.schedule),
        "start": None if start is None else box_document(start),
        "key": {
            "implementation": str(jax.random.key_impl(workload.key)),
            "data": jax.random.key_data(workload.key).tolist(),
        },
        "epochs": workload.epochs,
        "seeds": search.seeds,
        "folds": search.folds,
        "metric": search.metric,
        "mode": search.mode,
        "score": workload.scoring.score,
        "history": workload.scoring.history,
        "keep": workload.keep,
        "budget": workload.budget_rows,
        **{name: _how_made(part) for name, part in made.items()},
        "sampler_way": _way_of(search.sampler),
        "default_sampler": usual_sampler(search.schedule.trials),
        "distinct": search.distinct,
        "by_budget": search.by_budget,
        "first": first_document(search.first),
        "prior": prior_hashes(search.prior),
        "constraints": constraints_document(search.constraints),
        "goals": goals_document(search.goals),
    }
    return json.loads(json.dumps(arguments))


def _how_made(part: Any) -> Any:
    """Return the recipe of one of jaxtune's own parts, or the name of a user's."""
    recipe = recipe_of(part)
    if recipe == IN_FULL:
        return None  # as in runs that began before there was this scheduler
    # a sampler or scheduler is a tuple of functions: the first one gives its name
    return value_document(recipe or (part[0] if isinstance(part, tuple) else part))


def check_same(
    recorded: dict[str, Any],
    requested: dict[str, Any],
    given: UserChoices,
    allow: Sequence[str],
) -> None:
    """Raise if a search must not resume a run, because its numbers would differ.

    Args:
      recorded: the settings of the run.
      requested: the settings of the search that is to resume it.
      given: what the user chose; other choices are taken from the run.
      allow: those of `ALLOWED` that may differ.

    Raises:
      RunError: a setting differs; the error has both values and the way out.
    """
    # these are adopted from the run, or follow from what is compared
    ignored = {"recipe", "layout", "rates", "distinct", "by_budget", "default_sampler"}
    ignored |= {"block_given", "rewrite_given", "folds_given", "about"}
    ignored |= {"sampler_way"}  # see `check_way`
    ignored |= {"not_compared", *check_allowed(allow)}
    if "code" in allow:
        ignored |= {"task.callbacks", "task.optimizer"}
        recorded, requested = _without_code(recorded), _without_code(requested)
    recorded, requested = without_pace(recorded), without_pace(requested)
    if given.block is None:
        ignored.add("block")
    if "block" in allow:
        ignored.add("across")  # a device's share of a block is a narrower block
    if not given.rewrite:  # otherwise the run's forms are adopted, whatever they are
        rewritten = forms_of(recorded["layout"]) != AS_WRITTEN
        _refuse({"rewrite": rewritten}, {"rewrite": False}, set())
    ignored |= _by_version(recorded) | _not_recorded(recorded, requested)
    _check_extension(recorded, requested)
    _refuse(recorded, requested, ignored)


def without_pace(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings without the batches of the rounds, which are the run's own."""
    rounds = [
        {name: part[name] for name in part if name not in PACE}
        for part in settings["rounds"]
    ]
    return settings | {"rounds": rounds}


def _without_code(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings without the hashes of the functions of requirements."""
    rules = [part | {"code": ""} for part in settings["constraints"]]
    return settings | {"constraints": rules}


def _way_of(sampler: Sampler) -> int:
    """Return the number of the way in which a sampler chooses points."""
    recipe = recipe_of(sampler)
    return 1 if recipe is None else WAYS.get(recipe.name, 1)


def check_way(
    recorded: dict[str, Any],
    requested: dict[str, Any],
    begun_rounds: int,
    allow: Sequence[str],
) -> None:
    """Raise if a run has rounds to come whose sampler chooses otherwise by now.

    Args:
      recorded: the settings of the run.
      requested: the settings of the search that is to resume it.
      begun_rounds: number of rounds whose points are on record.
      allow: as for `check_same`; ``"version"`` accepts other points.

    Raises:
      RunError: naming the version that chooses as the run began.
    """
    same = recorded["sampler_way"] == requested["sampler_way"]
    if same or "version" in allow or begun_rounds >= len(requested["rounds"]):
        return
    version = recorded["version"]["jaxtune"]
    raise RunError(
        "the run has rounds to come, and its sampler chooses points in another way "
        f"since it began. Finish it with that jaxtune ({version}), or accept other "
        "points: jaxtune.resume(directory, task, allow=['version'])."
    )


def _check_extension(recorded: dict[str, Any], requested: dict[str, Any]) -> None:
    """Raise for the search that a run was before it was extended."""
    rounds = requested["rounds"]
    if rounds == recorded["rounds"] or len(rounds) not in recorded.get("extended", ()):
        return
    if rounds == recorded["rounds"][: len(rounds)]:
        both = (rounds, recorded["rounds"])
        was, now = (sum(part["trials"] for part in parts) for parts in both)
        raise RunError(
            f"the run was extended from {was} to {now} trials since. Use "
            "jaxtune.load(directory), or jaxtune.resume if it is not finished."
        )


def with_more_rounds(
    recorded: dict[str, Any], requested: dict[str, Any], before: list[Any]
) -> dict[str, Any]:
    """Return the settings of a run with more rounds.

    Args:
      recorded: the settings of the run.
      requested: the settings of the search that extends it.
      before: the rounds that it is to be extended from, as they were read.

    Raises:
      RunError: the run has other rounds by now.
    """
    if recorded["rounds"] != before:
        raise RunError(
            "another process has extended the run meanwhile. Look at it with "
            "jaxtune.load, and extend it again."
        )
    since = [*recorded.get("extended", ()), len(before)]
    return recorded | {"rounds": requested["rounds"], "extended": since}


def check_allowed(allow: Sequence[str]) -> Sequence[str]:
    """Return ``allow``; raise ``ValueError`` for what no option allows."""
    unknown = [word for word in allow if word not in ALLOWED]
    if isinstance(allow, str) or unknown:
        raise ValueError(
            f"allow: got {allow!r}. Use a list of settings that change no more than "
            f"the last bits: {', '.join(LAST_BITS)}; or 'code', if your functions are "
            "written otherwise and mean the same."
        )
    return allow


def check_same_task(recorded: dict[str, Any], known: dict[str, Any]) -> None:
    """Raise ``RunError`` for another task than that of a run."""
    old, new = {"task": recorded["task"]}, {"task": known}
    _refuse(old, new, _by_version(recorded) | _not_recorded(old, new))


def warn_of_jax_settings(directory: Path, recorded: dict[str, Any]) -> None:
    """Warn where JAX is set to compute other numbers than in a run that is read."""
    try:
        check_jax_settings(recorded)
    except RunError as error:
        warn(
            f"{directory}: {error} Until then, whatever is trained again from this run "
            "differs from its table."
        )


def check_jax_settings(recorded: dict[str, Any]) -> None:
    """Raise ``RunError`` where JAX is set to compute other numbers than in a run."""
    old, new = {"jax": recorded["jax"]}, {"jax": environment.jax_settings()}
    _refuse(old, new, _not_recorded(old, new))


def _by_version(recorded: dict[str, Any]) -> set[str]:
    """Return what may differ because another version wrote the run."""
    was, now, ignored = dict(recorded["version"]), environment.versions(), set()
    programs = {"task.program", "task.constants", "task.elsewhere"}
    if was["jaxtune"] in SAME_BITS:
        was["jaxtune"] = now["jaxtune"]
        ignored.add("version.jaxtune")
        if "function" in recorded["task"]:
            ignored |= programs  # it was not the program of a task then
    if was != now:
        ignored |= programs  # versions of jax write a program differently
    return ignored


def _not_recorded(recorded: dict[str, Any], requested: dict[str, Any]) -> set[str]:
    """Return what a run of an earlier version, or another version of JAX, lacks."""
    unknown = {"code"} if recorded.get("code", {}) is None else set()
    for word in set(COMPARED_BY_NAME) - {"version"}:
        if word in recorded:
            unknown |= _missing(word, recorded[word], requested[word])
    return unknown


def _missing(
    word: str, recorded: dict[str, Any], requested: dict[str, Any]
) -> set[str]:
    new = {name for name in requested if name not in recorded}
    # settings of JAX come and go with its versions
    gone = {n for n in recorded if n not in requested and n.startswith("jax_")}
    return {f"{word}.{name}" for name in new | gone}


def _refuse(old: dict[str, Any], new: dict[str, Any], ignored: set[str]) -> None:
    found = [
        path
        for path in differences(old, new, "")
        if not any(path == p or path.startswith(f"{p}.") for p in ignored)
    ]
    if not found:
        return
    path = found[0]
    others = len({argument_of(path) for path in found}) - 1
    more = f" ({others} more difference{'s' * (others > 1)})" if others else ""
    raise RunError(
        f"the run has another {in_words(path, old, new)}{more}. {way_out(path, old)}"
    )


def adopt(search: Search, recorded: dict[str, Any]) -> Search:
    """Return the search with the width, layout and points that the run began with."""
    workload = search.workload._replace(
        width=recorded["block"],
        layout=layout_of(recorded["layout"]),
        rates=rates_of(recorded),
    )
    # a run goes on at its pace; that it has these rounds is checked by `check_same`
    stages, known = list(search.schedule.stages), stages_of(recorded["rounds"])
    for number, stage in enumerate(known[: len(stages)]):
        batches, ahead = stage.batches, stage.ahead
        stages[number] = stages[number]._replace(batches=batches, ahead=ahead)
    return search._replace(
        workload=workload,
        schedule=search.schedule._replace(stages=tuple(stages)),
        distinct=recorded["distinct"],
        by_budget=recorded["by_budget"],
        choices=choices_of(recorded),
    )


def choices_of(settings: dict[str, Any]) -> UserChoices:
    """Return what the user of a run chose, as far as it is recorded."""
    names = ("block_given", "programs", "rewrite_given", "folds_given")
    return UserChoices(*[settings[name] for name in names])


def given_of(settings: dict[str, Any]) -> Given:
    """Return the parts of a run's search, as they were given."""
    schedule = schedule_of(settings)
    return Given(
        sampler=value_of(settings["sampler"]),
        refine=value_of(settings["refine"]),
        scheduler=value_of(settings["scheduler"]),
        stages=schedule.stages,
        start=schedule.start,
        first=first_of(settings["first"]),
        earlier=len(settings["prior"]),
        choices=choices_of(settings),
        about={str(name): str(text) for name, text in settings["about"].items()},
        versions={str(name): str(text) for name, text in settings["version"].items()},
    )


class Defaults(NamedTuple):
    """The parts of a search that was given none: those of its run, if it has begun.

    Args:
      sampler: the name of a maker; ``None`` for the usual one.
      refine: a refiner.
      confirm: see `search`.
    """

    sampler: str | None
    refine: Refiner
    confirm: int


def defaults_of(directory: Any, confirm: int) -> Defaults:
    """Return the parts of a search that was given none.

    Args:
      directory: of the run; ``None`` without one.
      confirm: what a search that begins now would do.
    """
    if not begun(directory):
        return Defaults(None, zoom(), confirm)
    recorded = checked_settings(check_directory(directory))
    # a run that began with other numbers than a version's own is another search
    former = recorded["refine"] == _how_made(FORMER_ZOOM)
    repeats = [stage.confirms for stage in stages_of(recorded["rounds"])]
    return Defaults(
        recorded["default_sampler"],
        FORMER_ZOOM if former else zoom(),
        # a share was given, and is given again
        confirm if confirm in repeats else 0,
    )


def checked_settings(directory: Path) -> dict[str, Any]:
    """Read the settings of a run, and check that every part can be understood.

    Args:
      directory: the run directory.

    Returns:
      The contents of ``run.json``.

    Raises:
      RunError: no run, a damaged run, or a run of a newer version.
    """
    settings = {**EARLIER, **settings_of(directory)}
    check_written(directory)
    with decoding(directory / SETTINGS):
        check_bounds(settings)
        settings["refine"] = _zoom_of_earlier(settings["refine"])
        # read once only to see errors here, where they name the file
        schedule_of(settings)
        layout_of(settings["layout"])
        rates_of(settings)
        key_of(settings)
        first_of(settings["first"])
        for name in HOMES:
            value_of(settings[name])
        constraints_of(settings["constraints"])
        goals_of(settings["goals"])
        scoring_of(settings)
        missing = [name for name in NAMES if name not in settings]
        if missing:
            raise KeyError(missing[0])
        for name in OBJECTS:
            if not isinstance(settings[name], dict):
                raise TypeError(f"{name} is no object")
    return settings


def _zoom_of_earlier(document: Any) -> Any:
    """Return how a refiner was made; up to 0.2.0 zoom knew the last round alone."""
    if not isinstance(document, dict) or document.get("recipe") != "zoom":
        return document
    named = document["arguments"]
    return document | {"arguments": named | {"rounds": named.get("rounds", "last")}}


# settings that runs of earlier versions did not write: 0.1.0 lacks "across", and up to
# 0.2.0 trials could be repeated, and samplers were told ranks, by epochs first
EARLIER: dict[str, Any] = {
    "across": 1,
    "distinct": False,
    "by_budget": False,
    "folds": None,
    "score": LAST,
    "history": False,
    "first": [],
    "prior": [],
    "keep": None,
    "budget": 0,
    "default_sampler": "sobol",
    "block_given": None,
    "rewrite_given": True,
    "folds_given": None,
    "about": {},
    "sampler_way": 1,
    "constraints": [],
    "goals": [],
    "jax": {},
    "code": None,
    "not_compared": [],
}

# the settings whose parts are compared as far as both sides have them
COMPARED_BY_NAME = ("jax", "device", "flags", "task", "version")
OBJECTS = (*COMPARED_BY_NAME, "about")

# all are required: a missing setting means a damaged file, never a default
NAMES = (
    *("start", "epochs", "seeds", "metric", "mode", "sampler", "refine", "scheduler"),
    *("programs", "block", "rates", "task", "recipe", "version", "device", "flags"),
)


def schedule_of(settings: dict[str, Any]) -> Schedule:
    """Return the space of a run, its rounds, and the box that it began in."""
    space, start = space_of(settings["space"]), settings["start"]
    stages = stages_of(settings["rounds"])
    schedule = Schedule(space, stages, start and box_of(space, start))
    check_crossed(schedule)
    return schedule


def budgets_of(settings: dict[str, Any]) -> list[int]:
    """Return the epochs of a whole training in each round; 0 for plain functions."""
    stages = stages_of(settings["rounds"])
    return [s.epochs if s.epochs is not None else settings["epochs"] for s in stages]


def scoring_of(settings: dict[str, Any]) -> Scoring:
    """Return the rule by which the trials of a run get their scores."""
    score, history = settings["score"], settings["history"]
    rule = check_scoring(score, history, settings["epochs"])
    return rule._replace(metric=settings["metric"], mode=settings["mode"])


def key_of(settings: dict[str, Any]) -> Any:
    """Return the root key of a run."""
    data = jnp.asarray(settings["key"]["data"], jnp.uint32)
    key = jax.random.wrap_key_data(data, impl=settings["key"]["implementation"])
    if key.shape:
        raise ValueError(f"a key of shape {key.shape}")
    return key


def rates_of(settings: dict[str, Any]) -> tuple[tuple[int, float], ...]:
    """Return the rates that were measured to choose the width."""
    return tuple((width, rate) for width, rate in settings["rates"])


# the package that has the makers of a part
HOMES = {"sampler": "samplers", "refine": "rounds", "scheduler": "schedulers"}


def made_of(settings: dict[str, Any], name: str, given: Any) -> Any:
    """Return the given sampler, refiner or scheduler, or else that of a run.

    Args:
      settings: the settings of the run.
      name: ``"sampler"``, ``"refine"`` or ``"scheduler"``.
      given: the user's, or ``None``.

    Returns:
      The part; ``None`` if the run has no scheduler.

    Raises:
      RunError: a part of the user's own, which a run cannot hold.
    """
    if given is not None or settings[name] is None:
        return given
    recipe = value_of(settings[name])
    known = isinstance(recipe, Recipe) and recipe.name in MAKERS
    if not known or MAKERS[recipe.name].__module__.split(".")[1] != HOMES[name]:
        raise RunError(
            f"the run's {name} is not one of jaxtune's own ({recipe}), so a run cannot "
            f"hold it. Give it: jaxtune.resume(directory, task, {name}=...)."
        )
    for argument, value in recipe.arguments:
        if isinstance(value, Unserialisable):
            raise RunError(
                f"the run's {name} was made with {argument}={value}, which a run "
                f"cannot hold. Give it: jaxtune.resume(directory, task, {name}=...)."
            )
    try:
        return remake(recipe)
    except Exception as error:  # of any kind, as in `reading.decoding`
        raise RunError(
            f"the run's {name} cannot be made again ({in_short(error)}). Give it: "
            f"jaxtune.resume(directory, task, {name}=...)."
        ) from error
