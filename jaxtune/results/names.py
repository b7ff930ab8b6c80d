"""Names of metrics and hyperparameters that have a column of their own."""

from __future__ import annotations

import re
from collections.abc import Iterable

# columns of the table and of what it is exported to; `Trials.to_pandas` adds score_0, …
OWN = ("trial", "round", "status", "score", "scores", "epochs")
FOLD_SPREAD = "fold_spread"  # in a search with folds alone
REPEAT_OF = "repeat_of"  # in a search that confirms its winner alone
OF_SEEDS = re.compile(r"score_\d+")


def check_metrics(
    metrics: Iterable[object],
    hyperparameters: Iterable[str],
    added: Iterable[str] = (),
    folds: int | None = None,
) -> None:
    """Raise unless every metric and hyperparameter gets a column of its own.

    Args:
      metrics: the names that ``evaluate`` returns.
      hyperparameters: the names of the space.
      added: names of columns that this search has beside the usual ones.
      folds: number of folds; ``None`` without them.

    Raises:
      ValueError: a name that would take the place of another column.
    """
    known, own = list(hyperparameters), (*OWN, *added)
    metrics = list(metrics)
    if folds is not None and FOLD_SPREAD in (*metrics, *known):
        raise ValueError(
            f"folds: {FOLD_SPREAD!r} is the column of the spread over folds, and the "
            "name of a metric or dimension. Rename that."
        )
    for taken in known:
        if OF_SEEDS.fullmatch(taken) or taken in added:
            raise ValueError(f"dimension {taken!r}: {_taken(own)} Choose another.")
    for name in metrics:
        if not isinstance(name, str):
            raise ValueError(
                f"evaluate: got a metric with the name {name!r}. Use a string."
            )
        if name in own or OF_SEEDS.fullmatch(name):
            raise ValueError(
                f"evaluate: a metric has the name {name!r}. {_taken(own)} Rename the "
                "metric."
            )
        if name in known:
            raise ValueError(
                f"evaluate: the metric {name!r} has the name of a hyperparameter, and "
                "both need a column of the table. Rename one of them."
            )


def check_repeat_column(metrics: Iterable[object], names: Iterable[str]) -> None:
    """Raise unless a search that measures again has a column for what trials repeat.

    Args:
      metrics: the names that ``evaluate`` returns.
      names: the names of the space.

    Raises:
      ValueError: a metric or dimension of that name.
    """
    if REPEAT_OF in (*metrics, *names):
        raise ValueError(
            f"{REPEAT_OF!r} is the column that says which trial another one repeats "
            "with confirm= and in a race, and the name of a metric or dimension. "
            "Rename that."
        )


def _taken(own: Iterable[str]) -> str:
    return f"jaxtune's own tables use {', '.join(own)}, score_0, score_1 and so on."
