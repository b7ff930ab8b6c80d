"""A model inside a box that moves: zoom and Gaussian process in one.

The trust region of Eriksson et al. (2019), TuRBO. The box lies around the best trial,
longer where the model says that a dimension matters less. It grows after batches that
improved on the best, shrinks after batches that did not, and when it has become too
small begins anew at its first length, with all that is known.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxtune import ranking
from jaxtune.registry import maker
from jaxtune.samplers._gaussian_process import ROWS, check_model
from jaxtune.samplers._model_based import ModelState, model_based
from jaxtune.samplers.base import Sampler
from jaxtune.samplers.geometry import unordered
from jaxtune.samplers.gp.candidates import Box
from jaxtune.samplers.gp.model import Posterior
from jaxtune.samplers.gp.suggest import suggested
from jaxtune.samplers.history import History
from jaxtune.space.dimension import BELOW_ONE
from jaxtune.types import Array

LONGEST, SHORTEST = 1.6, 0.5**7
SUCCESSES = 3  # better batches in a row before the box grows
PROGRESS = 1e-3  # of the spread of the scores: less is no improvement


class Length(NamedTuple):
    """The box after some batches, and how the last ones went."""

    side: Array  # [] of the cube
    best: Array  # [] best score before this batch
    batch: Array  # [] best score in this batch
    successes: Array  # [] int32 in a row
    failures: Array  # [] int32 points of batches in a row


@maker
def trust_region(
    length: float = 0.8,
    acquisition: str = "log_ei",
    initial: int | None = None,
    rows: int = ROWS,
) -> Sampler:
    """Gaussian process in a box around the best, for many dimensions and long searches.

    It zooms by itself: with it, ``refine=jaxtune.zoom(floor=1)`` leaves the space of a
    search as it is. What is told at once is one batch.

    Args:
      length: side of the first box, a share of the cube.
      acquisition: as for `gaussian_process`.
      initial: as for `gaussian_process`.
      rows: as for `gaussian_process`.

    Returns:
      A sampler; ``tell`` as for `gaussian_process`.

    Raises:
      ValueError: an argument out of range.
    """
    if not SHORTEST < length <= LONGEST:
        raise ValueError(
            f"trust_region: length must lie in ({SHORTEST}, {LONGEST}], got {length}."
        )
    check_model("trust_region", acquisition, initial, rows)

    def suggest(state, n):
        return _suggest(state, n, length, acquisition, rows)

    return model_based(suggest, initial)


@partial(jax.jit, static_argnums=(1, 3, 4))
def _suggest(
    state: ModelState, n: int, length: float, acquisition: str, rows: int
) -> Array:
    side = _side(state.history, length, state.space.dim)
    choices = jnp.asarray(unordered(state.space))

    def region(process: Posterior, incumbent: Array) -> Box:
        return _box(process.hypers.lengths, incumbent, side, choices)

    return suggested(state, n, acquisition, rows, region)


def _box(log_lengths: Array, centre: Array, side: Array, choices: Array) -> Box:
    """Sides in proportion to the length scales, with the volume of a cube."""
    weights = jnp.clip(log_lengths - log_lengths.mean(), -1.0, 1.0)
    half = side * jnp.exp(weights - weights.mean()) / 2
    low, high = jnp.maximum(centre - half, 0), jnp.minimum(centre + half, BELOW_ONE)
    return Box(jnp.where(choices, 0, low), jnp.where(choices, BELOW_ONE, high))


def _side(history: History, length: float, dim: int) -> Array:
    """What the batches told so far make of the first length."""
    scores = ranking.worst_if_failed(history.scores)
    fine = history.succeeded
    middle = jnp.where(fine, scores, 0).sum() / jnp.maximum(fine.sum(), 1)
    spread = jnp.where(fine, (scores - middle) ** 2, 0).sum()
    least = PROGRESS * jnp.sqrt(spread / jnp.maximum(fine.sum(), 1))
    last = jnp.append(history.batch[1:] != history.batch[:-1], True)
    last = last | (jnp.arange(len(last)) == history.told - 1)
    size = jax.ops.segment_sum(
        history.known * 1, history.batch, num_segments=len(scores)
    )[history.batch]

    def row(carry: Length, told):
        score, known, ends, count = told
        batch = jnp.maximum(carry.batch, score)
        after = _judged(carry._replace(batch=batch), count, least, length, dim)
        ended = known & ends
        carry = carry._replace(batch=jnp.where(known, batch, carry.batch))
        return jax.tree.map(lambda a, b: jnp.where(ended, a, b), after, carry), None

    worst, none = jnp.float32(-jnp.inf), jnp.int32(0)
    start = Length(jnp.float32(length), worst, worst, none, none)
    rows = (scores, history.known, last, size)
    return jax.lax.scan(row, start, rows)[0].side


def _judged(now: Length, count: Array, least: Array, length: float, dim: int) -> Length:
    """After a batch of ``count`` points."""
    first = jnp.isneginf(now.best)
    better = now.batch > now.best + least
    successes = jnp.where(better, now.successes + 1, 0)
    failures = jnp.where(better, 0, now.failures + count)
    grows, shrinks = successes >= SUCCESSES, failures >= jnp.maximum(4, dim)
    side = jnp.where(grows, jnp.minimum(2 * now.side, LONGEST), now.side)
    side = jnp.where(shrinks, side / 2, side)
    side = jnp.where(side < SHORTEST, length, side)
    return Length(
        jnp.where(first, now.side, side),
        jnp.maximum(now.best, now.batch),
        jnp.full_like(now.batch, -jnp.inf),
        jnp.where(grows | first, 0, successes),
        jnp.where(shrinks | first, 0, failures),
    )
