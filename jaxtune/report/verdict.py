"""Words for a paired test of two methods, which follow its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jaxtune.analysis import Contrast
from jaxtune.analysis.paired import LEVEL, fewest_pairs
from jaxtune.printing import counted
from jaxtune.report.cells import tick


def sentence_of(contrast: Contrast, along: str, metric: str, mode: str) -> str:
    """Return what is known of a pair of methods.

    Args:
      contrast: the pair, the better one first.
      along: ``"trials"`` or ``"epochs"``.
      metric: name of the score.
      mode: ``"max"`` or ``"min"``.
    """
    said = _sentence(contrast, along, metric, mode)
    if not contrast.alone:
        return said
    left = "1 search is" if contrast.alone == 1 else f"{contrast.alone} searches are"
    return f"{said} {left} left out: the other method has no score with such a key."


def _sentence(contrast: Contrast, along: str, metric: str, mode: str) -> str:
    one, other, test = contrast.better, contrast.other, contrast.test
    after = f"after {contrast.amount:,} {along}"
    if test is None and not contrast.alone:
        return f"{one} and {other} have no score, so nothing is tested."
    if test is None:
        return (
            f"{one} and {other} have no key in common with a score of both, so nothing "
            "is tested. Search with the same keys."
        )
    if test.difference == 0 and not test.wins:
        return f"{one} and {other} are equal {after}, {_in_all(test.pairs)}."
    numbers = _numbers(contrast, metric, mode)
    if shows_a_difference(contrast):
        return f"{one} is better than {other} {after}: {numbers}."
    if test.pairs < 2 or test.smallest_p * contrast.tests > LEVEL:
        return (
            f"{one} has the better mean {after}: {numbers}. {_few(contrast)}"
            if test.difference
            else f"{one} and {other} have equal means {after}. {_few(contrast)}"
        )
    return (
        f"No difference between {one} and {other} is shown {after}: {numbers}. What "
        "the interval holds remains possible."
    )


def answer_of(names: Sequence[str], contrasts: Sequence[Contrast]) -> str:
    """Return the shortest answer: which method is better, as far as that is shown.

    Args:
      names: of the methods, the one with the best mean first.
      contrasts: a test of each pair.
    """
    first, *others = names
    if not others:
        return f"{first}: there is no other method to compare it with"
    shown: dict[str, list[str]] = {}
    for one in filter(shows_a_difference, contrasts):
        shown.setdefault(one.better, []).append(one.other)
    if first in shown:
        return f"{first} is better than {_and(sorted(shown[first]))}"
    if shown:  # between others, such as where the first one varies more
        parts = [f"{name} is better than {_and(sorted(shown[name]))}" for name in shown]
        return "; ".join(parts)
    equal = all(one.test and not one.test.wins + one.test.losses for one in contrasts)
    return f"{_and(sorted(names))}: no difference{'' if equal else ' is shown'}"


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def shows_a_difference(contrast: Contrast) -> bool:
    """Return whether both the p-value and the interval speak of a difference."""
    # the test looks at signs, the interval at the spread: words follow both
    test = contrast.test
    return test is not None and contrast.p <= LEVEL and test.low > 0


def _numbers(contrast: Contrast, metric: str, mode: str) -> str:
    test = contrast.test
    assert test is not None, "asked for pairs with a test only"
    word = "higher" if mode == "max" else "lower"
    interval = ""
    if math.isfinite(test.low):
        interval = f" (95 % interval {tick(test.low)} to {tick(test.high)})"
    ties = test.pairs - test.wins - test.losses
    equal = f", equal with {ties}" if ties else ""
    several = f", adjusted for {contrast.tests} pairs" if contrast.tests > 1 else ""
    keys = counted(test.pairs, "key")
    return (
        f"{metric} {word} by {tick(test.difference)}{interval}, better with "
        f"{test.wins} of {keys}{equal}, p = {contrast.p:.2g}{several}"
    )


def _in_all(pairs: int) -> str:
    return "with its one key" if pairs == 1 else f"with each of {pairs} keys"


def _few(contrast: Contrast) -> str:
    test, fewest = contrast.test, fewest_pairs(contrast.tests)
    assert test is not None, "asked for pairs with a test only"
    keys = counted(test.pairs, "key")
    least = min(1.0, test.smallest_p * contrast.tests)
    return (
        f"With {keys} no p-value below {least:.2g} is possible: to show a difference "
        f"at 5 % takes {fewest} keys or more."
    )
