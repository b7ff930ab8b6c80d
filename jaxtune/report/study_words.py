"""Words for what a study found, which follow its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jaxtune.analysis import ComparedValues, TunedValue, ValueContrast
from jaxtune.analysis.paired import fewest_pairs
from jaxtune.printing import counted
from jaxtune.report.cells import tick
from jaxtune.report.describe import as_list
from jaxtune.results.result import Result

SHOWN = 3  # combinations that are named in a sentence


def label_of(value: TunedValue) -> str:
    """Return the name of a value; of several hyperparameters, with their names."""
    if len(value.values) == 1:
        return " or ".join(map(tick, value.values.values()))
    return ", ".join(f"{name}={tick(one)}" for name, one in value.values.items())


def conclusion_of(found: ComparedValues, metric: str) -> str:
    """Return one sentence on the best value, and how it differs from the others.

    Args:
      found: the values of a finished study.
      metric: name of the score.
    """
    best, *others = found.order
    labels = [label_of(value) for value in found.values]
    lost = [labels[i] for i in found.order if not found.values[i].compared]
    if len(labels) - len(lost) < 2:
        return (
            f"Nothing is compared: {as_list(lost)} failed in a repeat, or "
            f"{'have' if len(lost) > 1 else 'has'} no setting that meets the "
            "constraints."
        )
    pairs = {frozenset((p.better, p.other)): p for p in found.contrasts}
    against = [pairs[frozenset((best, i))] for i in others if _has(pairs, best, i)]
    worse = [pair for pair in against if pair.shown]
    undecided = [pair for pair in against if not pair.shown]
    lucky = [pair for pair in undecided if pair.beyond_seeds and pair.better == best]
    alike = [p for p in undecided if p not in lucky and math.isfinite(p.seen)]
    unknown = [p for p in undecided if p not in lucky and math.isinf(p.seen)]
    parts = []
    if len(found.names) > 1:
        return _of_combinations(found, against)
    if worse:
        behind = _each(worse, best, labels, f"{metric} better by ")
        parts.append(f"{labels[best]} is better at this budget than {behind}")
    if lucky:
        behind = _each(lucky, best, labels, f"{metric} better by ")
        parts.append(
            f"the best setting of {labels[best]} is better than that of {behind}, but "
            "not beyond the luck of tuning"
        )
    if alike:
        near = _each(alike, best, labels, f"{metric} apart by ")
        seen = tick(_rounded(max(pair.seen for pair in alike)))
        pair = f"{labels[best]} and {near} do not differ"
        several = f"{labels[best]} does not differ from {near}"
        parts.append(
            f"{several if alike[1:] else pair} at this budget; a difference of more "
            f"than {seen} would have been seen"
        )
    if unknown:
        near = _each(unknown, best, labels, f"{metric} apart by ")
        parts.append(f"whether {labels[best]} differs from {near} is not known")
    if lost:
        parts.append(f"{as_list(lost)} failed, and cannot be compared")
    said = "; ".join(parts)
    return f"{said[0].upper() if lucky and not worse else said[0]}{said[1:]}."


def _of_combinations(found: ComparedValues, against: Sequence[ValueContrast]) -> str:
    """Return the sentence for the combinations of several hyperparameters."""
    best = found.order[0]
    near = [label_of(found.values[_rest(p, best)]) for p in against if not p.shown]
    worse = len(against) - len(near)
    said = (
        f"{label_of(found.values[best])} is the best combination, with a mean of "
        f"{tick(_rounded(found.values[best].mean))}; at this budget it is better than "
        f"{worse} of the {len(found.values) - 1} others"
    )
    if near:
        more = len(near) - SHOWN
        shown = near if more <= 0 else [*near[:SHOWN], f"{more} more"]
        said += f", and not told apart from {as_list([f'({name})' for name in shown])}"
    return f"{said}."


def notes_of(result: Result, comparisons: Sequence[ComparedValues]) -> list[str]:
    """Return what has to be known of a study, one sentence each."""
    if not result.finished:
        return []
    found = comparisons[-1]
    notes = [*_number(found), *_tuning(comparisons), *_edges(found)]
    if len(comparisons) > 1:
        notes.append(
            "The value of one hyperparameter is that of its best combination with the "
            "others; p-values are adjusted within each hyperparameter, and not over "
            "them."
        )
    return notes


def _number(found: ComparedValues) -> list[str]:
    """Return a note on budget, repeats, and how many of them a difference takes."""
    first = found.values[found.order[0]]
    tests = len(found.contrasts)
    note = (
        f"Each value was tuned with {counted(first.trials, 'setting')}, and its best "
        f"setting trained again with {counted(len(first.scores), 'fresh seed')}."
    )
    if tests > 1:
        note += f" p-values are adjusted for {tests} pairs (Holm)."
    fewest = fewest_pairs(max(1, tests))
    few = [
        f"{name}={fewest}"
        for name, count in (("repeats", len(first.scores)), ("trials", first.trials))
        if count < fewest
    ]
    if few:
        note += (
            f" With so few no difference can be shown at 5 %: it takes "
            f"{as_list(few)} or more."
        )
    return [note]


def _tuning(comparisons: Sequence[ComparedValues]) -> list[str]:
    """Return notes on the luck of tuning."""
    notes = []
    pairs = [pair for found in comparisons for pair in found.contrasts]
    if any(math.isnan(pair.tuning) for pair in pairs):
        notes.append(
            "The values did not have the same settings in full, so that the luck of "
            "tuning is not tested: what is said holds for the settings that were found."
        )
    if any(pair.beyond_seeds and not pair.shown for pair in pairs):
        notes.append(
            "Fresh seeds show that one setting is better than another, and not that "
            "its value is: where the luck of tuning is not excluded, other settings "
            "might have turned this round. More trials would tell."
        )
    return notes


def _edges(found: ComparedValues) -> list[str]:
    notes = []
    for value in found.values:
        for edge in value.edges:
            wider = ""
            if edge.suggestion is not None:
                wider = f" Try a range to {tick(edge.suggestion)}."
            notes.append(
                f"The best settings of {label_of(value)} crowd the {edge.side} end of "
                f"{edge.name}, {tick(edge.bound)}: its optimum may lie outside, and "
                f"the conclusion change.{wider}"
            )
    return notes


def _has(pairs: dict[frozenset[int], ValueContrast], one: int, other: int) -> bool:
    return frozenset((one, other)) in pairs


def _rest(pair: ValueContrast, one: int) -> int:
    return pair.other if pair.better == one else pair.better


def _each(
    pairs: Sequence[ValueContrast], best: int, labels: Sequence[str], how: str
) -> str:
    """Return the values that differ from the best one, each with its numbers."""
    return as_list(
        [f"{labels[_rest(pair, best)]} ({_numbers(pair, how)})" for pair in pairs]
    )


def _numbers(pair: ValueContrast, how: str) -> str:
    test = pair.test
    low, high = (tick(_rounded(end)) for end in (test.low, test.high))
    return (
        f"{how}{tick(_rounded(test.difference))}, 95 % interval {low} to {high}, "
        f"p = {pair.p:.2g}"
    )


def _rounded(value: float) -> float:
    """Return a number of three digits, which says no more than is known."""
    return float(f"{value:.3g}")
