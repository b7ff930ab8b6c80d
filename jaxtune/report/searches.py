"""Searches to compare, in groups: those of a group differ in their key alone."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxtune.results.result import Result
from jaxtune.storage.compared import differences, value_in_words
from jaxtune.storage.description import description_of
from jaxtune.storage.read import load

PARTS = ("sampler", "scheduler", "refine")


class Searched(NamedTuple):
    """One search of a comparison.

    Args:
      result: the result.
      where: its directory as it was given; empty for a result.
      settings: all that its scores depend on but the key, see `described`.
      key: the numbers of its key.
    """

    result: Result
    where: str
    settings: dict[str, Any]
    key: tuple[int, ...]

    @property
    def key_in_words(self) -> str:
        """The key as a user makes it, or its numbers."""
        *rest, last = self.key
        return str(last) if not any(rest) else str(list(self.key))


class SearchGroup(NamedTuple):
    """The searches of one method, one for each key.

    Args:
      name: of the method.
      searches: in the order of their keys.
    """

    name: str
    searches: tuple[Searched, ...]


def groups_of(searches: Any, names: Sequence[str] | None) -> tuple[SearchGroup, ...]:
    """Return searches in groups.

    Args:
      searches: see `compare`.
      names: one for each entry; entries of one name are one group.

    Raises:
      RunError: a directory that is no run.
      ValueError: nothing to compare, names that do not fit, or a search twice.
    """
    if isinstance(searches, Mapping):
        names, entries = [*map(str, searches)], [*searches.values()]
    else:
        entries = list(searches)
    if names is not None and len(names) != len(entries):
        raise ValueError(
            f"compare: got {len(names)} names for {len(entries)} searches. Give one "
            "for each; searches of one name are one group."
        )
    if not all(name.strip() for name in names or ()):
        raise ValueError("compare: a name is empty. Give each method a name.")
    found = [[_searched(one) for one in _several(entry)] for entry in entries]
    if names is not None:
        named: dict[str, list[Searched]] = {}
        for name, some in zip(names, found, strict=True):
            named.setdefault(name, []).extend(some)
        parts = [*named.items()]
    elif any(_is_list(entry) for entry in entries):
        parts = _named(found)
    else:
        parts = _named(_alike(some[0] for some in found))
    return tuple(SearchGroup(name, _by_key(name, some)) for name, some in parts)


def _is_list(entry: Any) -> bool:
    return isinstance(entry, list | tuple)


def _several(entry: Any) -> Sequence[Any]:
    return entry if _is_list(entry) else [entry]


def _searched(one: Result | str | os.PathLike[str]) -> Searched:
    where = "" if isinstance(one, Result) else os.fspath(one)
    result = one if isinstance(one, Result) else load(one)
    if not result.settings:
        raise ValueError(
            "compare: a result that a callback was given does not know how its search "
            "was made. Use what jaxtune.search or jaxtune.load returns."
        )
    key = np.ravel(jax.random.key_data(result.setup.workload.key)).tolist()
    return Searched(result, where, description_of(result), tuple(key))


def _alike(searches: Iterable[Searched]) -> list[list[Searched]]:
    """Return searches in lists that differ in their key alone."""
    alike: dict[str, list[Searched]] = {}
    for one in searches:
        alike.setdefault(json.dumps(one.settings, sort_keys=True), []).append(one)
    return [*alike.values()]


def _by_key(name: str, searches: Sequence[Searched]) -> tuple[Searched, ...]:
    """Return searches by key; a search that is given twice is no evidence."""
    keys = [one.key for one in searches]
    if len(set(keys)) < len(keys):
        twice = next(one for one in searches if keys.count(one.key) > 1)
        raise ValueError(
            f"compare: two searches of {name!r} have the key {twice.key_in_words}. "
            "Give each search once, and searches of one method other keys."
        )
    return tuple(sorted(searches, key=lambda one: one.key))


def _named(groups: list[list[Searched]]) -> list[tuple[str, list[Searched]]]:
    """Return groups with names: what they were made with, or where they are."""
    for name_of in (_made_with, _folder, _path):
        names = [name_of(group, groups) for group in groups]
        if all(names) and len(set(names)) == len(names):
            return [*zip(names, groups, strict=True)]
    # the names must not depend on the order of the arguments
    ordered = sorted(groups, key=lambda group: _order(group[0]))
    return [(f"search {_letters(i)}", group) for i, group in enumerate(ordered)]


def _order(one: Searched) -> tuple[str, str, tuple[int, ...]]:
    return one.where, json.dumps(one.settings, sort_keys=True), one.key


def _letters(number: int) -> str:
    return ascii_uppercase[number] if number < 26 else str(number + 1)


def _made_with(group: list[Searched], groups: list[list[Searched]]) -> str:
    """Return the sampler of a group, or what else alone differs between groups."""
    paths = {path for path, _ in differing_rows([some[0].settings for some in groups])}
    # of other names say more than these
    if len(paths) != 1 or not paths <= {*PARTS}:
        return ""
    made = value_in_words(paths.pop(), group[0].settings)
    return made.split("(")[0]


def _folder(group: list[Searched], groups: list[list[Searched]]) -> str:
    """Return the name of the folders of a group, without numbers at their ends."""
    del groups
    names = [Path(one.where).name if one.where else "" for one in group]
    if len(names) == 1:
        return names[0]
    stems = {re.sub(r"[\W_]*\d*$", "", name) for name in names}
    return stems.pop() if len(stems) == 1 else ""


def _path(group: list[Searched], groups: list[list[Searched]]) -> str:
    del groups
    return group[0].where


def differing_rows(settings: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return what differs between settings: its name, and each one's value in words."""
    first, *others = settings
    paths = {
        _row(path): None
        for other in others
        for pair in ((first, other), (other, first))
        for path in differences(*pair, "")
    }
    found = set(paths)
    # a program follows from the space and the data that it is traced for
    if any(path.split(".")[0] == "space" or path in DATA for path in found):
        found -= {"task.program", "task.parameters", "task.constants", "task.elsewhere"}
    order = [path for path in paths if path in found]
    return [(path, [_value(path, one) for one in settings]) for path in order]


DATA = ("task.data.train", "task.data.valid", "task.data.test", "task.data.folds")
TASK = "task.program"


def _row(path: str) -> str:
    """Return the row of a difference: a dimension, a part, or a split of the data."""
    word, *rest = path.split(".")
    if word == "space":
        return ".".join([word, *rest[:1]])
    if word == "task":
        return ".".join([word, *rest[: 2 if rest[:1] == ["data"] else 1]])
    return word


def _value(path: str, settings: dict[str, Any]) -> str:
    if path not in DATA:
        return value_in_words(path, settings)
    leaves = (settings["task"].get("data") or {}).get(path.split(".")[-1]) or {}
    return ", ".join(map(_short_sum, leaves.values())) or "none"


def _short_sum(text: str) -> str:
    """Return an array's dtype, shape, and the beginning of its hash."""
    return re.sub(r"sha256:([0-9a-f]{8})[0-9a-f]*", r"\1", text)
