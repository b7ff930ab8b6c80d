"""Halton points with randomly permuted digits (Halton, 1960; Owen, 2017).

Dimension ``j`` writes the number ``i`` in the ``j``-th prime base, permutes each digit
by a permutation of its own, and mirrors the digits at the point.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxtune.registry import maker
from jaxtune.samplers.base import Sampler, ignore
from jaxtune.samplers.finite import bounded, nan_if_past_end
from jaxtune.space.dimension import BELOW_ONE
from jaxtune.types import Array

LENGTH = 2**24


class HaltonState(NamedTuple):
    """Where the sequence stands."""

    bases: Array  # [d] int32, the first d primes
    digits: Array  # [d, places, largest base] int32, the permuted digits
    asked: Array  # [] int32, points handed out so far


@maker
def halton() -> Sampler:
    """Scrambled Halton points: quasi-random, for any number of points.

    Returns:
      A sampler of up to 16 777 216 points; asking for more raises ``ValueError``.
    """

    def init(key, space):
        bases = _primes(space.dim)
        keys = [jax.random.fold_in(key, j) for j in range(space.dim)]
        tables = [
            _permutations(k, b, max(bases)) for k, b in zip(keys, bases, strict=True)
        ]
        return HaltonState(
            jnp.asarray(bases, jnp.int32), jnp.stack(tables), jnp.int32(0)
        )

    def ask(state, n):
        more = "use uniform(), which never ends"
        ids = bounded(state.asked, n, LENGTH, "halton", more)
        points = _mirror(jnp.maximum(ids, 0), state.bases, state.digits)
        return state._replace(asked=state.asked + n), nan_if_past_end(ids, points)

    return Sampler(init, ask, ignore)


PLACES = 24  # binary digits of a float32; larger bases need fewer and add zeros


def _primes(count: int) -> list[int]:
    primes: list[int] = []
    candidate = 2
    while len(primes) < count:
        if all(candidate % prime for prime in primes):
            primes.append(candidate)
        candidate += 1
    return primes


def _permutations(key: Array, base: int, width: int) -> Array:
    """``[PLACES, width]``: a permutation of ``0 ... base - 1`` for every place."""

    def shuffle(place):
        return jax.random.permutation(jax.random.fold_in(key, place), base)

    table = jax.vmap(shuffle)(jnp.arange(PLACES))
    return jnp.pad(table, ((0, 0), (0, width - base)))


@jax.jit
def _mirror(ids: Array, bases: Array, digits: Array) -> Array:
    def add(place, carry):
        rest, weight, total = carry
        weight = weight / bases
        digit = digits[column, place, rest % bases[None]]
        return rest // bases[None], weight, total + digit * weight[None]

    column = jnp.arange(bases.size)[None]
    rest = jnp.broadcast_to(ids[:, None], (ids.size, bases.size))
    start = (rest, jnp.ones(bases.shape), jnp.zeros(rest.shape))
    total = jax.lax.fori_loop(0, PLACES, add, start)[2]
    return jnp.minimum(total, BELOW_ONE)
