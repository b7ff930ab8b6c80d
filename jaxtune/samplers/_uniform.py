"""Independent uniform points (Bergstra & Bengio, JMLR 2012)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxtune.brevity import brief
from jaxtune.registry import maker
from jaxtune.samplers.base import Sampler, ignore, own_sampler
from jaxtune.space import Space
from jaxtune.types import Array, Key


@brief
class UniformState(NamedTuple):
    """The position in the sequence."""

    key: Key  # the key given to init; folded, never split or advanced
    origin: Array  # [d] zeros: keeps d in a shape, where jit can see it
    asked: Array  # [] int32, points handed out so far


@maker
def uniform() -> Sampler:
    """Search at random: point ``i`` depends on the key and ``i`` alone.

    >>> import jax
    >>> import jaxtune as jt
    >>> sampler = jt.samplers.uniform()
    >>> space = jt.Space(rate=jt.log_uniform(1e-4, 1.0), dropout=jt.uniform(0.0, 0.5))
    >>> state = sampler.init(jax.random.key(0), space)
    >>> state, points = sampler.ask(state, 4)
    >>> points.shape
    (4, 2)
    >>> bool((space.decode(points)["dropout"] <= 0.5).all())
    True

    Returns:
      A sampler whose points are the same in any batching.
    """

    def init(key: Key, space: Space) -> UniformState:
        return UniformState(key, jnp.zeros(space.dim), jnp.int32(0))

    def ask(state: UniformState, n: int) -> tuple[UniformState, Array]:
        ids = state.asked + jnp.arange(n)

        def draw(i: Array) -> Array:
            return jax.random.uniform(
                jax.random.fold_in(state.key, i), state.origin.shape
            )

        return state._replace(asked=state.asked + n), jax.vmap(draw)(ids)

    return own_sampler(init, ask, ignore)
