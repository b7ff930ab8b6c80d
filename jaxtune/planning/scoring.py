"""The rule by which a trial gets its score: of the last epoch, the best, or several."""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxtune.checks import as_whole, is_whole

LAST, BEST = "last", "best"
BEST_EPOCH = "best_epoch"
"""The metric beside those of the task that says which epoch was the best."""


class Scoring(NamedTuple):
    """The rule by which a lane gets its metrics from those after each epoch.

    Args:
      score: ``"last"``, ``"best"``, or a number of last epochs, of which it is the
        mean.
      history: whether the metrics after every epoch are kept in the result.
      metric: the metric by which an epoch is the best.
      mode: ``"max"`` or ``"min"``, of this metric.
    """

    score: str | int = LAST
    history: bool = False
    metric: str = ""
    mode: str = "max"

    @property
    def each_epoch(self) -> bool:
        """True if lanes are scored after every epoch, and not only at rungs."""
        return self.history or self.score != LAST

    @property
    def added(self) -> tuple[str, ...]:
        """Names of metrics that the rule adds to those of the task."""
        return (BEST_EPOCH,) if self.score == BEST else ()


def check_scoring(score: Any, history: Any, epochs: int) -> Scoring:
    """Return the rule that a user asks for, without its metric.

    Args:
      score: the argument of `search`.
      history: the argument of `search`.
      epochs: of a whole training; 0 for a plain function.

    Raises:
      ValueError: an argument that makes no sense, with one that does.
    """
    score = as_whole(score)
    named = isinstance(score, str) and score in (LAST, BEST)
    if not named and not is_whole(score, 1):
        raise ValueError(
            f'score: got {score!r}. Use "last", "best", or a whole number from 1: the '
            "mean of so many last epochs."
        )
    if history not in (True, False) or not isinstance(history, bool):
        raise ValueError(f"history: got {history!r}. Use True or False.")
    if not epochs:
        if score != LAST or history:
            given = "history=True" if score == LAST else f"score={score!r}"
            raise ValueError(
                f"{given}: a plain function has a single value and no epochs. Leave "
                "it out."
            )
        return Scoring()
    if not named and score > epochs:
        raise ValueError(
            f"score={score}: a training has {epochs} epochs. Use at most so many."
        )
    # the mean of one epoch is that epoch
    return Scoring(LAST if score == 1 else score, history)
