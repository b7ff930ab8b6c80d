"""Check the form of what was read of a round, before anything indexes by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from jaxtune.programs.lane import STATUS
from jaxtune.space import Space
from jaxtune.training.round import Training

FLOAT, WHOLE = "f", "iu"


def check_training(training: Training, count: int, first: int, repeats: int) -> None:
    """Raise ``ValueError`` unless the arrays of a round fit together.

    Args:
      training: of the round, as it was read.
      count: its trials.
      first: id of its first trial.
      repeats: trainings of each trial.
    """
    outcome, final = training.outcome, training.final
    each = (count, repeats)
    _check("status", outcome.status, WHOLE, each, 0, len(STATUS) - 1)
    _check("epochs", outcome.epochs, WHOLE, (count,), 0)
    for name, values in outcome.metrics.items():
        _check(name, values, FLOAT, each)
    for name, values in outcome.history.items():
        _check(name, values, FLOAT, (*each, ...))
    for name, values in outcome.predictions.items():
        _check(name, values, FLOAT, (*each, ...))
    _check("points", final.points, FLOAT, (count, len(final.space.searched)))
    for name, values in final.sizes.items():
        _check(name, values, WHOLE + FLOAT, (count,))
    _check_hparams(final.space, final.hparams, count)
    last = first + count - 1
    for kind, trials in outcome.devices.items():
        _check(kind, trials, WHOLE, (...,), first, last)
    for name, value in _tables(training):
        of_trials = name in ("trial", "source")
        low, high = (first, last) if of_trials else (0, None)
        _check(name, value, WHOLE, (...,), low, high)
    rungs = training.rungs
    _check("scores of rungs", rungs.scores, FLOAT, (len(rungs.trial), repeats))
    _check_hparams(final.space, training.lineage.hparams, len(training.lineage.trial))


def _tables(training: Training) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the columns of tables that have a row for each event, all whole numbers."""
    rungs, lineage = training.rungs, training.lineage
    tables: tuple[dict[str, Any], ...] = (
        {"trial": rungs.trial, "epochs": rungs.epochs},
        {name: getattr(lineage, name) for name in ("trial", "epochs", "source")},
        training.outcome.width_overrides._asdict(),
    )
    for table in tables:
        if len({len(column) for column in table.values()}) > 1:
            raise ValueError(f"{', '.join(table)} are of several lengths")
        yield from table.items()


def _check_hparams(space: Space, hparams: Mapping[str, np.ndarray], count: int) -> None:
    if set(hparams) != set(space.names):
        raise ValueError(f"hyperparameters {', '.join(sorted(hparams))[:100]}")
    for name, values in hparams.items():
        dim = space[name]
        low, high = (0, len(dim.choices) - 1) if dim.by_index else (None, None)
        _check(name, values, WHOLE + FLOAT + "b", (count,), low, high)


def _check(
    name: str,
    array: Any,
    kinds: str,
    shape: tuple[Any, ...],
    low: int | None = None,
    high: int | None = None,
) -> None:
    """Raise ``ValueError`` for another dtype, shape or range; ``...`` is any axis."""
    found = np.asarray(array)
    kind = "f" if found.dtype.kind == "V" else found.dtype.kind  # bfloat16 and its like
    if kind not in kinds:
        raise ValueError(f"{name}: of dtype {found.dtype}")
    if shape[-1] is ...:
        fits = found.shape[: len(shape) - 1] == shape[:-1] and found.ndim >= len(shape)
        fits &= shape != (...,) or found.ndim == 1
    else:
        fits = found.shape == shape
    if not fits:
        raise ValueError(f"{name}: of shape {found.shape}")
    outside = found.size and (
        (low is not None and found.min() < low)
        or (high is not None and found.max() > high)
    )
    if outside:
        raise ValueError(f"{name}: from {found.min()} to {found.max()}")
