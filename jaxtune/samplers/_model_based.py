"""The shell of all samplers with a model: Sobol points first, then its suggestions.

A model sees the history, which is all trials passed to ``tell``, and the pending
points, which were handed out and have no score yet.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.brevity import brief
from jaxtune.cache import compiled_once
from jaxtune.samplers._sobol import SobolState, sobol
from jaxtune.samplers.base import Sampler, own_sampler
from jaxtune.samplers.history import History, empty_history, extended, scored_trials
from jaxtune.space import Space
from jaxtune.types import Array, ArrayLike, Key


@brief
class ModelState(NamedTuple):
    """The history of a search, and the points that are out."""

    key: Key  # the key given to init; folded, never split or advanced
    space: Space  # the space of the cube
    history: History  # trials passed to tell
    pending: Array  # [p, d] handed out, without a score yet
    asked: Array  # [] int32, points handed out so far
    design: SobolState  # the points before there is a model


class Suggest(Protocol):
    """Suggest the next ``n`` points ``[n, d]`` from the history."""

    def __call__(self, state: ModelState, n: int, /) -> Array: ...


def design_length(dim: int) -> int:
    """Return the number of trials with a score before there is a model.

    One more than a plane needs, and a batch at least: twice as many teach less than the
    trials that a model would have chosen instead.
    """
    return max(5, dim + 1)


def model_based(
    suggest: Suggest, initial: int | None, traceable: bool = True
) -> Sampler:
    """Make a sampler of a model's suggestions.

    Points are scrambled Sobol points until ``initial`` trials with a score are known.
    ``ask`` may be traced, ``tell`` not.

    Args:
      suggest: the model, compiled by its module, so that two samplers share a program.
      initial: scored trials before the model is used; `design_length` if ``None``.
      traceable: whether the model is a JAX program.

    Returns:
      A sampler.
    """
    first = sobol()

    def init(key: Key, space: Space) -> ModelState:
        return ModelState(
            key=key,
            space=space,
            history=empty_history(space.dim),
            pending=jnp.asarray(np.zeros((0, space.dim), np.float32)),
            asked=jnp.asarray(np.int32(0)),
            design=first.init(key, space),
        )

    def from_design(state: ModelState, n: int) -> tuple[ModelState, Array]:
        design, points = first.ask(state.design, n)
        return state._replace(design=design), points

    def from_model(state: ModelState, n: int) -> tuple[ModelState, Array]:
        return state, suggest(state, n)

    @compiled_once()  # a model takes seconds to compile, by hand as in a search
    def ask(state: ModelState, n: int) -> tuple[ModelState, Array]:
        least = design_length(state.space.dim) if initial is None else initial
        scored = scored_trials(state.history)
        # `cond` traces both branches, and a model needs some rows of the buffer
        if state.history.scores.shape[0] == 0:
            state, points = from_design(state, n)
        elif isinstance(scored, jax.core.Tracer) and not traceable:
            raise ValueError(
                "ask: this sampler's model is no JAX program. Call it outside of jit."
            )
        elif isinstance(scored, jax.core.Tracer):
            state, points = jax.lax.cond(
                scored < least,
                partial(from_design, n=n),
                partial(from_model, n=n),
                state,
            )
        else:
            state, points = (from_design if scored < least else from_model)(state, n)
        pending = _joined(state.pending, points)
        return state._replace(pending=pending, asked=state.asked + n), points

    def tell(state: ModelState, points: ArrayLike, scores: ArrayLike) -> ModelState:
        history = extended(state.history, points, scores)
        return state._replace(history=history, pending=_without(state.pending, points))

    return own_sampler(init, ask, tell)


FEWEST, QUADRUPLED = 32, 128


def rows_for(count: int) -> int:
    """Return the rows of the program that serves ``count`` points."""
    size = FEWEST
    while size < count:
        size *= 4 if size < QUADRUPLED else 2
    return size


def with_room(state: ModelState, n: int) -> tuple[ModelState, int]:
    """Return a state with empty rows behind its pending points, and how many are out.

    There is room for ``n`` more, so that one program serves batches of many sizes.
    """
    pending, out = state.pending, len(state.pending)
    rows = np.full((rows_for(out + n) - out, state.space.dim), 0.5, np.float32)
    return state._replace(pending=_joined(pending, rows)), out


def cut(points: Array, n: int) -> Array:
    """Return the first ``n`` rows."""
    if isinstance(points, jax.core.Tracer):
        return points[:n]
    # in NumPy, since JAX would compile a program for every pair of lengths
    return jnp.asarray(np.asarray(points)[:n])


def _joined(pending: Array, points: ArrayLike) -> Array:
    """Return the pending points, and new ones after them."""
    if isinstance(points, jax.core.Tracer) or isinstance(pending, jax.core.Tracer):
        return jnp.concatenate([pending, points])
    # in NumPy, since JAX would compile a program for every pair of lengths
    return jnp.asarray(np.concatenate([np.asarray(pending), np.asarray(points)]))


def _without(pending: Array, scored: ArrayLike) -> Array:
    """Return the pending points without those scored now, each row removed once."""
    # compared as bytes: the same point comes back bit for bit, and may be out twice
    left = [row.tobytes() for row in np.asarray(pending, np.float32)]
    for row in np.asarray(scored, np.float32):
        if row.tobytes() in left:
            left.remove(row.tobytes())
    rows = [np.frombuffer(row, np.float32) for row in left]
    # of the right type in NumPy: JAX would compile the cast for every length
    flat = np.asarray(rows, np.float32)
    return jnp.asarray(flat.reshape(len(rows), pending.shape[1]))
