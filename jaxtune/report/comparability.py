"""Reasons to refuse a comparison of searches, and notes on one that is made."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from jaxtune.report.searches import Searched, SearchGroup, differing_rows
from jaxtune.results.result import Result


def check_comparable(groups: Sequence[SearchGroup]) -> None:
    """Raise ``ValueError`` for searches whose scores mean different things.

    Args:
      groups: of the comparison.
    """
    if not groups:
        raise ValueError("compare: got no search. Give two or more.")
    every = [(group.name, one) for group in groups for one in group.searches]
    for what, value, way_out in MUST_AGREE:
        known: dict[str, str] = {}
        for name, one in every:
            known.setdefault(value(one.settings), name)
        if len(known) > 1:
            (was, first), (now, second), *_ = known.items()
            # of data a hash says nothing to a reader
            shown = f": {first!r} has {was}, {second!r} {now}"
            shown = "" if value is _scored_on else shown
            raise ValueError(
                f"compare: the searches have other {what}{shown}. {way_out}"
            )
    for name, one in every:
        if not one.result.counts.done:
            raise ValueError(
                f"compare: {one.where or name} has no finished trial yet. Try again "
                "later, or resume it."
            )


def _metric(settings: dict[str, Any]) -> str:
    return f"{settings['metric']} ({settings['mode']})"


def _goals(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} ({mode})" for name, mode in settings["goals"]) or "none"


def _kind(settings: dict[str, Any]) -> str:
    function = settings["task"].get("function")
    return f"the function {function}" if function else "trainings"


def _scored_on(settings: dict[str, Any]) -> str:
    data = settings["task"].get("data") or {}
    # with folds trials are scored on parts of the training data
    split = "train" if settings["folds"] else "valid"
    return ", ".join((data.get(split) or {}).values())


MUST_AGREE: tuple[tuple[str, Callable[[dict[str, Any]], str], str], ...] = (
    ("objectives", _kind, "Compare searches of one objective."),
    ("metrics", _metric, "Compare searches with one metric= and one mode=."),
    ("goals", _goals, "Compare searches with the same goals=."),
    (
        "data to score on",
        _scored_on,
        "Scores on other data do not compare: give all of them one validation split.",
    ),
)


def notes_of(groups: Sequence[SearchGroup]) -> list[str]:
    """Return what a reader must know about the searches, one sentence each."""
    return [note for make in NOTES for note in make(groups)]


def _every(groups: Sequence[SearchGroup]) -> list[Result]:
    return [one.result for group in groups for one in group.searches]


def name_of(group: SearchGroup, one: Searched) -> str:
    """Return how one search is called: its group, and its key where there are more."""
    alone = len(group.searches) == 1
    return group.name if alone else f"{group.name}, key {one.key_in_words}"


def _grouped(groups: Sequence[SearchGroup]) -> Iterator[str]:
    alike = []
    for group in groups:
        found = differing_rows([one.settings for one in group.searches])
        if found:
            names = ", ".join(title_of(path) for path, _ in found)
            yield f"The searches of {group.name} differ in {names}, not in keys alone."
        elif len(group.searches) > 1:
            alike.append(f"{group.name} ({len(group.searches)})")
    if alike:
        yield (
            "Searches that differ in their key alone are one group: "
            f"{', '.join(sorted(alike))}."
        )


def _other_tasks(groups: Sequence[SearchGroup]) -> Iterator[str]:
    for path, _ in differing_rows([group.searches[0].settings for group in groups]):
        if path.startswith("task.") and path != "task.data.test":
            yield (
                f"The tasks differ in {title_of(path)}, so a difference may come from "
                "there."
            )


def _unfinished(groups: Sequence[SearchGroup]) -> Iterator[str]:
    for group in groups:
        for one in group.searches:
            counts = one.result.counts
            if not one.result.finished:
                yield (
                    f"{name_of(group, one)} is not finished: {counts.done} of "
                    f"{counts.asked} trials are compared."
                )


def _repeats(groups: Sequence[SearchGroup]) -> Iterator[str]:
    setups = [result.setup for result in _every(groups)]
    seeds, folds = {s.seeds for s in setups}, {s.folds for s in setups}
    if seeds != {1} or len(seeds) > 1:
        yield f"Scores are means over {_listed(seeds)} seeds."
    if folds != {None}:
        yield f"Scores are means over {_listed(folds - {None})} folds."
    if len(seeds) > 1 or len(folds) > 1:
        yield "Of fewer trainings the best score is luck to a greater part."
    rules = {result.setup.workload.scoring.score for result in _every(groups)}
    if len(rules) > 1:
        yield f"Scores follow different rules: score= is {_listed(rules)}."


def _listed(values: set[Any]) -> str:
    return " or ".join(sorted(map(str, values)))


def _goals_told(groups: Sequence[SearchGroup]) -> Iterator[str]:
    goals = groups[0].searches[0].result.setup.goals
    if goals:
        yield (
            "The score is the hypervolume of the front of "
            f"{', '.join(f'{goal.name} ({goal.mode})' for goal in goals)}, from the "
            "worst of each goal among the feasible trials of all searches."
        )


def _confirmed(groups: Sequence[SearchGroup]) -> Iterator[str]:
    for group in groups:
        if any(one.result.confirming_rounds for one in group.searches):
            yield (
                f"{group.name} measured its best trials again. The curves and tests "
                "are of first measurements; the repeats count as trials."
            )


def _failed(groups: Sequence[SearchGroup]) -> Iterator[str]:
    for group in groups:
        for one in group.searches:
            if not np.isfinite(one.result.standing).any():
                yield f"{name_of(group, one)} has no score, and is in no test."


def _clocks(groups: Sequence[SearchGroup]) -> Iterator[str]:
    kinds = {kind for result in _every(groups) for kind in result.devices}
    if len(kinds) > 1:
        yield f"Seconds are not compared: the trials ran on {_listed(kinds)}."
    elif not same_clock(groups):
        yield "Seconds are not compared: not every search has recorded them."


def same_clock(groups: Sequence[SearchGroup]) -> bool:
    """Return whether seconds of all searches are known, on one kind of device."""
    results = _every(groups)
    kinds = {kind for result in results for kind in result.devices}
    return len(kinds) <= 1 and all(math.isfinite(r.seconds) for r in results)


NOTES = (
    _other_tasks,
    _grouped,
    _goals_told,
    _repeats,
    _unfinished,
    _failed,
    _confirmed,
    _clocks,
)


def title_of(path: str) -> str:
    """Return the name of a setting that differs, for a reader."""
    return TITLES.get(path, path.removeprefix("space."))


TITLES = {
    "rounds": "trials and rounds",
    "refine": "refiner",
    "task.function": "objective",
    "task.program": "traced program (model, loss, metrics, optimiser)",
    "task.parameters": "parameters of the model",
    "task.constants": "arrays that the functions hold",
    "task.elsewhere": "programs of other static values",
    "task.callbacks": "functions called on the host",
    "task.optimizer": "code of the optimiser",
    "task.batch_size": "batch size of the task",
    "task.examples": "number of training examples",
    "task.data.train": "training data",
    "task.data.valid": "validation data",
    "task.data.test": "test data",
    "task.data.folds": "folds",
}
