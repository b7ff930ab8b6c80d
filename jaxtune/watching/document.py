"""Plain values of a run, which the script of the live page draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jaxtune import ranking
from jaxtune.analysis._coordinates import coordinates, span
from jaxtune.checks import RunError
from jaxtune.goals.limits import SIZES
from jaxtune.goals.order import Goal, names_in
from jaxtune.report._history import running_best
from jaxtune.report._parallel import ticks_of
from jaxtune.report.axes import Span, span_of
from jaxtune.report.cells import bounds_cell, cell, tick
from jaxtune.report.data import json_value
from jaxtune.report.points import by_rank, drawn, round_label, scores
from jaxtune.results.counts import counts_of
from jaxtune.results.result import Result
from jaxtune.storage.directory import holds_run, settings_of
from jaxtune.storage.read import load
from jaxtune.storage.recording import way_to_resume
from jaxtune.storage.session import RUNNING, Session, session_of

POINTS = 600  # drawn in the picture of scores
DOTS = 200  # drawn in the boxes
ROWS = 25  # of the table
FINISHED, WAITING, UNREADABLE, REMOVED = "finished", "waiting", "unreadable", "removed"
WORDS = {
    RUNNING: "Running: {process}.",
    "killed": "Not running: {process} has ended and could not say why, as after "
    "kill -9. To go on: {resume}",
    "unknown": "Begun by {process}. Whether that runs cannot be seen from here.",
    "interrupted": "Interrupted. To go on: {resume}",
    "stopped": "Stopped: {detail}. To go on: {resume}",
    FINISHED: "Finished.",
    "extended": "To be extended. To go on: {resume}",
    "repaired": "Repaired. To go on: {resume}",
}


def document_of(directory: Path) -> tuple[dict[str, Any], Session | None]:
    """Return what there is to show of a run, and its last session.

    Never raises for what is wrong with the run: that is shown too.

    Args:
      directory: of a run that may not have begun, may be damaged, or gone.
    """
    try:
        if not holds_run(directory):
            words = f"There is no run in {directory} yet."
            return {"state": WAITING, "words": words}, None
        session = session_of(directory)
        shown = _session(directory, session)
        if session is not None and session.begun:
            shown |= result_document(load(directory))
        return shown, session
    except (RunError, OSError) as error:
        return {"state": UNREADABLE, "words": str(error)}, None


def _session(directory: Path, session: Session | None) -> dict[str, Any]:
    if session is None:
        return {"state": WAITING, "words": "The search begins."}
    resume = way_to_resume(directory, settings_of(directory))
    words = WORDS[session.state].format(
        process=session.process, detail=session.last.detail, resume=resume
    )
    if session.state == RUNNING and not session.begun:
        words += " It prepares its first trials."
    return {"state": session.state, "words": words}


def result_document(result: Result) -> dict[str, Any]:
    """Return what the page shows of a result.

    Args:
      result: of a run, finished or not.
    """
    setup = result.setup
    better = "higher" if setup.mode == "max" else "lower"
    return {
        "metric": f"{setup.metric} ({better} is better)",
        "trials": len(result.trials),
        "counts": str(result.counts),
        "rounds": _rounds(result),
        "running": _running(result),
        "best": _best(result),
        "boxes": _boxes(result),
        "history": _history(result),
        "front": _front(result),
        "table": _table(result),
    }


def _rounds(result: Result) -> list[dict[str, Any]]:
    """Return the number of trials of each round by what has become of them."""
    rounds = result.trials["round"]
    found = []
    for number, training in enumerate(result.rounds):
        trials = result.trials.take(rounds == number)
        name = round_label(result, number)
        counts = counts_of(trials, len(trials)).named
        found.append({"name": name, "open": not training.over, "counts": counts})
    return found


def _running(result: Result) -> list[list[int]]:
    """Return how far trials that are not done are: epochs, and the number there."""
    begun = ~result.trials.done & (result.trials.epochs > 0)
    epochs, counts = np.unique(result.trials.epochs[begun], return_counts=True)
    return [list(pair) for pair in zip(epochs.tolist(), counts.tolist(), strict=True)]


def _best(result: Result) -> dict[str, Any] | None:
    if not np.isfinite(result.standing).any():
        return None
    best = result.best
    return {
        "trial": best.trial,
        "score": f"{best.score:.6g}",
        "hparams": [[name, cell(value)] for name, value in best.hparams.items()],
    }


def _boxes(result: Result) -> list[dict[str, Any]]:
    """Return for each dimension its box in every round, and trials by their places."""
    space = result.setup.space
    if not space.searched:
        return []
    places, rank = coordinates(result), by_rank(result)
    rows = drawn(result, DOTS)
    rows = rows[np.isfinite(rank[rows])]
    numbers = result.trials["round"]
    rounds = [
        (number, box)
        for number, box in enumerate(result.spaces)
        if number not in result.confirming_rounds
    ]
    best = result.best.trial if rows.size else None
    return [
        {
            "name": name,
            "ticks": [[at, words] for at, words in ticks_of(space[name])],
            "best": None if best is None else _place(places[best, column]),
            "rounds": [
                {
                    "name": f"round {number + 1}",
                    "open": box[name].searched,
                    "span": span(space[name], box[name]),
                    "words": bounds_cell(box[name]),
                    "dots": [
                        [_place(places[row, column]), round(float(rank[row]), 3)]
                        for row in rows[numbers[rows] == number].tolist()
                        if np.isfinite(places[row, column])
                    ],
                }
                for number, box in rounds
            ],
        }
        for column, name in enumerate(space.searched)
    ]


def _place(at: float) -> float | None:
    # finer than a pixel
    return round(float(at), 4) if np.isfinite(at) else None


def _axis(values: np.ndarray, span: Span | None) -> dict[str, Any]:
    """Return places on an axis, from 0 to 1, and the ticks at its ends."""
    if span is None:
        return {"at": [None] * len(values), "ticks": []}
    low, high, log = span
    ticks = [[0, tick(low)], [1, tick(high)]]
    if log:
        values, low, high = np.log(values), np.log(low), np.log(high)
    at = (values - low) / (high - low) if high > low else 0 * values + 0.5
    # what lies beyond is drawn at the edge
    return {"at": [_place(place) for place in np.clip(at, -0.04, 1.04)], "ticks": ticks}


def _history(result: Result) -> dict[str, Any]:
    """Return scores in the order of the trials, and the best one so far."""
    values, best, rows = scores(result), running_best(result), drawn(result, POINTS)
    shown = rows[np.isfinite(values[rows])]
    better = np.flatnonzero(np.isfinite(best) & (best != np.append(np.nan, best[:-1])))
    both = np.append(values[shown], best[better])
    axis = _axis(both, span_of(both, result.setup.mode))
    words = [
        f"trial {row}: {values[row]:.5g}, {round_label(result, number)}"
        for row, number in zip(
            shown.tolist(), result.trials["round"][shown].tolist(), strict=True
        )
    ]
    count = len(shown)
    return {
        "trial": shown.tolist(),
        "at": axis["at"][:count],
        "words": words,
        "best": [
            [trial, at]
            for trial, at in zip(better.tolist(), axis["at"][count:], strict=True)
        ],
        "ticks": axis["ticks"],
    }


def _front(result: Result) -> dict[str, Any] | None:
    """Return the trials by the first two goals, and which of them are the front."""
    if not result.setup.goals or not result.front:
        return None
    one, other = result.setup.goals[:2]
    # the usual picture has the cost to the right and the gain upwards
    across, upwards = (other, one) if one.mode == "max" else (one, other)
    rows = np.union1d(drawn(result, POINTS), np.asarray(result.front, int))
    x, y = (
        result.trials[goal.name][rows].astype(np.float64) for goal in (across, upwards)
    )
    fine = np.isfinite(x) & np.isfinite(y)
    rows, x, y = rows[fine], x[fine], y[fine]
    return {
        "count": len(result.front),
        "x": _axis(x, _all_of(across, x)),
        "y": _axis(y, _all_of(upwards, y)),
        "names": [f"{goal.name} ({goal.mode})" for goal in (across, upwards)],
        "front": np.isin(rows, result.front).tolist(),
        "words": [
            f"trial {row}: {across.name} {a:.5g}, {upwards.name} {b:.5g}"
            for row, a, b in zip(rows.tolist(), x, y, strict=True)
        ],
    }


def _all_of(goal: Goal, values: np.ndarray) -> Span | None:
    """Return the span of all values of a goal; sizes are told apart by factors."""
    if not len(values):
        return None
    log = goal.name in SIZES and bool((values > 0).all())
    return Span(float(values.min()), float(values.max()), log)


def _table(result: Result) -> dict[str, Any]:
    """Return the best trials: the names of the columns, and the rows."""
    standing, trials = result.standing, result.trials
    aims = names_in(result.setup.constraints.limits, result.setup.goals)
    own = ("trial", "round", "status", "epochs", "score")
    wanted = (*own, *result.setup.space.searched, *aims)
    columns = [name for name in trials.names if name in wanted]
    order = ranking.order(standing)[: min(ROWS, int(np.isfinite(standing).sum()))]
    rows = [
        [_value(name, trials[name][row]) for name in columns] for row in order.tolist()
    ]
    return {"columns": columns, "rows": rows}


def _value(name: str, value: Any) -> Any:
    # people count rounds from 1, as everywhere on the page
    return int(value) + 1 if name == "round" else json_value(value)
