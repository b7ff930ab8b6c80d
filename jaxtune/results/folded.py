"""Scores of a search with folds, by trial, fold and seed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxtune.tasks import Task


class FoldScores(NamedTuple):
    """The scores of the trainings of each trial, one for each fold and seed.

    Args:
      scores: ``[n, k, s]`` float32: trial, fold and seed; NaN if failed.
      rows: of each fold the rows of ``train`` that it trains on, and those that it is
        scored on; empty for a run that was loaded without its task.
    """

    scores: np.ndarray
    rows: tuple[tuple[np.ndarray, np.ndarray], ...]

    @property
    def means(self) -> np.ndarray:
        """``[n, k]``, the means over seeds."""
        return self.scores.mean(axis=2, dtype=np.float64)

    @property
    def spread(self) -> np.ndarray:
        """``[n]``, the standard deviation of these over the folds."""
        return spread_of(self.scores)

    def __repr__(self) -> str:
        n, k, s = self.scores.shape
        parts = {"trial": n, "fold": k, "seed": s}.items()
        shown = [f"{count} {name}{'s' * (count > 1)}" for name, count in parts]
        return f"FoldScores({', '.join(shown)})"


def by_fold(scores: np.ndarray, folds: int) -> np.ndarray:
    """Return scores ``[n, r]`` of repeats ``seed * k + fold`` as ``[n, k, s]``."""
    trials, repeats = scores.shape
    return scores.reshape(trials, repeats // folds, folds).transpose(0, 2, 1)


def per_seed(scores: np.ndarray, folds: int | None) -> np.ndarray:
    """Return scores ``[n, r]`` as means over folds ``[n, s]``.

    Seeds show the noise of a trial. Folds differ for all trials alike, as one of them
    may be harder than another, so they say little about that.
    """
    if folds is None:
        return scores
    return by_fold(scores, folds).mean(axis=1, dtype=np.float64).astype(scores.dtype)


def spread_of(scores: np.ndarray) -> np.ndarray:
    """Return the standard deviation ``[n]`` over folds of scores ``[n, k, s]``.

    It is that of a sample; 0 for a single fold, and NaN if any training failed.
    """
    means = scores.mean(axis=2, dtype=np.float64)
    failed = ~np.isfinite(means).all(axis=1)
    if means.shape[1] == 1:
        return np.where(failed, np.nan, 0.0).astype(np.float32)
    with np.errstate(invalid="ignore"):
        spread = means.std(axis=1, ddof=1)
    return np.where(failed, np.nan, spread).astype(np.float32)


def rows_of_folds(task: Task | None) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Return the rows of each fold; none for a run without its task."""
    if task is None or task.folds is None:
        return ()
    train, valid = task.folds
    return tuple(zip(train.listed(), valid.listed(), strict=True))
