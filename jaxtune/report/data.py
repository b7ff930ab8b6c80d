"""The data of the page's script: columns of the table, and axes to brush."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from jaxtune import ranking
from jaxtune.analysis._coordinates import coordinates
from jaxtune.report._parallel import scaled, score_ticks, ticks_of
from jaxtune.report.points import by_rank, scores
from jaxtune.results.result import Result

MOST = 10_000  # trials on a page; of more, the best are kept


def page_data(result: Result) -> str:
    """Return the data as JSON that is safe inside a page.

    ``columns`` are the columns of the table, best trial first: name and values, with
    ``null`` for missing values. ``axes`` are the axes of the parallel coordinates:
    name, ticks and, for each row, a height from 0 to 1. ``rank`` is 1 for the best row
    and 0 for the worst, ``null`` for failed trials.
    """
    order = ranking.order(result.standing)[:MOST]
    trials, space = result.trials, result.setup.space
    columns = [
        {"name": name, "values": list(map(_json_value, trials[name][order]))}
        for name in trials.names
    ]
    places = coordinates(result)[order].T
    axes = [
        {"name": name, "ticks": ticks_of(space[name]), "at": _heights(at)}
        for name, at in zip(space.searched, places, strict=True)
    ]
    values = scores(result)
    mode = result.setup.mode
    at = _heights(scaled(values, mode)[order])
    name, ticks = result.setup.metric, score_ticks(values, mode)
    axes.append({"name": name, "ticks": ticks, "at": at})
    rank = _heights(by_rank(result)[order])
    text = json.dumps(
        {"columns": columns, "axes": axes, "rank": rank},
        allow_nan=False,
        separators=(",", ":"),
    )
    # a user's string with </script> must not end the script that it is in
    return text.replace("<", "\\u003c")


def _heights(values: np.ndarray) -> list[float | None]:
    # four decimals are finer than a pixel, and keep the page small
    return [None if math.isnan(v) else round(float(v), 4) for v in values]


def _json_value(value: Any) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        # about as many digits as a float32 has
        return float(f"{value:.7g}") if math.isfinite(value) else None
    return str(value)
