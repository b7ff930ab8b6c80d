"""Reasons to end a search before its time: a score, a time, rounds without progress.

A reason is a function of the result so far. It is asked after every block that was
recorded, in the order of blocks, and after every round.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxtune import ranking
from jaxtune.brevity import brief
from jaxtune.checks import as_whole, is_whole
from jaxtune.results.result import Result
from jaxtune.space.values import is_number, plain

UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


@brief
class Stop(NamedTuple):
    """A reason to end a search; call it with a result.

    Args:
      judge: ``result -> reason``, ``None`` to go on.
      by_clock: whether it reads a clock. Then blocks in flight are kept, and it is
        asked before there is a score.
    """

    judge: Callable[[Result], str | None]
    by_clock: bool = False

    def __call__(self, result: Result) -> str | None:
        """Return the reason, or ``None``."""
        return self.judge(result)


def at(score: float) -> Stop:
    """Stop when the best trial has a score.

    >>> import jax
    >>> import jaxtune as jt
    >>> found = jt.search(
    ...     lambda key, h: (h["x"] - 0.3) ** 2,
    ...     jt.Space(x=jt.uniform(0.0, 1.0)),
    ...     key=jax.random.key(0),
    ...     trials=40,
    ...     rounds=5,
    ...     mode="min",
    ...     stop=jt.stop.at(1e-3),
    ...     verbose=0,
    ... )
    >>> found.finished, len(found.trials) < 40, found.best.score <= 1e-3
    (False, True, True)

    Args:
      score: of `Result.best`, at least or at most, as the mode of the search is.

    Returns:
      An argument for ``search(stop=...)``.

    Raises:
      ValueError: not a number.
    """
    value = plain(score)
    if not is_number(value) or not math.isfinite(value):
        raise ValueError(f"at: got {score!r}. Use a score, such as at(0.97).")

    def judge(result: Result) -> str | None:
        sign, best = ranking.direction(result.setup.mode), result.best
        if sign * best.score < sign * value or not result.feasible[best.trial]:
            return None
        return f"trial {best.trial} has reached {value:g} with {best.score:.6g}"

    return Stop(judge)


def after(time: str | float | datetime.timedelta) -> Stop:
    """Stop when a search has taken so long, earlier sessions of its run included.

    It is asked when a block has ended, and blocks in flight are kept, so a search takes
    a little longer. The trials that it has depend on the clock; their numbers do not.

    >>> import jaxtune as jt
    >>> stop = jt.stop.after("1h30m")

    Args:
      time: such as ``"2h"``, ``"90s"``, ``"1h30m"``; a number of seconds; or a
        ``timedelta``.

    Returns:
      An argument for ``search(stop=...)``.

    Raises:
      ValueError: no such time.
    """
    limit = _seconds(time)
    shown = time if isinstance(time, str) else f"{limit:g} s"

    def judge(result: Result) -> str | None:
        return f"{shown} are over" if result.seconds >= limit else None

    return Stop(judge, by_clock=True)


def stalled(rounds: int = 3) -> Stop:
    """Stop when so many rounds in a row brought no better trial.

    >>> import jaxtune as jt
    >>> stop = jt.stop.stalled(rounds=2)

    Args:
      rounds: whole rounds without a better trial.

    Returns:
      An argument for ``search(stop=...)``.

    Raises:
      ValueError: not a whole number from 1.
    """
    rounds = as_whole(rounds)
    if not is_whole(rounds, 1):
        raise ValueError(f"stalled: rounds={rounds!r}. Use a whole number from 1.")

    def judge(result: Result) -> str | None:
        if not all(training.over for training in result.rounds):
            return None
        best = max(result.front or [result.best.trial])
        since = len(result.rounds) - 1 - int(result.trials["round"][best])
        if since < rounds:
            return None
        plural = "s" if since > 1 else ""
        return f"{since} round{plural} brought nothing better than trial {best}"

    return Stop(judge)


def check_stop(given: Any) -> tuple[Stop, ...]:
    """Return the reasons to stop that were given: none, one, or a list of them.

    Raises:
      ValueError: what is not a function.
    """
    if given is None:
        return ()
    if isinstance(given, Stop):
        return (given,)
    many = given if isinstance(given, list | tuple) else [given]
    for one in many:
        maker = any(one is make for make in (at, after, stalled))
        if not callable(one) or maker or isinstance(one, type):
            raise ValueError(
                f"stop: got {one!r}. Use jaxtune.stop.at(0.97), stop.after('2h'), "
                "stop.stalled(rounds=3), or a function of the result so far."
            )
    return tuple(one if isinstance(one, Stop) else Stop(one) for one in many)


def reason_of(stops: tuple[Stop, ...], result: Result) -> str:
    """Return why a search is to stop, or an empty text.

    Raises:
      ValueError: a function that returns neither a text nor a truth value.
    """
    scored = bool(np.isfinite(result.standing).any())
    for one in stops:
        if not (scored or one.by_clock):
            continue
        found = plain(one(result))
        if found is None or found is False or found == "":
            continue
        if found is True:
            return f"{getattr(one.judge, '__name__', 'stop')} said so"
        if not isinstance(found, str):
            raise ValueError(
                f"stop: the function returned {found!r}. Return the reason as a text, "
                "or True; None or False to go on."
            )
        return found
    return ""


def _seconds(time: Any) -> float:
    if isinstance(time, datetime.timedelta):
        value: Any = time.total_seconds()
    elif isinstance(time, str):
        value = _parsed(time)
    else:
        value = plain(time)
    if not is_number(value) or not 0 < value < math.inf:
        raise ValueError(
            f"after: got {time!r}. Use a time such as '2h', '90s' or '1h30m', or a "
            "number of seconds."
        )
    return float(value)


def _parsed(text: str) -> float | None:
    """Return the seconds of ``"1h30m"``; ``None`` for what is no time."""
    part = r"(\d+(?:\.\d+)?)\s*(min|s|m|h|d)\s*"
    if not re.fullmatch(f"\\s*(?:{part})+", text):
        return None
    return sum(float(n) * UNITS[unit] for n, unit in re.findall(part, text))
