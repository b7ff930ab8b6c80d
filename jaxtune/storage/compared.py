"""Differences between the settings of two searches, in words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from jaxtune.registry import Recipe
from jaxtune.space import Space, as_text
from jaxtune.storage import aims
from jaxtune.storage.documents import box_of, first_of, space_of, value_of

LAST_BITS = ("version", "device", "flags", "block")
"""Settings that may differ if allowed, since they change no more than last bits."""

ALLOWED = (*LAST_BITS, "code")
"""All that may differ if allowed; of code only the user knows what a change means."""

LONGEST = 100  # letters of a value in a message


def differences(old: Any, new: Any, path: str) -> Iterator[str]:
    """Yield the path of each setting that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        # names that only the run has, such as its id, are not settings; deeper down a
        # missing name is a difference, such as a dimension that is gone
        both = [*new, *[name for name in old if path and name not in new]]
        for name in both:
            inside = f"{path}.{name}" if path else name
            yield from differences(old.get(name), new.get(name), inside)
    elif old != new or (path.startswith("space.") and _text(old) != _text(new)):
        yield path


def _text(values: Any) -> str:
    # 1 equals 1.0 in Python, and 0.0 equals -0.0, but programs get other values
    return json.dumps(values)


def in_words(path: str, old: dict[str, Any], new: dict[str, Any]) -> str:
    """Return a difference as a user wrote it: ``space.x: uniform(...), now ...``.

    Args:
      path: names of the setting, with dots.
      old: settings of the run.
      new: settings that were requested.
    """
    word = path.split(".")[0]
    was, now = [value_in_words(path, settings) for settings in (old, new)]
    if word in WORDS and was != now:  # the words may leave out what differs
        named = argument_of(path) if word == "space" else WORDS[word][0]
        if word == "code":
            named = f"code of its {path.split('.')[1]}"
        return f"{named}: {was}, now {now}"
    was, now = [_short(_at(settings, path)) for settings in (old, new)]
    return f"{path}: {was}, now {now}"


def value_in_words(path: str, settings: dict[str, Any]) -> str:
    """Return a setting as a user wrote it, cut where it is long.

    Args:
      path: names of the setting, with dots.
      settings: of a run.
    """
    word = path.split(".")[0]
    if word in WORDS:
        return _cut(WORDS[word][1](path, settings))
    return _short(_at(settings, path))


def argument_of(path: str) -> str:
    """Return the argument, or the dimension, that a setting belongs to."""
    parts = path.split(".")
    return ".".join(parts[:2]) if parts[0] == "space" else parts[0]


def _at(settings: Any, path: str) -> Any:
    for number, name in enumerate(parts := path.split(".")):
        if not isinstance(settings, dict):
            return None
        rest = ".".join(parts[number:])  # a name may have a dot in it
        if rest in settings:
            return settings[rest]
        settings = settings.get(name)
    return settings


def _short(value: Any) -> str:
    if value is None:
        return "none"
    text = repr(value) if isinstance(value, str) else json.dumps(value)
    # of a hash the beginning is enough to see that it is another one
    return _cut(re.sub(r"\b([0-9a-f]{8})[0-9a-f]{56}\b", r"\1...", text))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _again(part: dict[str, Any], settings: dict[str, Any]) -> str:
    # its batches, by which a race is known elsewhere, are not compared
    if (settings["scheduler"] or {}).get("recipe") == "race":
        return f"at most {part['trials']} in a race of {part['confirms']}"
    return f"{part['trials']} that confirm {part['confirms']}"


def _rounds(path: str, settings: dict[str, Any]) -> str:
    del path
    again = [part for part in settings["rounds"] if part.get("confirms")]
    rounds = [part for part in settings["rounds"] if not part.get("confirms")]
    trials, names = [part["trials"] for part in rounds], [p["open"] for p in rounds]
    confirmed = "".join(f", and {_again(part, settings)}" for part in again)
    compared = settings["rounds"][0].get("compares", ())
    if compared:
        confirmed += f", which compare {', '.join(compared)}"
    if all(opened == names[0] for opened in names):
        plural = "s" if len(rounds) > 1 else ""
        return f"trials={sum(trials)} in {len(rounds)} round{plural}{confirmed}"
    shown = " and ".join(
        f"{count} over {', '.join(opened)}"
        for count, opened in zip(trials, names, strict=True)
    )
    return f"{shown}{confirmed}"


def _space(path: str, settings: dict[str, Any]) -> str:
    name, space = path.split(".")[1], space_of(settings["space"])
    return as_text(space[name]) if name in space.names else "no such dimension"


def _start(path: str, settings: dict[str, Any]) -> str:
    del path
    space: Space = space_of(settings["space"])
    if settings["start"] is None:
        return "the whole space"
    box = box_of(space, settings["start"])
    return ", ".join(
        f"{name}={list(box[name].remaining) if box[name].choices else bounds}"
        for name, bounds in box.bounds.items()
    )


def _part(path: str, settings: dict[str, Any]) -> str:
    made = value_of(settings[path.split(".")[0]])
    if made is None:
        return "in_full()"
    return str(made) if isinstance(made, Recipe) else made.name


def _first(path: str, settings: dict[str, Any]) -> str:
    del path
    known = first_of(settings["first"])
    return str(list(known)) if known else "none"


def _budget(path: str, settings: dict[str, Any]) -> str:
    del path
    return "examples" if settings["budget"] else "epochs"


def _folds(path: str, settings: dict[str, Any]) -> str:
    del path
    return "none" if settings["folds"] is None else str(settings["folds"])


def _constraints(path: str, settings: dict[str, Any]) -> str:
    del path
    return aims.constraints_in_words(settings["constraints"])


def _goals(path: str, settings: dict[str, Any]) -> str:
    del path
    return ", ".join(f"{n} ({mode})" for n, mode in settings["goals"]) or "none"


def _jax(path: str, settings: dict[str, Any]) -> str:
    return f"{path.split('.')[1]}={_at(settings, path)!r}"


def _code(path: str, settings: dict[str, Any]) -> str:
    value = _at(settings, path)
    name = ".".join(path.split(".")[2:])
    if not isinstance(value, str):
        return f"{name}, none" if value is None else _short(value)
    return f"{name}, {value[:12]}"


# name of the argument, and its value in words
WORDS: dict[str, tuple[str, Callable[[str, dict[str, Any]], str]]] = {
    "rounds": ("plan of rounds", _rounds),
    "space": ("space", _space),
    "start": ("start", _start),
    "first": ("first", _first),
    "folds": ("number of folds", _folds),
    "budget": ("budget", _budget),
    "sampler": ("sampler", _part),
    "refine": ("refine", _part),
    "scheduler": ("scheduler", _part),
    "constraints": ("constraints", _constraints),
    "goals": ("goals", _goals),
    "jax": ("setting of JAX", _jax),
    "code": ("code", _code),
}


def way_out(path: str, old: dict[str, Any]) -> str:
    """Return what a user can do about a difference.

    Args:
      path: names of the setting, with dots.
      old: settings of the run.
    """
    word = path.split(".")[0]
    allowed = "jaxtune.resume(directory, task, allow=[{!r}])"
    if word in LAST_BITS:
        return f"If different last bits are acceptable, use {allowed.format(word)}."
    if word == "code" or path.startswith("task.callbacks"):
        return (
            "Use the functions that the run began with, and the values that they read; "
            f"or, if they mean the same, {allowed.format('code')}; or another "
            "directory."
        )
    if word == "jax":
        name, value = path.split(".")[1], _at(old, path)
        return (
            f"Call jax.config.update({name!r}, {value!r}) first, or use another "
            "directory."
        )
    if path == "task.constants":
        return (
            "The task's functions hold other arrays, such as weights, than when the "
            "run began. Use those, or another directory."
        )
    return "Use what the run began with, or another directory."
