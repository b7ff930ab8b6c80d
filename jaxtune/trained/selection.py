"""Ensemble selection (Caruana et al., 2004, ICML): greedy, with replacement.

It begins with nothing and adds, one at a time, the member that makes the mean
prediction best; a member that is added twice has twice the weight.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune import ranking
from jaxtune.environment import promoting
from jaxtune.recent import MOST
from jaxtune.tasks.measuring import Measures, metrics_of_outputs
from jaxtune.tasks.outputs import prediction
from jaxtune.tasks.predicted import probabilities_of
from jaxtune.types import Array, PyTree

CHUNK = 16  # members that are measured at once


class Selection(NamedTuple):
    """The members of an ensemble.

    Args:
      counts: ``[m]`` int, how often each candidate was added.
      score: of the mean prediction, as the task measures it.
      path: the score after each addition, the last ones left out if they did not help.
      alone: ``[m]`` the score of each candidate by itself, on the same rows.
    """

    counts: np.ndarray
    score: float
    path: np.ndarray
    alone: np.ndarray


@promoting
def votes_of(measures: Measures, outputs: PyTree) -> Array:
    """Return the numbers of one model that an ensemble averages.

    Args:
      measures: of the task.
      outputs: of the model for ``N`` examples.

    Returns:
      Probabilities ``[N, classes]``, or ``[N]`` of the second class for one logit; for
      a regression the outputs as they are.
    """
    array = prediction(outputs)
    if measures.known is None:
        return array
    found = probabilities_of(array)
    single = array.ndim == 1 or array.shape[1] == 1
    return found[:, 1] if single else found


@promoting
def outputs_from(measures: Measures, votes: Array) -> Array:
    """Return outputs that mean the same as votes, so that all metrics take them."""
    if measures.known is None:
        return votes
    # logits whose softmax, or sigmoid, are the votes; at 0 they stay finite
    tiny = jnp.finfo(votes.dtype).tiny
    if votes.ndim == 1:
        return jnp.log(votes + tiny) - jnp.log1p(-votes + tiny)
    return jnp.log(votes + tiny)


def select(
    measures: Measures,
    votes: Array,
    split: PyTree,
    metric: str,
    mode: str,
    size: int,
) -> Selection:
    """Choose members from their votes on a validation split.

    Args:
      measures: of the task.
      votes: ``[m, N, ...]`` of all candidates, best first: ties go to the earlier.
      split: ``y`` and perhaps ``weights`` of the examples.
      metric: the metric that decides.
      mode: ``"max"`` or ``"min"``.
      size: additions at most.

    Returns:
      The first of the additions after which the score was best.

    Raises:
      ValueError: no mean prediction has a finite score.
    """
    measured = {name: part for name, part in split.items() if name != "x"}
    chosen, scores, alone = jax.device_get(
        _additions_of(measures, metric, mode, size)(votes, measured)
    )
    oriented = np.asarray(ranking.orient(scores, mode))
    if not np.isfinite(oriented).any():
        raise ValueError(f"ensemble: {metric} is not finite for any candidate.")
    last = int(np.nanargmax(oriented))
    counts = np.bincount(chosen[: last + 1], minlength=len(votes))
    return Selection(counts, float(scores[last]), scores[: last + 1], alone)


@lru_cache(maxsize=MOST)
def _additions_of(measures: Measures, metric: str, mode: str, size: int) -> Any:
    """Return the program of `_additions` with these arguments."""
    return jax.jit(partial(_additions, measures, metric, mode, size))


def _additions(
    measures: Measures, metric: str, mode: str, size: int, votes: Array, split: PyTree
) -> tuple[Array, Array, Array]:
    """Return the member ``[size]`` of each addition, the scores after it, and alone."""

    def score(mean: Array) -> Array:
        outputs = outputs_from(measures, mean)
        return metrics_of_outputs(measures, outputs, split)[metric]

    def add(total: Array, count: Array) -> tuple[Array, tuple[Array, Array]]:
        def with_member(vote: Array) -> Array:
            return score((total + vote) / (count + 1))

        scores = jax.lax.map(with_member, votes, batch_size=min(CHUNK, len(votes)))
        oriented = ranking.orient(scores, mode)
        best = jnp.argmax(jnp.where(jnp.isnan(oriented), -jnp.inf, oriented))
        return total + votes[best], (best, scores[best])

    steps = jnp.arange(size, dtype=jnp.float32)
    chosen, scores = jax.lax.scan(add, jnp.zeros_like(votes[0]), steps)[1]
    alone = jax.lax.map(score, votes, batch_size=min(CHUNK, len(votes)))
    return chosen, scores, alone
