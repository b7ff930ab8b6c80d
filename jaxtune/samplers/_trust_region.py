"""A model inside a box that moves: zoom and Gaussian process in one.

The trust region of Eriksson et al. (2019), TuRBO. The box lies around the best trial,
longer where the model says that a dimension matters less. It grows after batches that
improved on the best and shrinks after batches that did not. When it has become too
small, it starts again at its first length, with the whole history.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxtune import ranking
from jaxtune.door import guarded, real
from jaxtune.registry import maker
from jaxtune.samplers._gaussian_process import MODEL, ROWS
from jaxtune.samplers._model_based import ModelState, model_based
from jaxtune.samplers.base import Sampler
from jaxtune.samplers.geometry import unordered
from jaxtune.samplers.gp.batches import next_batch
from jaxtune.samplers.gp.candidates import Box
from jaxtune.samplers.history import History
from jaxtune.space import Space
from jaxtune.space.dimension import BELOW_ONE
from jaxtune.types import Array

LONGEST, SHORTEST = 1.6, 0.5**7  # sides of the box, as in the paper
SUCCESSES = 3  # better batches in a row before the box grows, as in the paper
PROGRESS = 1e-3  # of the spread of the scores: less is no improvement


class Length(NamedTuple):
    """The side of the box after some batches, and the outcome of the last ones."""

    side: Array  # [] of the cube
    best: Array  # [] best score before this batch
    batch: Array  # [] best score in this batch
    successes: Array  # [] int32 in a row
    failures: Array  # [] int32 points of batches in a row


@maker
@guarded(length=real(above=SHORTEST, most=LONGEST), **MODEL)
def trust_region(
    length: float = 0.8,
    acquisition: str = "log_ei",
    initial: int | None = None,
    rows: int = ROWS,
) -> Sampler:
    """Fit a Gaussian process in a box around the best trial that moves and resizes.

    Use it for many dimensions and long searches. It zooms by itself: with it,
    ``refine=jt.zoom(floor=1)`` leaves the space of a search as it is. The trials of one
    call of ``tell`` are one batch.

    >>> import jax
    >>> import jaxtune as jt
    >>> result = jt.search(
    ...     lambda key, h: (h["x"] - 0.3) ** 2,
    ...     jt.Space(x=jt.uniform(0.0, 1.0)),
    ...     key=jax.random.key(0),
    ...     trials=8,
    ...     rounds=2,
    ...     mode="min",
    ...     sampler=jt.samplers.trust_region(initial=8),  # the model waits for 8 scores
    ...     refine=jt.zoom(floor=1),
    ...     verbose=0,
    ... )
    >>> result.spaces[1].bounds == result.spaces[0].bounds
    True

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

    def suggest(state: ModelState, n: int) -> Array:
        return next_batch(state, n, acquisition, rows, _region, length)

    return model_based(suggest, initial)


def _region(
    history: History, space: Space, incumbent: Array, lengths: Array, first: Array
) -> Box:
    """Return the box to search after a history, whose first side was ``first``."""
    side = _side(history, first, space.dim)
    return _box(lengths, incumbent, side, jnp.asarray(unordered(space)))


def _box(log_lengths: Array, centre: Array, side: Array, choices: Array) -> Box:
    """Return a box of a cube's volume, its sides in proportion to the length scales."""
    weights = jnp.clip(log_lengths - log_lengths.mean(), -1.0, 1.0)
    half = side * jnp.exp(weights - weights.mean()) / 2
    low, high = jnp.maximum(centre - half, 0), jnp.minimum(centre + half, BELOW_ONE)
    return Box(jnp.where(choices, 0, low), jnp.where(choices, BELOW_ONE, high))


def _side(history: History, length: Array | float, dim: int) -> Array:
    """Return the side of the box after all batches of the history."""
    scores = ranking.worst_if_failed(history.scores)
    fine = history.succeeded
    middle = jnp.where(fine, scores, 0).sum() / jnp.maximum(fine.sum(), 1)
    spread = jnp.where(fine, (scores - middle) ** 2, 0).sum()
    least = PROGRESS * jnp.sqrt(spread / jnp.maximum(fine.sum(), 1))
    last = jnp.append(history.batch[1:] != history.batch[:-1], True)
    # empty rows have the number of the first batch, whose end is not seen above then
    last = last | (jnp.arange(len(last)) == history.trials - 1)
    size = jax.ops.segment_sum(
        history.known * 1, history.batch, num_segments=len(scores)
    )[history.batch]

    def row(
        carry: Length, columns: tuple[Array, Array, Array, Array]
    ) -> tuple[Length, None]:
        score, known, ends, count = columns
        batch = jnp.maximum(carry.batch, score)
        after = _judged(carry._replace(batch=batch), count, least, length, dim)
        ended = known & ends
        carry = carry._replace(batch=jnp.where(known, batch, carry.batch))
        return jax.tree.map(lambda a, b: jnp.where(ended, a, b), after, carry), None

    worst, none = jnp.float32(-jnp.inf), jnp.int32(0)
    start = Length(jnp.float32(length), worst, worst, none, none)
    rows = (scores, history.known, last, size)
    return jax.lax.scan(row, start, rows)[0].side


def _judged(
    now: Length, count: Array, least: Array, length: Array | float, dim: int
) -> Length:
    """Return the length of the box after a batch of ``count`` points."""
    # the first batch has nothing to improve on
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
