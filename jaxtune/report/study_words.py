"""Words for what a study found, which follow its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

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
    labels = [_full_label(found, value) for value in found.values]
    lost = _left_out(found)
    if sum(value.compared for value in found.values) < 2:
        why = [f"{reason} with {_few(names)}" for reason, names in lost.items()]
        return f"Nothing is compared: {'; '.join(why)}."
    pairs = {frozenset((p.better, p.other)): p for p in found.contrasts}
    against = [pairs[frozenset((best, i))] for i in others if _has(pairs, best, i)]
    worse = [pair for pair in against if pair.shown]
    undecided = [pair for pair in against if not pair.shown]
    lucky = [pair for pair in undecided if pair.beyond_seeds and pair.better == best]
    rest = [pair for pair in undecided if pair not in lucky]
    unknown = [p for p in rest if not p.seen <= found.spread or math.isinf(p.seen)]
    alike = [p for p in rest if p not in unknown and _is_alike(p, found.values)]
    unshown = [p for p in rest if p not in unknown and p not in alike]
    parts = []
    if len(found.names) > 1:
        return _sentence([_of_combinations(found, against), *_without(lost)])
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
        parts.append(f"{_alike(alike, best, labels, metric)}{_needed(alike)}")
    if unshown:
        near = _each(unshown, best, labels, f"{metric} apart by ")
        parts.append(
            f"no difference is shown at this budget between {labels[best]} and {near}"
            f"{_needed(unshown)}"
        )
    if unknown:
        near = _each(unknown, best, labels, f"{metric} apart by ")
        parts.append(
            f"whether {labels[best]} differs from {near} is not known{_needed(unknown)}"
        )
    said = _sentence([*parts, *_without(lost)])
    # the first word is the name of a value, which keeps its letters, or one of ours
    named = bool(worse or (alike and not lucky))
    return said if named else said[0].upper() + said[1:]


def _full_label(found: ComparedValues, value: TunedValue) -> str:
    """Return the name of a value, with those of the other scientific ones."""
    others = [f"{name}={tick(value.nuisances[name])}" for name in found.others]
    return label_of(value) + (f" ({', '.join(others)})" if others else "")


def _is_alike(pair: ValueContrast, values: Sequence[TunedValue]) -> bool:
    """Return whether two values may be said not to differ.

    What would be shown is no more than trainings of one setting differ, and the two
    settings that were found do not differ either.
    """
    noise = max(float(np.ptp(values[i].scores)) for i in (pair.better, pair.other))
    return pair.seen <= noise and pair.test.low <= 0


def _needed(pairs: Sequence[ValueContrast]) -> str:
    """Return which difference would be shown, if any would."""
    most = max(pair.seen for pair in pairs)
    if math.isinf(most):
        return ""
    size = tick(_rounded(most))
    return f"; one of more than {size} would be shown in four of five such studies"


def _sentence(parts: Sequence[str]) -> str:
    return f"{'; '.join(parts)}."


def _left_out(found: ComparedValues) -> dict[str, list[str]]:
    """Return why values are not compared, each reason with the values it holds for."""
    lost: dict[str, list[str]] = {}
    for place in found.order:
        value = found.values[place]
        if not value.compared:
            label = label_of(value)
            shown = f"({label})" if len(found.names) > 1 else label
            lost.setdefault(_reason(value), []).append(shown)
    return lost


def _reason(value: TunedValue) -> str:
    """Return why a value is not compared."""
    if value.trial < 0:
        return "all settings failed"
    if not value.feasible:
        return "no setting meets the constraints"
    lost = len(value.scores) - int(np.isfinite(value.scores).sum())
    return f"the best setting failed in {lost} of {len(value.scores)} repeats"


def _without(lost: dict[str, list[str]]) -> list[str]:
    """Return the parts of a sentence on values that are not compared."""
    return [
        f"{_few(names)} {'is' if len(names) == 1 else 'are'} not compared, as {reason}"
        for reason, names in lost.items()
    ]


def _few(names: Sequence[str]) -> str:
    """Return names as a list, the first few if there are many."""
    more = len(names) - SHOWN
    return as_list(names if more <= 0 else [*names[:SHOWN], f"{more} more"])


def _alike(
    pairs: Sequence[ValueContrast], best: int, labels: Sequence[str], metric: str
) -> str:
    """Return the part of the sentence on values that do not differ from the best."""
    how, one = f"{metric} apart by ", labels[_rest(pairs[0], best)]
    if len(pairs) == 1:
        said = f"{labels[best]} and {one} do not differ at this budget"
        return f"{said} ({_numbers(pairs[0], how)})"
    near = _each(pairs, best, labels, how)
    return f"{labels[best]} does not differ at this budget from {near}"


def _of_combinations(found: ComparedValues, against: Sequence[ValueContrast]) -> str:
    """Return the part of the sentence on the best of several combinations."""
    best = found.order[0]
    near = [label_of(found.values[_rest(p, best)]) for p in against if not p.shown]
    worse = len(against) - len(near)
    said = (
        f"{label_of(found.values[best])} is the best combination, with a mean of "
        f"{tick(_rounded(found.values[best].mean))}; at this budget it is better than "
        f"{worse} of the {len(found.values) - 1} others"
    )
    if near:
        said += f", and not told apart from {_few([f'({name})' for name in near])}"
    return said


def bounds_of(result: Result, comparisons: Sequence[ComparedValues]) -> list[str]:
    """Return what bounds the conclusion of a study, one sentence each."""
    if not result.finished:
        return []
    found = comparisons[-1]
    notes = [*_number(found), *_tuning(comparisons), *_edges(found)]
    if len(comparisons) > 1:
        notes.append(
            "A value of one hyperparameter is judged with the values of the others "
            "that were best with it while tuning. In the sentence of a hyperparameter "
            "p-values are adjusted for its own pairs of values; in the table, for all "
            "pairs of combinations."
        )
    return notes


def _number(found: ComparedValues) -> list[str]:
    """Return a note on budget, repeats, and how many of them a difference takes."""
    first = found.values[found.order[0]]
    tests = len(found.contrasts)
    settings = max(value.settings for value in found.values)
    tuning = counted(first.trials, "setting")
    if settings < first.trials:
        tuning = f"{counted(first.trials, 'trial')} of {counted(settings, 'setting')}"
    note = (
        f"Each value was tuned with {tuning}, and its best "
        f"setting trained again with {counted(len(first.scores), 'fresh seed')}."
    )
    if tests > 1:
        note += f" p-values are adjusted for {tests} pairs (Holm)."
    fewest = fewest_pairs(max(1, tests))
    counts = {"repeats": len(first.scores)}
    if not any(math.isnan(pair.tuning) for pair in found.contrasts):
        counts["trials"] = settings  # else the luck of tuning is not tested
    few = [
        f"{name}={fewest}"
        if settings == first.trials or name == "repeats"
        else f"{fewest} different settings"
        for name, count in counts.items()
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
