"""What all samplers with a model share: a design first, then what the model suggests.

A model sees the history of the trials that were told, and the pending points that were
handed out and not told yet.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.samplers._sobol import SobolState, sobol
from jaxtune.samplers.base import Sampler
from jaxtune.samplers.history import History, empty_history, extended
from jaxtune.space import Space
from jaxtune.types import Array, ArrayLike, Key


class ModelState(NamedTuple):
    """Where the search stands."""

    key: Key  # root key; folded, never split or advanced
    space: Space  # whose cube it is
    history: History  # what was told
    pending: Array  # [p, d] handed out by the model and not told yet
    asked: Array  # [] int32, points handed out so far
    design: SobolState  # the points before there is a model


class Suggest(Protocol):
    """The next ``n`` points ``[n, d]`` from what is known."""

    def __call__(self, state: ModelState, n: int, /) -> Array: ...


def model_based(
    suggest: Suggest, initial: int | None, traceable: bool = True
) -> Sampler:
    """A sampler from a model's suggestions.

    Points are scrambled Sobol points until ``initial`` trials with a score are known.
    ``ask`` may be traced, ``tell`` not.

    Args:
      suggest: the model, compiled by its module, so that two samplers share a program.
      initial: trials before it is used; twice the dimensions and two more if ``None``.
      traceable: whether the model is a JAX program.

    Returns:
      A sampler.
    """
    first = sobol()

    def init(key, space):
        none = jnp.zeros((0, space.dim), jnp.float32)
        own = (key, space, empty_history(space.dim), none, jnp.int32(0))
        return ModelState(*own, first.init(key, space))

    def start(state, n):
        design, points = first.ask(state.design, n)
        return state._replace(design=design), points

    def think(state, n):
        return state, suggest(state, n)

    def ask(state, n):
        least = 2 * state.space.dim + 2 if initial is None else initial
        told = state.history.succeeded.sum()
        if state.history.scores.shape[0] == 0:
            state, points = start(state, n)
        elif isinstance(told, jax.core.Tracer) and not traceable:
            raise ValueError(
                "ask: this sampler's model is no JAX program. Call it outside of jit."
            )
        elif isinstance(told, jax.core.Tracer):
            state, points = jax.lax.cond(
                told < least, partial(start, n=n), partial(think, n=n), state
            )
        else:
            state, points = (start if told < least else think)(state, n)
        pending = jnp.concatenate([state.pending, points])
        return state._replace(pending=pending, asked=state.asked + n), points

    def tell(state, points, scores):
        history = extended(state.history, points, scores)
        return state._replace(history=history, pending=_without(state.pending, points))

    return Sampler(init, ask, tell)


def _without(pending: Array, told: ArrayLike) -> Array:
    """Pending points that were not among those told, each row taken once."""
    left = [row.tobytes() for row in np.asarray(pending, np.float32)]
    for row in np.asarray(told, np.float32):
        if row.tobytes() in left:
            left.remove(row.tobytes())
    rows = [np.frombuffer(row, np.float32) for row in left]
    return jnp.asarray(np.reshape(rows, (len(rows), pending.shape[1])), jnp.float32)
