"""The metrics of lanes after each epoch, and what they make of a score."""

from __future__ import annotations

import numpy as np

from jaxtune import ranking
from jaxtune.planning.scoring import BEST, BEST_EPOCH, LAST, Scoring


class Curves:
    """The metrics of each lane after each of its epochs; mutable, lives for one round.

    A state that another lane takes over brings its own past with it.

    Args:
      scoring: the rule by which lanes get their metrics.
      lanes: their number.
      epochs: of a whole training.
    """

    def __init__(self, scoring: Scoring, lanes: int, epochs: int):
        self.scoring, self._shape = scoring, (lanes, epochs)
        # name to [lanes, epochs]; NaN where a lane has not been, or failed
        self._values: dict[str, np.ndarray] = {}

    def note(
        self, lanes: np.ndarray, begin: np.ndarray, curves: dict[str, np.ndarray]
    ) -> None:
        """Record the metrics of lanes ``[m]`` after some epochs.

        Args:
          lanes: ``[m]`` int.
          begin: ``[m]`` int, epochs that each had trained before.
          curves: name to ``[m, e]``, after each epoch since.
        """
        for name, values in curves.items():
            if name not in self._values:
                self._values[name] = np.full(self._shape, np.nan, np.float32)
            columns = begin[:, None] + np.arange(values.shape[1])
            self._values[name][lanes[:, None], columns] = values

    def copy(self, into: np.ndarray, source: np.ndarray) -> None:
        """Give lanes ``[m]`` the past of other lanes ``[m]``."""
        for values in self._values.values():
            values[into] = values[source]

    def scores(self, lanes: np.ndarray, epochs: np.ndarray) -> dict[str, np.ndarray]:
        """Return the metrics of lanes by the rule.

        Args:
          lanes: ``[m]`` int.
          epochs: ``[m]`` int, at least 1: what each has trained.

        Returns:
          Name to ``[m]`` float32. Of a lane whose score was never finite, the last.
        """
        known = {name: values[lanes] for name, values in self._values.items()}
        rule = self.scoring
        if not known:
            return {}
        last = epochs - 1
        if rule.score == LAST:
            return {name: _at(values, last) for name, values in known.items()}
        places = np.arange(self._shape[1])
        if rule.score == BEST:
            oriented = ranking.orient(known[rule.metric], rule.mode)
            passed = np.where(places <= last[:, None], oriented, np.float32(np.nan))
            worst = ranking.worst_if_failed(passed)
            # of equal ones the first, as argmax finds it
            at = np.where(np.isfinite(passed).any(axis=1), worst.argmax(axis=1), last)
            chosen = {name: _at(values, at) for name, values in known.items()}
            return chosen | {BEST_EPOCH: (at + 1).astype(np.float32)}
        count = np.minimum(int(rule.score), epochs)
        # the newest first; of fewer epochs than the rule has, all
        means = {}
        for name, values in known.items():
            total = np.zeros(len(lanes), np.float64)
            for back in range(int(rule.score)):
                term = _at(values, np.maximum(last - back, 0)).astype(np.float64)
                total += np.where(back < count, term, 0.0)
            means[name] = (total / count).astype(np.float32)
        return means

    def history(self) -> dict[str, np.ndarray]:
        """Return name to ``[lanes, epochs]``, if the rule keeps them."""
        return dict(self._values) if self.scoring.history else {}


def _at(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    return values[np.arange(len(values)), places]
