"""Halton points with randomly permuted digits (Halton, 1960; Owen, 2017).

Dimension ``j`` writes the number ``i`` in the ``j``-th prime base, permutes each digit
by a permutation of its own, and mirrors the digits at the point.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxtune.brevity import brief
from jaxtune.registry import maker
from jaxtune.samplers.base import Sampler, ignore, own_sampler
from jaxtune.samplers.finite import bounded, nan_if_past_end
from jaxtune.space import Space
from jaxtune.space.dimension import BELOW_ONE
from jaxtune.types import Array, Key

PLACES = 24  # binary digits of a float32; larger bases need fewer and add zeros
LENGTH = 2**PLACES  # points; in base 2 more would have the same digits again


@brief
class HaltonState(NamedTuple):
    """The position in the sequence."""

    bases: Array  # [d] int32, the first d primes
    digits: Array  # [d, places, largest base] int32, the permuted digits
    asked: Array  # [] int32, points handed out so far


@maker
def halton() -> Sampler:
    """Search at scrambled Halton points: quasi-random, for any number of points.

    >>> import jax
    >>> import jaxtune as jt
    >>> sampler = jt.samplers.halton()
    >>> space = jt.Space(x=jt.uniform(0.0, 1.0), y=jt.uniform(0.0, 1.0))
    >>> state = sampler.init(jax.random.key(0), space)
    >>> state, points = sampler.ask(state, 3)
    >>> sorted((3 * points[:, 1]).astype(int).tolist())  # base 3: one in each third
    [0, 1, 2]

    Returns:
      A sampler of up to 16 777 216 points; asking for more raises ``ValueError``.
    """

    def init(key: Key, space: Space) -> HaltonState:
        bases = _primes(space.dim)
        keys = [jax.random.fold_in(key, j) for j in range(space.dim)]
        tables = [
            _permutations(k, b, max(bases)) for k, b in zip(keys, bases, strict=True)
        ]
        return HaltonState(
            jnp.asarray(bases, jnp.int32), jnp.stack(tables), jnp.int32(0)
        )

    def ask(state: HaltonState, n: int) -> tuple[HaltonState, Array]:
        more = "use uniform(), which never ends"
        ids = bounded(state.asked, n, LENGTH, "halton", more)
        # past the end the ids are -1: any valid id will do, the rows become NaN
        points = _mirror(jnp.maximum(ids, 0), state.bases, state.digits)
        return state._replace(asked=state.asked + n), nan_if_past_end(ids, points)

    return own_sampler(init, ask, ignore)


def _primes(count: int) -> list[int]:
    """Return the first prime numbers."""
    primes: list[int] = []
    candidate = 2
    while len(primes) < count:
        if all(candidate % prime for prime in primes):
            primes.append(candidate)
        candidate += 1
    return primes


def _permutations(key: Key, base: int, width: int) -> Array:
    """Return ``[PLACES, width]``: at each place a permutation of ``0 ... base - 1``."""

    def shuffle(place: Array) -> Array:
        return jax.random.permutation(jax.random.fold_in(key, place), base)

    table = jax.vmap(shuffle)(jnp.arange(PLACES))
    return jnp.pad(table, ((0, 0), (0, width - base)))


@jax.jit
def _mirror(ids: Array, bases: Array, digits: Array) -> Array:
    """Return points ``[n, d]``: the permuted digits of the ids ``[n]``, mirrored."""

    def add(place: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, ...]:
        rest, weight, total = carry
        weight = weight / bases
        digit = digits[column, place, rest % bases[None]]
        return rest // bases[None], weight, total + digit * weight[None]

    column = jnp.arange(bases.size)[None]
    rest = jnp.broadcast_to(ids[:, None], (ids.size, bases.size))
    start = (rest, jnp.ones(bases.shape), jnp.zeros(rest.shape))
    total = jax.lax.fori_loop(0, PLACES, add, start)[2]
    return jnp.minimum(total, BELOW_ONE)
