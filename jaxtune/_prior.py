"""Earlier searches for a new one: opened, mapped to its space, and told about."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from jaxtune import ranking
from jaxtune.checks import warn
from jaxtune.environment import on_host
from jaxtune.registry import recipe_of
from jaxtune.results.result import Result
from jaxtune.rounds.known import decoded_arrays, value_in
from jaxtune.rounds.past import Past, normal_scores
from jaxtune.samplers import Sampler
from jaxtune.samplers.base import learns
from jaxtune.space import Space, with_default_inside
from jaxtune.storage.read import load

MOST = 4096  # trials of an earlier search: a model takes time for each


def check_prior(
    given: Any, space: Space, sampler: Sampler, metric: str, mode: str
) -> tuple[Past, ...]:
    """Return earlier searches in the terms of a space; what cannot be mapped is told.

    Args:
      given: a result, a run directory, a list of them, or ``None``.
      space: of the search.
      sampler: of the search, which may not learn.
      metric: its score.
      mode: ``"max"`` or ``"min"``.

    Raises:
      ValueError: what is no result and no path, or has no dimension of this space.
      RunError: a directory that holds no run.
    """
    if given is None:
        return ()
    many = given if isinstance(given, list | tuple) else [given]
    results = [_opened(one) for one in many]
    mapped = []
    for number, result in enumerate(results):
        where = "prior" if len(results) == 1 else f"prior[{number}]"
        past = past_of(where, result, space)
        if (result.setup.metric, result.setup.mode) != (metric, mode):
            warn(
                f"{where}: its score is {result.setup.metric} ({result.setup.mode}), "
                f"and here it is {metric} ({mode}). It says only which of its trials "
                "were better.",
            )
        if past is not None:
            mapped.append(past)
    if mapped and not learns(sampler):
        recipe = recipe_of(sampler)
        name = recipe.name if recipe else "this sampler"
        warn(
            f"prior: {name} does not learn from trials, so nothing changes. Use "
            "sampler='gaussian_process' or sampler='tpe'.",
        )
        return ()
    return tuple(mapped)


def _opened(given: Any) -> Result:
    if isinstance(given, Result):
        return given
    if isinstance(given, str | os.PathLike):
        return load(given)
    raise ValueError(
        f"prior: got {given!r}. Use a result, a run directory such as 'runs/digits', "
        "or a list of them."
    )


@on_host()
def past_of(where: str, result: Result, space: Space) -> Past | None:
    """Return the trials of an earlier search that this space has; ``None`` if none.

    Args:
      where: a name for messages.
      result: of the earlier search.
      space: of this one.
    """
    shared = [name for name in space.searched if name in result.setup.space.names]
    if not shared:
        raise ValueError(
            f"{where}: it shares no searched dimension with this space: there are "
            f"{', '.join(result.setup.space.names)}, here {', '.join(space.searched)}."
        )
    _tell_dimensions(where, result.setup.space, space)
    scores = normal_scores(np.asarray(result.standing))
    done = np.isfinite(scores) | result.trials.failed
    settings, kept, why = [], [], dict[str, int]()
    for trial in np.flatnonzero(done).tolist():
        found = _mapped(result, space, trial)
        if isinstance(found, str):
            why[found] = why.get(found, 0) + 1
        else:
            settings.append(found)
            kept.append(trial)
    if why:
        reasons = "; ".join(f"{count} {reason}" for reason, count in why.items())
        warn(f"{where}: {len(kept)} of {done.sum()} trials are used. {reasons}.")
    if not np.isfinite(scores[kept]).any():
        if not why:
            warn(f"{where}: it has no trial with a score, so it says nothing.")
        return None
    rows = _of_very_many(scores[kept])
    if len(rows) < len(kept):
        warn(
            f"{where}: of {len(kept)} trials the best {MOST // 2} are used, and as "
            "many others.",
        )
    few = [settings[row] for row in rows]
    return Past(decoded_arrays(space, few), scores[kept][rows])


def _of_very_many(scores: np.ndarray) -> np.ndarray:
    """Return the rows that are used: the best ones, and others evenly spread."""
    if len(scores) <= MOST:
        return np.arange(len(scores))
    best, rest = np.split(ranking.order(scores), [MOST // 2])
    spread = np.linspace(0, len(rest) - 1, MOST - MOST // 2).round().astype(int)
    return np.sort(np.concatenate([best, np.sort(rest)[spread]]))


def _tell_dimensions(where: str, there: Space, here: Space) -> None:
    missing = [name for name in here.searched if name not in there.names]
    if missing:
        taken = ", ".join(f"{name}={_default(here, name)!r}" for name in missing)
        warn(f"{where}: it has no {', '.join(missing)}; its trials count as {taken}.")
    unknown = [name for name in there.searched if name not in here.searched]
    if unknown:
        warn(
            f"{where}: it searched {', '.join(unknown)} too, which this search does "
            "not. Its values are left out.",
        )


def _mapped(result: Result, space: Space, trial: int) -> dict[str, Any] | str:
    """Return a trial as a setting of this space, or why that cannot be."""
    there = result.setup.space
    values = there.values(result.trials.decoded, trial)
    setting = {name: _default(space, name) for name in space.names}
    for name in space.searched:
        if name not in values:
            continue
        try:
            setting[name] = value_in(space[name], values[name])
        except ValueError:
            return f"have values of {name} that are not in this space"
    active = space.active(decoded_arrays(space, [setting]))
    for name in space.searched:
        unset = name in there.names and name not in values
        if unset and bool(active[name][0]):
            return f"did not set {name}, which matters here"
        if not bool(active[name][0]):
            setting[name] = space[name].default
    return setting


def _default(space: Space, name: str) -> Any:
    dim = space[name]
    return with_default_inside(dim).default if dim.searched else dim.bounds[0]
