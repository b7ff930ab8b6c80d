"""What a search is a function of, as a document; and how two of them differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtune import environment
from jaxtune.checks import RunError
from jaxtune.planning.layout import Bucket, Layout
from jaxtune.planning.tracing import Traced
from jaxtune.programs.lane import Batching
from jaxtune.registry import MAKERS, Recipe, recipe_of, remake
from jaxtune.rounds.loop import Search
from jaxtune.rounds.schedule import Schedule
from jaxtune.schedulers import in_full
from jaxtune.storage import fingerprint
from jaxtune.storage.directory import SETTINGS, settings_of
from jaxtune.storage.documents import (
    Unserialisable,
    box_document,
    box_of,
    schedule_document,
    space_document,
    space_of,
    stages_of,
    value_document,
    value_of,
)
from jaxtune.versions import SAME_BITS

IN_FULL = recipe_of(in_full())

LAST_BITS = ("version", "device", "flags", "block")
"""What may differ if one says so, because it changes no more than the last bits."""


class UserChoices(NamedTuple):
    """What the user chose, or left to us.

    Args:
      block: lanes in a block.
      programs: for padded shapes, at most.
    """

    block: int | None = None
    programs: int | None = None


def settings_document(
    search: Search,
    traced: tuple[Traced, ...],
    given: UserChoices,
    device: dict[str, str],
) -> dict:
    """The settings of a run: all that its numbers depend on."""
    workload = search.workload
    start = search.schedule.start
    made = {
        "sampler": search.sampler,
        "refine": search.refine,
        "scheduler": search.scheduler,
    }
    recipe = workload.task.recipe
    settings = {
        "space": space_document(search.schedule.space),
        "rounds": schedule_document(search.schedule),
        "start": None if start is None else box_document(start),
        "key": {
            "implementation": str(jax.random.key_impl(workload.key)),
            "data": jax.random.key_data(workload.key).tolist(),
        },
        "epochs": workload.epochs,
        "seeds": search.seeds,
        "metric": search.metric,
        "mode": search.mode,
        **{name: _how_made(part) for name, part in made.items()},
        "programs": given.programs,
        "block": workload.width,
        "rates": workload.rates,
        "across": workload.across,
        "layout": _layout_document(workload.layout),
        "task": fingerprint.task_hashes(workload, traced),
        "recipe": None if recipe is None else value_document(recipe),
        "version": environment.versions(),
        "device": device,
        "flags": environment.flags(),
    }
    return json.loads(json.dumps(settings))


def _how_made(part: Any) -> Any:
    """Return the recipe of one of ours, or a name for one of the user's own."""
    recipe = recipe_of(part)
    if recipe == IN_FULL:
        return None  # as runs say it that began before there was this scheduler
    return value_document(recipe or (part[0] if isinstance(part, tuple) else part))


def check_same(
    recorded: dict[str, Any],
    asked: dict[str, Any],
    given: UserChoices,
    allow: Sequence[str],
) -> None:
    """Refuse to go on with a run whose numbers would not be those of one search.

    Args:
      recorded: the settings of the run.
      asked: those of the search that is to go on with it.
      given: what the user chose; what was left to us is as recorded.
      allow: of `LAST_BITS`, what may differ.

    Raises:
      RunError: naming what differs, both values, and the way out.
    """
    passed = {"recipe", "layout", "rates", *check_allowed(allow)}
    if given.block is None:
        passed.add("block")
    if "block" in allow:
        passed.add("across")  # a share of a block is a narrower one
    _refuse(recorded, asked, passed | _by_version(recorded))


def check_allowed(allow: Sequence[str]) -> Sequence[str]:
    """Refuse to allow what changes more than the last bits; ``ValueError``."""
    unknown = [word for word in allow if word not in LAST_BITS]
    if isinstance(allow, str) or unknown:
        raise ValueError(
            f"allow: got {allow!r}. Use a list of what may differ, since it changes no "
            f"more than the last bits: {', '.join(LAST_BITS)}."
        )
    return allow


def check_same_task(recorded: dict[str, Any], known: dict[str, Any]) -> None:
    """Refuse another task than that of a run; ``RunError``."""
    _refuse({"task": recorded["task"]}, {"task": known}, _by_version(recorded))


def _by_version(recorded: dict[str, Any]) -> set[str]:
    """Return what may differ since other versions wrote a run."""
    was, now = dict(recorded["version"]), environment.versions()
    passed = set()
    if was["jaxtune"] in SAME_BITS:
        was["jaxtune"] = now["jaxtune"]
        passed.add("version.jaxtune")
        if "function" in recorded["task"]:
            passed.add("task.program")  # it was not the program of a task then
    if was != now:
        passed.add("task.program")  # a program's text is that of one version
    return passed


def _refuse(old: dict[str, Any], new: dict[str, Any], passed: set[str]) -> None:
    found = [
        (path, was, now)
        for path, was, now in _differences(old, new, "")
        if not any(path == p or path.startswith(f"{p}.") for p in passed)
    ]
    if not found:
        return
    path, was, now = found[0]
    word = path.split(".")[0]
    more = f" ({len(found) - 1} more differences)" if len(found) > 1 else ""
    way_out = "Use what the run began with, or another directory."
    if word in LAST_BITS:
        call = f"jaxtune.resume(directory, task, allow=[{word!r}])"
        way_out = f"If other last bits are fine: {call}."
    raise RunError(
        f"the run has another {path}: {_short(was)}, now {_short(now)}{more}. {way_out}"
    )


def _differences(old: Any, new: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        both = [*new, *[name for name in old if path and name not in new]]
        for name in both:
            inside = f"{path}.{name}" if path else name
            yield from _differences(old.get(name), new.get(name), inside)
    elif old != new:
        yield path, old, new


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def adopt(search: Search, recorded: dict[str, Any]) -> Search:
    """The search with the block width and layout that the run began with."""
    workload = search.workload._replace(
        width=recorded["block"],
        layout=layout_of(recorded["layout"]),
        rates=rates_of(recorded),
    )
    return search._replace(workload=workload)


def checked_settings(directory: Path) -> dict[str, Any]:
    """The settings of a run, every part of which can be read.

    Raises:
      RunError: no run there, a damaged one, or one from a newer version.
    """
    settings = {"across": 1, **settings_of(directory)}  # version 0.1.0 does not say
    try:
        schedule_of(settings)
        layout_of(settings["layout"])
        rates_of(settings)
        key_of(settings)
        missing = [name for name in NAMES if name not in settings]
        if missing:
            raise KeyError(missing[0])
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise RunError(
            f"{directory / SETTINGS} is damaged ({error!r}). Use a copy of it."
        ) from error
    return settings


NAMES = (
    *("start", "epochs", "seeds", "metric", "mode", "sampler", "refine", "scheduler"),
    *("programs", "block", "rates", "task", "recipe", "version", "device", "flags"),
)


def schedule_of(settings: dict[str, Any]) -> Schedule:
    """The space of a run, its rounds, and the box it began in."""
    space, start = space_of(settings["space"]), settings["start"]
    stages = stages_of(settings["rounds"])
    return Schedule(space, stages, start and box_of(space, start))


def key_of(settings: dict[str, Any]) -> Any:
    """The root key of a run."""
    data = jnp.asarray(settings["key"]["data"], jnp.uint32)
    return jax.random.wrap_key_data(data, impl=settings["key"]["implementation"])


def _layout_document(layout: Layout) -> dict[str, Any]:
    batching = layout.batching
    return {
        "batching": None if batching is None else batching._asdict(),
        "buckets": [
            {"name": b.name, "field": b.field, "tops": list(b.tops)}
            for b in layout.buckets
        ],
    }


def rates_of(settings: dict[str, Any]) -> tuple[tuple[int, float], ...]:
    """What was measured to choose the width."""
    return tuple((width, rate) for width, rate in settings["rates"])


def layout_of(document: dict[str, Any]) -> Layout:
    """The layout of a document."""
    batching = document["batching"]
    return Layout(
        None if batching is None else Batching(**batching),
        tuple(
            Bucket(b["name"], b["field"], tuple(b["tops"])) for b in document["buckets"]
        ),
    )


def made_of(settings: dict[str, Any], name: str, given: Any) -> Any:
    """The sampler, refiner or scheduler of a run, unless one is given.

    Raises:
      RunError: the user's own, which a run cannot hold.
    """
    if given is not None or settings[name] is None:
        return given
    recipe = value_of(settings[name])
    if not isinstance(recipe, Recipe) or recipe.name not in MAKERS:
        raise RunError(
            f"the run's {name} is not one of jaxtune's own ({recipe}), so it must be "
            f"given again: jaxtune.resume(directory, task, {name}=...)."
        )
    for argument, value in recipe.arguments:
        if isinstance(value, Unserialisable):
            raise RunError(
                f"the run's {name} was made with {argument}={value}, which a run "
                "cannot hold, so it must be given again: "
                f"jaxtune.resume(directory, task, {name}=...)."
            )
    return remake(recipe)
