"""Independent uniform points (Bergstra & Bengio, JMLR 2012)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxtune.registry import maker
from jaxtune.samplers.base import Sampler, ignore
from jaxtune.types import Array, Key


class UniformState(NamedTuple):
    """Where the sequence stands."""

    key: Key  # root key; folded, never split or advanced
    origin: Array  # [d] zeros: keeps d in a shape, where jit can see it
    asked: Array  # [] int32, points handed out so far


@maker
def uniform() -> Sampler:
    """Random search: point ``i`` depends on the key and ``i`` alone.

    Returns:
      A sampler whose points are the same in any batching.
    """

    def init(key, space):
        return UniformState(key, jnp.zeros(space.dim), jnp.int32(0))

    def ask(state, n):
        ids = state.asked + jnp.arange(n)

        def draw(i):
            return jax.random.uniform(
                jax.random.fold_in(state.key, i), state.origin.shape
            )

        return state._replace(asked=state.asked + n), jax.vmap(draw)(ids)

    return Sampler(init, ask, ignore)
