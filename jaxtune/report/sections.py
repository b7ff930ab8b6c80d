"""The sections of the page: lists of HTML and figures, empty if there is nothing."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Sequence
from html import escape
from itertools import combinations
from typing import Any

import numpy as np

from jaxtune import analysis, markup, ranking
from jaxtune.goals.limits import violation
from jaxtune.printing import counted
from jaxtune.report import data
from jaxtune.report._best_of import best_of
from jaxtune.report._contour import contour
from jaxtune.report._curves import curves
from jaxtune.report._ensemble import choice_of, growth_of
from jaxtune.report._epochs import epochs
from jaxtune.report._folds import fold_scores
from jaxtune.report._front import front_of
from jaxtune.report._history import history
from jaxtune.report._importance import importance, order_of
from jaxtune.report._lineage import lineage
from jaxtune.report._rungs import rungs
from jaxtune.report._slices import slices_of
from jaxtune.report._zoom import zoom
from jaxtune.report.call import printed_call
from jaxtune.report.cells import bounds_cell, cell
from jaxtune.report.code import Names, code_of, space_code
from jaxtune.report.describe import as_list
from jaxtune.results.about import about_task
from jaxtune.results.confirmed import shown_chance
from jaxtune.results.result import Result
from jaxtune.samplers.beliefs import believed
from jaxtune.space import Dimension
from jaxtune.space.belief import stated
from jaxtune.storage.documents import value_document

FAILURES = 3  # failed trials, for a range of them


def answer(result: Result) -> list[Any]:
    """Return the head of the page: the best trial, and how far to trust its score."""
    if result.compared:
        return _answer_of_study(result)
    if not np.isfinite(result.standing).any():
        return [
            f"<h1>{escape(_without_best(result))}</h1>",
            f'<p class="soft">{result.counts}.{_state(result)}</p>',
            *_facts(result),
        ]
    best, setup = result.best, result.setup
    # of means over folds, or over seeds: both together would mix two spreads
    again = _confirmed(result)
    what, values = "measurements" if again else "seeds", best.scores
    if setup.folds is not None and not again:
        what, values = "folds", result.folds.means[best.trial].tolist()
    several = len(values) > 1
    spread = f" ± {np.std(values, ddof=1):.2g}" if several else ""
    over = f" (± standard deviation over {len(values)} {what})" if several else ""
    rows = [(name, cell(value)) for name, value in best.hparams.items()]
    none = bool(result.setup.constraints.limits) and not result.feasible.any()
    unmet = [f"{result._unmet()}."] if none else []
    tested = [f"test {name} {v:.6g}" for name, v in result._tested.items()]
    return [
        f"<h1>Best {escape(setup.metric)}: {best.score:.6g}{spread}</h1>",
        f'<p class="soft">Trial {best.trial}{over}. '
        f"{result.counts}.{_state(result)}</p>",
        *(f"<p><strong>{escape(text)}</strong></p>" for text in [*unmet, *tested]),
        wide_table(("hyperparameter", "value"), rows, "Best setting"),
        _to_copy(result),
        *(again or _luck(result)),
        *_facts(result),
    ]


def _answer_of_study(result: Result) -> list[Any]:
    """Return the head of the page of a study: its conclusion, and what bounds it."""
    study = result.study
    said = study.conclusion.split("\n")
    rest = [f"<p><strong>{escape(text)}</strong></p>" for text in said]
    told = [f'<p class="note">{escape(note)}</p>' for note in study.notes]
    return [
        f"<h1>The effect of {escape(as_list(study.scientific))} on "
        f"{escape(result.setup.metric)}</h1>",
        *rest,
        # of a study that is not finished, the conclusion says how far it is
        *([f'<p class="soft">{result.counts}.</p>'] if result.finished else []),
        *told,
        *_facts(result),
    ]


def _study(result: Result) -> list[Any]:
    """Return the values that a study compares, and the isolation plot of each."""
    if not result.compared or not np.isfinite(result.standing).any():
        return []
    study = result.study
    table = study.table
    pictures = [study.figure(name) for name in study.scientific]
    # in two tables, as one would be wider than the page
    head, names = [*table[0]], study.scientific
    end = head.index("trial")
    numbers = [row[:end] for row in table.cells]
    settings = [[*row[: len(names)], *row[end:]] for row in table.cells]
    return [
        "<p>Every setting of the other hyperparameters is tried with each value, with "
        "the same random numbers. The best setting of each is then trained again with "
        "fresh seeds, the same ones for all: differences are of these pairs.</p>",
        '<div class="pairs">',
        *pictures,
        "</div>",
        '<div class="values">',
        wide_table(head[:end], numbers, "Each value, the others tuned"),
        "</div>",
        wide_table([*names, *head[end:]], settings, "The best setting of each value"),
    ]


def _without_best(result: Result) -> str:
    """Return the headline of a search that has no best trial, or not yet."""
    counts = result.counts
    if counts.failed == counts.asked:
        one = counts.failed == 1
        return "The one trial failed" if one else f"All {counts.failed} trials failed"
    return "No trial has a score" if result.finished else "No trial has a score yet"


def _state(result: Result) -> str:
    """Return what is to be said of a search that is not finished, as HTML."""
    if result.finished:
        return ""
    # a reason may be the text of a user
    why = f": {escape(result.stopped)}" if result.stopped else ""
    return f" The search is not finished{why}."


def _confirmed(result: Result) -> list[str]:
    """Return what was measured again, and how likely the best is the best."""
    try:
        found = result.confirmed
    except ValueError:  # nothing was, or not all of it yet
        return []
    # the chance before the interval: a phone shows the first columns
    head = ["trial", "measured again", "mean", "chance to be best", "95 % interval"]
    columns = [
        found.trial,
        found.measurements,
        map(cell, found.mean),
        map(shown_chance, found.probability),
        [
            f"{low:.3g} to {high:.3g}"
            for low, high in zip(found.low, found.high, strict=True)
        ],
    ]
    if len(found.out):
        head.append("out after")
        columns.append([count or "stayed" for count in found.out.tolist()])
    return [
        f'<p class="note">{escape(found.words.capitalize())}. Means are of '
        "measurements that had no part in the choice of these trials.</p>",
        wide_table(head, [*zip(*columns, strict=True)], "Trials measured again"),
    ]


def _luck(result: Result) -> list[str]:
    """Return a note on how much of the best score is luck, by seeds or neighbours."""
    # the best of many scores is the best partly by luck: a seed that had no part in the
    # choice gives an honest number
    with contextlib.suppress(ValueError):  # one seed, or too few trials
        seen = analysis.noise(result)
        return [
            '<p class="note">Scores of one trial with different seeds differ by '
            f"{seen.spread:.2g} (standard deviation, best quarter of trials). A trial "
            f"chosen like this one is expected to score {seen.expected:.4g} with a "
            "seed that played no part in the choice.</p>"
        ]
    try:
        found = analysis.luck(result)
    except ValueError as error:
        why = str(error).removeprefix("luck: ")
        return [
            '<p class="note">The best of many scores is the best partly by luck. How '
            f"much of it is luck is not known here: {escape(why)}</p>"
        ]
    return [
        '<p class="note">The best of many scores is the best partly by luck. By the '
        f"{found.trials} trials around it, another seed is expected to give this "
        f"setting {found.expected:.4g}, and scores of one setting to differ by "
        f"{found.spread:.2g} (standard deviation). To measure it: "
        "<code>confirm=5</code>, or <code>seeds=2</code>.</p>"
    ]


def _facts(result: Result) -> list[str]:
    """Return the task, its data, when and how long the search ran, and with what."""
    given, cost = result.setup.given, result.cost
    about = dict(given.about)
    if not about and result.setup.workload.task is not None:
        about = about_task(result.setup.workload.task)
    if result.began:  # of a run directory, since equal searches have equal pages
        about["began"] = result.began[:16].replace("T", " ") + " UTC"
    if np.isfinite(cost.seconds):
        about["took"] = f"{cost.seconds:.1f} s, with compilation"
    python = about.pop("python", "")
    computed = [*result.devices, f"Python {python}" * bool(python)]
    computed += [f"{name} {number}" for name, number in given.versions.items()]
    about["computed by"] = ", ".join(filter(None, computed))
    rows = [f"<dt>{escape(n)}</dt><dd>{escape(v)}</dd>" for n, v in about.items() if v]
    return [f'<dl class="facts">{"".join(rows)}</dl>']


def _to_copy(result: Result) -> str:
    """Return the best setting and the space as text to copy, folded."""
    best, names = result.best.hparams, Names()
    document = {name: value_document(value) for name, value in best.items()}
    texts = {
        "The best setting in Python": f"best = {code_of(best, names)}",
        "The same as JSON": json.dumps(document),
        "The space": f"space = {space_code(result.setup.space, names)}",
    }
    if result.setup.workload.trains:
        texts["Its model, in Python and from a run directory"] = (
            "result.train().save('model.safetensors')\n"
            f"jaxtune train DIR {result.best.trial} --out model.safetensors"
        )
    shown = [
        f"<p>{escape(name)}:</p><pre>{escape(text)}</pre>"
        for name, text in texts.items()
    ]
    return f"<details><summary>Text to copy</summary>{''.join(shown)}</details>"


def _searched(result: Result) -> list[str]:
    space, best = result.setup.space, {}
    if np.isfinite(result.standing).any():
        best = result.best.hparams
    rows = [
        (
            name,
            cell(best.get(name, "–")),
            bounds_cell(space[name]),
            _scale(space[name]),
            space[name].tier,
            cell(space[name].default),
            *([_belief(space[name])] if believed(space) else []),
        )
        for name in space.searched
    ]
    fixed = [name for name in space.names if name not in space.searched]
    values = [f"{name} = {cell(space[name].default)}" for name in fixed]
    also = f"<p>Fixed: {escape(', '.join(values))}.</p>" if values else ""
    head = ["hyperparameter", "best", "range", "scale", "tier", "default"]
    head += ["belief"] if believed(space) else []
    return [
        wide_table(head, rows, "Range of each hyperparameter"),
        also,
        *_edges(result),
    ]


def _belief(dim: Dimension) -> str:
    """Return where good values of a dimension were expected."""
    if dim.prior is None:
        return "–"
    value, spread = stated(dim)
    return f"near {cell(value)}, spread {spread:g}"


def _scale(dim: Dimension) -> str:
    """Return a dimension's scale, or its kind if it has no scale, in words."""
    if dim.kind in ("continuous", "integer"):
        return dim.scale.replace("reverse_log", "log of 1 − x")
    return dim.kind.removeprefix("named_").replace("_", " ")


def _edges(result: Result) -> list[str]:
    # with fewer scores `analysis.edges` raises
    if np.isfinite(result.standing).sum() < 4:
        return []
    notes = []
    for edge in analysis.edges(result):
        near = f"the best trials reach the {edge.side} end"
        advice = "There is no wider range to suggest."
        if edge.suggestion is not None:
            advice = f"Try a wider range, with {cell(edge.suggestion)} as its end."
        text = f"{edge.name}: {near} of its range, {cell(edge.bound)}. {advice}"
        notes.append(f'<p class="note">{escape(text)}</p>')
    return notes


def _zoom(result: Result) -> list[Any]:
    names = result.setup.space.searched
    # a study has one box, the whole space
    if not names or result.compared or not np.isfinite(result.standing).any():
        return []
    rows = [
        (number + 1, *(bounds_cell(space[name]) for name in names))
        for number, space in enumerate(result.spaces)
        if number not in result.confirming_rounds
    ]
    return [zoom(result), wide_table(("round", *names), rows, "Box of each round")]


def _front(result: Result) -> list[Any]:
    """Return the trials that no other one dominates, with several goals."""
    if not result.setup.goals or not result.front:
        return []
    names = [goal.name for goal in result.setup.goals]
    searched = result.setup.space.searched
    column = ranking.orient(result.trials[names[0]], result.setup.goals[0].mode)
    trials = sorted(result.front, key=lambda trial: -column[trial])
    rows = [
        (trial, *(cell(result.trials[name][trial]) for name in (*names, *searched)))
        for trial in trials[: data.MOST]
    ]
    return [
        f"<p>{len(trials)} of {len(result.trials)} trials are in the front: no other "
        "trial is at least as good in every goal and better in one.</p>",
        '<div class="panels">',
        *(front_of(result, [pair]) for pair in combinations(result.setup.goals, 2)),
        "</div>",
        wide_table(("trial", *names, *searched), rows, "Trials in the front"),
    ]


def _constraints(result: Result) -> list[str]:
    """Return how many trials are within each limit."""
    limits, columns = result.setup.constraints.limits, result.trials.columns
    count = len(result.trials)
    rows = []
    for limit in limits:
        over = violation([limit], columns, count)
        values = np.asarray(columns[limit.name], np.float64)
        finite = values[np.isfinite(values)]
        spread = (cell(finite.min()), cell(finite.max())) if finite.size else ("–", "–")
        rows.append((limit, f"{(over == 0).sum()} of {count}", *spread))
    rules = [(rule, "all", "", "") for rule in result.setup.constraints.rules]
    if not rows and not rules:
        return []
    head = ("constraint", "trials that meet it", "smallest", "largest")
    shown = [(str(part), *rest) for part, *rest in [*rows, *rules]]
    every = f"<p>{int(result.feasible.sum())} of {count} trials meet all of them.</p>"
    return [every, wide_table(head, shown, "Trials within each limit")]


def _history(result: Result) -> list[Any]:
    if not np.isfinite(result.standing).any():
        return []
    return ['<div class="pairs">', history(result), best_of(result), "</div>"]


def _importance(result: Result) -> list[Any]:
    try:
        found = analysis.importances(result)
    except ValueError as error:  # too few trials, or all alike
        why = str(error).removeprefix("importances: ")
        return [f'<p class="soft">No importances are known: {escape(why)}</p>']
    about = (
        f"<p>{order_of(found)}: of two hyperparameters of different tiers, the one of "
        "the lower tier is the more important one.</p>"
    )
    return [
        f"<p>{escape(found.words)}</p>",
        importance(result, found),
        about if np.isfinite(found.order) else "",
    ]


def _slices(result: Result) -> list[Any]:
    names = result.setup.space.searched
    if not names:
        return []
    # a picture for each, so that they stack on a narrow page
    return ['<div class="panels">', *(slices_of(result, [n]) for n in names), "</div>"]


def _map(result: Result) -> list[Any]:
    if result.setup.space.dim < 2 or not np.isfinite(result.standing).any():
        return []
    return [contour(result)]


def _folds(result: Result) -> list[Any]:
    """Return the scores of the best trials on each fold, and the size of each."""
    if result.setup.folds is None or not np.isfinite(result.standing).any():
        return []
    found, best = result.folds, result.best.trial
    rows = [
        (number, f"{len(train):,}", f"{len(valid):,}", cell(found.means[best, number]))
        for number, (train, valid) in enumerate(found.rows)
    ]
    head = ("fold", "trains on rows", "scored on rows", "score of the best trial")
    table = wide_table(head, rows, "Rows and best score of each fold") if rows else ""
    return [fold_scores(result), table]


def _failures(result: Result) -> list[str]:
    """Return the ranges of the space in which trials failed."""
    found = result.divergence
    if not found.trials:
        return []
    rows = [
        (
            region.name,
            f"{cell(region.low)} to {cell(region.high)}",
            region.failed,
            region.tried,
            f"{region.share:.0%}",
        )
        for region in found.regions
    ]
    head = ("hyperparameter", "range of failed trials", "failed", "tried", "share")
    # the range of two points is as narrow as chance made it
    few = found.trials < FAILURES
    table = "" if few else wide_table(head, rows, "Where trials failed")
    each = "seed" if result.setup.folds is None else "fold and seed"
    return [
        f"<p>{counted(found.trials, 'trial')} failed, with "
        f"{counted(found.lanes, 'failed training')} in all "
        f"(a trial has one training for each {each}).</p>",
        table,
    ]


def _stopping(result: Result) -> list[Any]:
    """Return what a scheduler saved, and whether early scores predicted late ones."""
    if not len(result.rungs.trial):
        return []
    cost, stopped = result.cost, int(result.ended_early.sum())
    rows = []
    # where no trial is compared with another, early scores decide nothing about late
    # ones, and there may be a rung for every epoch
    if not any(training.own_pace for training in result.rounds):
        rows = [
            (row.early, row.late, row.trials, f"{row.correlation:.2f}")
            for row in analysis.rung_correlations(result)
        ]
    names = ("scores at epoch", "and at epoch", "trials", "rank correlation")
    return [
        f"<p>{stopped} of {len(result.trials)} trials ended early: "
        f"{cost.in_words}; trials used "
        f"{cost.occupancy:.0%} of the computed lane-epochs.{_on_subsets(result)}</p>",
        '<div class="pairs">',
        curves(result),
        rungs(result),
        "</div>",
        wide_table(names, rows, "Early scores against late ones") if rows else "",
        *([lineage(result)] if len(result.lineage.trial) else []),
    ]


def _on_subsets(result: Result) -> str:
    """Return what an epoch is where rungs are parts of the training data."""
    if not result.setup.workload.budget_rows:
        return ""
    whole = result.setup.workload.epochs
    return (
        f" Each rung is a training of {whole} epochs on a part of the training data, "
        "and an epoch here is as many examples as one of all of them."
    )


def _epochs(result: Result) -> list[Any]:
    """Return the curves of all metrics, if the search kept them."""
    return [epochs(result)] if result.setup.workload.scoring.history else []


def _ensemble(result: Result) -> list[Any]:
    choice = choice_of(result)
    if choice is None:
        return []
    rows = [
        (f"{one.weight:.0%}", one.trial, one.seed, cell(one.score))
        for one in choice.members
    ]
    setup = result.setup
    text = (
        f"The mean prediction of {len(rows)} of {len(choice.candidates)} models has "
        f"{setup.metric} {choice.selection.score:.6g} on the validation split, where "
        f"they were chosen; the best of them alone {choice.single(setup.mode):.6g}."
    )
    return [
        f"<p>{escape(text)}</p>",
        growth_of(result, choice),
        wide_table(("weight", "trial", "seed", setup.metric), rows, "Its models"),
        "<p>To train and save it: <code>jaxtune ensemble DIR --out FILE</code></p>",
    ]


def _trials(result: Result) -> list[str]:
    shown, count = min(len(result.trials), data.MOST), len(result.trials)
    some = "" if shown == count else f" The best {shown} of {count} are listed."
    # the elements with ids are filled by page.js, which shows what needs it
    return [
        f"<p>{_rank_words(result)}{some}</p>",
        '<div id="explore" hidden>',
        "<p>Each line is a trial, the best ones the most visible. Drag along an axis "
        "to choose trials; click it to choose all of them again. With a keyboard: Tab "
        "to an axis, arrow keys move the brush, Shift and arrow keys change its size, "
        "Escape removes it. Click a heading of the table to sort by it.</p>",
        '<div id="parallel" role="group" aria-label="Parallel coordinates">'
        "<canvas></canvas><svg></svg></div>",
        '<p class="row"><button type="button" id="clear">choose all</button>'
        '<span id="count" class="soft" role="status"></span></p>',
        '<div class="wide"><table id="all-trials"><caption>All trials</caption>'
        "<thead><tr></tr></thead><tbody></tbody></table></div>",
        '<p class="row"><button type="button" id="more">show more</button></p>',
        "</div>",
        "<noscript><p>The table needs JavaScript.</p></noscript>",
    ]


def _rank_words(result: Result) -> str:
    """Return by what trials rank, in the order in which it decides."""
    setup, reasons = result.setup, []
    if result.confirming_rounds:
        reasons.append("what was measured again")
    if setup.constraints.limits:
        reasons.append("the constraints that are met")
    if len(np.unique(result.trials.stage[~result.trials.failed])) > 1:
        reasons.append("the epochs trained")
    if setup.goals:
        reasons.append("the front")
    reasons.append(escape(setup.metric))
    without = (
        "Repeats and failed trials" if result.confirming_rounds else "Failed trials"
    )
    reason = ", then ".join(reasons)
    return f"Rank 1 is the best trial, by {reason}. {without} have no rank."


def _cost(result: Result) -> list[str]:
    cost, rows = result.cost, []
    if np.isfinite(cost.seconds):
        rows.append(("seconds, with compilation", f"{cost.seconds:.1f}"))
    if cost.epochs:
        rows.append(("epochs trained", f"{cost.epochs:,}"))
    with contextlib.suppress(ValueError):  # a plain function, or a task not at hand
        rows.append(("floating-point operations", f"{analysis.operations(result):.3g}"))
    return [wide_table(("cost", "value"), rows, "What the search took")] if rows else []


def _reproduce(result: Result) -> list[str]:
    call = printed_call(result)
    names = [f"# {name}: {what}" for name, what in call.names.items()]
    head = ["import jax, jax.numpy as jnp, jaxtune as jt", "", *names]
    code = "\n".join([*head, call.space, f"result = {call.text}"])
    stopped = ""
    if result.stopped:
        stopped = " It does not stop where this search did, and goes on."
    alone = ""
    if np.isfinite(result.standing).any() and result.setup.workload.trains:
        alone = (
            "<p>To train the best trial again, if the search has a run directory: "
            f"<code>jaxtune rerun DIR {result.best.trial}</code></p>"
        )
    yours = " What the comments name has no text here." if names else ""
    return [
        "<p>With your <code>task</code>, the same call gives the same table, to the "
        f"bit, on the same machine and versions.{yours}{stopped}</p>",
        f"<pre>{escape(code)}</pre>",
        alone,
    ]


ALL: dict[str, Callable[[Result], Sequence[Any]]] = {
    "Values compared": _study,
    "Search space": _searched,
    "Front": _front,
    "Constraints": _constraints,
    "Coarse to fine": _zoom,
    "History": _history,
    "Importance": _importance,
    "Each hyperparameter": _slices,
    "Map": _map,
    "Folds": _folds,
    "Early stopping": _stopping,
    "Every epoch": _epochs,
    "Ensemble": _ensemble,
    "Failed trials": _failures,
    "Trials": _trials,
    "Cost": _cost,
    "Run it again": _reproduce,
}
"""Heading of each section to the function that makes it, in the order of the page."""


def wide_table(head: Sequence[str], rows: Iterable[Sequence[Any]], caption: str) -> str:
    """Return a table that scrolls sideways if it is wider than the page."""
    return f'<div class="wide">{markup.html_table(head, rows, caption)}</div>'
