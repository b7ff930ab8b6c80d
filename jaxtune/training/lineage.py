"""How trials came to be: which state each went on from, and with which settings."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jaxtune.schedulers import Decision, Progress
from jaxtune.space.points import Points


class Lineage(NamedTuple):
    """Whose states were taken over, and what each trial trained with from then on.

    The first rows are the beginnings of all trials; without any exploitation there are
    no rows at all.

    Args:
      trial: ``[k]`` int.
      epochs: ``[k]`` int, when.
      source: ``[k]`` int, from which trial; itself at its beginning.
      hparams: name to ``[k]``, decoded.
    """

    trial: np.ndarray
    epochs: np.ndarray
    source: np.ndarray
    hparams: dict[str, np.ndarray]


class TrajectorySegment(NamedTuple):
    """A part of a training: as which trial, until when, with which hyperparameters.

    Args:
      trial: whose order of the data and noise are used.
      epochs: the epoch at which it ends.
      hparams: name to a decoded value.
    """

    trial: int
    epochs: int
    hparams: dict[str, Any]


def beginnings(trials: np.ndarray, start: Points) -> Lineage:
    """Every trial begins with itself."""
    zeros = np.zeros(len(trials), np.int32)
    return Lineage(trials, zeros, trials, dict(start.hparams))


def _takings(
    trials: np.ndarray,
    now: Points,
    decided: Decision,
    over: np.ndarray,
    progress: Progress,
) -> Lineage:
    rows, source = decided.trial[over], decided.source[over]
    hparams = {name: values[rows] for name, values in now.hparams.items()}
    return Lineage(trials[rows], progress.epochs[source], trials[source], hparams)


def trajectory_of(lineage: Lineage, last: TrajectorySegment) -> list[TrajectorySegment]:
    """The legs that led to a state.

    Args:
      lineage: of the trial's round.
      last: the trial, the epoch that it reached, and its present hyperparameters.

    Returns:
      Legs in order.
    """
    legs: list[TrajectorySegment] = []
    trial, until = last.trial, last.epochs
    while True:
        known = (lineage.trial == trial) & (lineage.epochs < until)
        if not known.any():
            # it never took over, and nor did those that it comes from
            return [*([] if legs else [last]), *reversed(legs)]
        row = np.flatnonzero(known)[-1]
        hparams = {name: values[row] for name, values in lineage.hparams.items()}
        legs.append(TrajectorySegment(trial, until, hparams))
        trial, until = int(lineage.source[row]), int(lineage.epochs[row])


def joined(parts: list[Lineage]) -> Lineage:
    """Several lineages as one, in order."""
    names = parts[0].hparams
    return Lineage(
        np.concatenate([part.trial for part in parts]),
        np.concatenate([part.epochs for part in parts]),
        np.concatenate([part.source for part in parts]),
        {name: np.concatenate([p.hparams[name] for p in parts]) for name in names},
    )


def no_lineage(start: Points) -> Lineage:
    """Nobody took over anything."""
    none = np.zeros(0, np.int32)
    return Lineage(none, none, none, {n: v[:0] for n, v in start.hparams.items()})
