"""The data of the page's script: columns of the table, and axes to brush."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from jaxtune import ranking
from jaxtune.analysis._coordinates import coordinates
from jaxtune.report._parallel import score_ticks, stretched, ticks_of
from jaxtune.report.points import scores
from jaxtune.results.names import FOLD_SPREAD, REPEAT_OF
from jaxtune.results.result import Result

MOST = 10_000  # trials on a page; of more, the best are kept


def page_data(result: Result) -> str:
    """Return the data as JSON that is safe inside a page.

    ``columns`` are the columns of the table, best trial first: name, ``"max"`` or
    ``"min"`` if one of its values is the better one, and values, with ``null`` for
    missing ones. ``axes`` are the axes of the parallel coordinates: name, column, ticks
    and, for each row, a height from 0 to 1. ``ranked`` is the number of rows that have
    a rank, which are the first ones; ``failed`` are the rows that failed.
    """
    order = _order(result)[:MOST]
    trials, space = result.trials, result.setup.space
    modes = _modes(result)
    # people count rounds from 1
    shown = {"round": trials["round"] + 1}
    columns = [
        {
            "name": name,
            "best": modes.get(name),
            "values": list(map(json_value, shown.get(name, trials[name])[order])),
        }
        for name in _names(result)
    ]
    ranked = int(np.isfinite(result.standing[order]).sum())
    ranks = [k + 1 if k < ranked else None for k in range(len(order))]
    columns.insert(1, {"name": "rank", "best": "min", "values": ranks})
    places = coordinates(result)[order].T
    axes = [
        {
            "name": name,
            "column": name,
            "ticks": ticks_of(space[name]),
            "at": _heights(at),
        }
        for name, at in zip(space.searched, places, strict=True)
    ]
    values = scores(result)
    mode = result.setup.mode
    at = _heights(stretched(values, mode)[order])
    name, ticks = result.setup.metric, score_ticks(values, mode)
    axes.append({"name": name, "column": "score", "ticks": ticks, "at": at})
    text = json.dumps(
        {
            "columns": columns,
            "axes": axes,
            "ranked": ranked,
            "failed": np.flatnonzero(trials.failed[order]).tolist(),
        },
        allow_nan=False,
        separators=(",", ":"),
    )
    # a user's string with </script> must not end the script that it is in
    return text.replace("<", "\\u003c")


def _order(result: Result) -> np.ndarray:
    """Return trials from the best to the worst, those of a front by their scores."""
    order = ranking.order(result.standing)
    if not result.front:
        return order
    front = order[np.isin(order, result.front)]
    scores = ranking.orient(result.trials["score"][front], result.setup.mode)
    front = front[np.lexsort((front, -scores))]
    return np.concatenate([front, order[~np.isin(order, front)]])


def _names(result: Result) -> list[str]:
    """Return the columns of the table: what was found before how it was found."""
    trials, setup = result.trials, result.setup
    goals = [goal.name for goal in setup.goals]
    first = ["trial", "score", FOLD_SPREAD, *goals, *setup.space.searched]
    last = [*setup.space.names, "status", "round", "epochs", REPEAT_OF]
    metrics = [name for name in trials.names if name not in (*first, *last)]
    # a name may be in several lists: its first place counts
    ordered = dict.fromkeys([*first, *metrics, *last])
    return [name for name in ordered if name in trials.names]


def _modes(result: Result) -> dict[str, str]:
    """Return whether more or less is better, of the columns for which this is known."""
    setup = result.setup
    sides = {"<=": "min", ">=": "max"}
    limits = {limit.name: sides[limit.relation] for limit in setup.constraints.limits}
    goals = {goal.name: goal.mode for goal in setup.goals}
    return limits | goals | {setup.metric: setup.mode, "score": setup.mode}


def _heights(values: np.ndarray) -> list[float | None]:
    # four decimals are finer than a pixel, and keep the page small
    return [None if math.isnan(v) else round(float(v), 4) for v in values]


def json_value(value: Any) -> Any:
    """Return a value of the table for JSON; a number that is not finite as null."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        # about as many digits as a float32 has
        return float(f"{value:.7g}") if math.isfinite(value) else None
    return str(value)
