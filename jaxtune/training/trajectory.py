"""Lineage: the states that trials took over, and the path of one trial back to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxtune.brevity import brief
from jaxtune.schedulers import Decision, Progress
from jaxtune.space.points import Points


@brief
class Lineage(NamedTuple):
    """States that were taken over, and the settings of each trial from then on.

    The first rows are the beginnings of all trials; where no trial took over another's
    state there are no rows at all.

    Args:
      trial: ``[k]`` int.
      epochs: ``[k]`` int, trained by the state until then.
      source: ``[k]`` int, the trial that the state came from; itself at its beginning.
      hparams: name to ``[k]``, decoded.
    """

    trial: np.ndarray
    epochs: np.ndarray
    source: np.ndarray
    hparams: dict[str, np.ndarray]


@brief
class TrajectorySegment(NamedTuple):
    """A part of a training: of one trial, until one epoch, with one setting.

    Args:
      trial: the order of the data and the noise are those of this trial.
      epochs: the epoch at which it ends.
      hparams: name to a decoded value.
    """

    trial: int
    epochs: int
    hparams: dict[str, Any]


def first_rows(trials: np.ndarray, start: Points) -> Lineage:
    """Return a lineage in which every trial begins with itself."""
    zeros = np.zeros(len(trials), np.int32)
    return Lineage(trials, zeros, trials, dict(start.hparams))


def takeovers(
    trials: np.ndarray,
    now: Points,
    decided: Decision,
    taken: np.ndarray,
    progress: Progress,
) -> Lineage:
    """Return the lineage of one decision.

    Args:
      trials: ``[n]`` trial ids.
      now: the configurations from now on.
      decided: a decision about ``m`` trials.
      taken: ``[m]`` bool, those that took over another trial's state.
      progress: the progress that the decision is based on.
    """
    rows, source = decided.trial[taken], decided.source[taken]
    hparams = {name: values[rows] for name, values in now.hparams.items()}
    # the age of a state comes with it: from now on it is that of the new trial
    return Lineage(trials[rows], progress.epochs[source], trials[source], hparams)


def trajectory_of(lineage: Lineage, last: TrajectorySegment) -> list[TrajectorySegment]:
    """Return the segments that led to a state, in order.

    Args:
      lineage: of the trial's round.
      last: the trial, the epoch that it reached, and its present hyperparameters.
    """
    segments: list[TrajectorySegment] = []
    trial, until = last.trial, last.epochs
    while True:
        # strictly before: a state that was taken at this epoch is the one from before
        # its own trial took over another's at the same epoch
        known = (lineage.trial == trial) & (lineage.epochs < until)
        if not known.any():
            # epoch 0 is reached; a round without takeovers has no rows at all
            return segments[::-1] or [last]
        row = np.flatnonzero(known)[-1]
        hparams = {name: values[row] for name, values in lineage.hparams.items()}
        segments.append(TrajectorySegment(trial, until, hparams))
        trial, until = int(lineage.source[row]), int(lineage.epochs[row])


def trajectory_until(
    trajectory: Sequence[TrajectorySegment], epoch: int
) -> list[TrajectorySegment]:
    """Return the segments that led to the state after an epoch, in order.

    >>> whole = [TrajectorySegment(3, 4, {}), TrajectorySegment(5, 9, {})]
    >>> [(one.trial, one.epochs) for one in trajectory_until(whole, 6)]
    [(3, 4), (5, 6)]

    Args:
      trajectory: of the trial.
      epoch: at least 1, at most the epoch at which the trajectory ends.
    """
    before = [segment for segment in trajectory if segment.epochs < epoch]
    return [*before, trajectory[len(before)]._replace(epochs=epoch)]


def concatenate_lineages(parts: list[Lineage]) -> Lineage:
    """Return several lineages as one, in order."""
    names = parts[0].hparams
    return Lineage(
        np.concatenate([part.trial for part in parts]),
        np.concatenate([part.epochs for part in parts]),
        np.concatenate([part.source for part in parts]),
        {name: np.concatenate([p.hparams[name] for p in parts]) for name in names},
    )


def no_lineage(start: Points) -> Lineage:
    """Return the lineage of a round in which no trial took over a state."""
    none = np.zeros(0, np.int32)
    return Lineage(none, none, none, {n: v[:0] for n, v in start.hparams.items()})
