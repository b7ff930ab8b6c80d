"""Sobol points with Owen's nested uniform scrambling.

The sequence is Sobol's (1967) with the direction numbers of Joe & Kuo (2008), read off
SciPy's points. Scrambling follows Owen (1995): each binary digit is flipped or not by a
random bit that depends on the digits before it, here a hash of them and the key. It
keeps the balance of the points and makes each one uniform.
"""

from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.brevity import brief
from jaxtune.registry import maker
from jaxtune.samplers.base import Sampler, ignore, own_sampler
from jaxtune.samplers.finite import bounded, nan_if_past_end
from jaxtune.space import Space
from jaxtune.types import Array, Key

LENGTH_BITS = 22  # 4 194 304 points
DIGITS = 24  # what a float32 in [0, 1) holds


@brief
class SobolState(NamedTuple):
    """The position in the sequence."""

    directions: Array  # [LENGTH_BITS, d] uint32, the top DIGITS bits used
    seeds: Array  # [d] uint32, one scramble per dimension
    asked: Array  # [] int32, points handed out so far


@maker
def sobol() -> Sampler:
    """Search at scrambled Sobol points, more even than random ones in any batching.

    The balance is best when the number of points is a power of two.

    >>> import jax
    >>> import jaxtune as jt
    >>> sampler = jt.samplers.sobol()
    >>> space = jt.Space(x=jt.uniform(0.0, 1.0), y=jt.uniform(0.0, 1.0))
    >>> state = sampler.init(jax.random.key(0), space)
    >>> state, points = sampler.ask(state, 8)
    >>> sorted((8 * points[:, 0]).astype(int).tolist())  # one in each eighth
    [0, 1, 2, 3, 4, 5, 6, 7]

    Returns:
      A sampler of up to 4 194 304 points; asking for more raises ``ValueError``.
    """

    def init(key: Key, space: Space) -> SobolState:
        seeds = _seeds(key, space.dim)
        return SobolState(
            jnp.asarray(_directions(space.dim)), seeds, jnp.asarray(np.int32(0))
        )

    def ask(state: SobolState, n: int) -> tuple[SobolState, Array]:
        more = "use uniform(), which never ends"
        ids = bounded(state.asked, n, 2**LENGTH_BITS, "sobol", more)
        return state._replace(asked=state.asked + n), _points(ids, state)

    return own_sampler(init, ask, ignore)


@cache
def _directions(dim: int) -> np.ndarray:
    """Return the direction numbers ``[LENGTH_BITS, dim]``.

    SciPy hands its points out in the order of the Gray code, in which point
    ``2^(k+1) - 1`` is the direction number ``v_k`` itself.
    """
    from scipy.stats import qmc

    if dim == 0:
        return np.empty((LENGTH_BITS, 0), np.uint32)
    engine = qmc.Sobol(dim, scramble=False, bits=DIGITS)
    rows = np.empty((LENGTH_BITS, dim), np.uint32)
    for k in range(LENGTH_BITS):
        engine.fast_forward(2 ** (k + 1) - 1 - engine.num_generated)
        rows[k] = engine.random(1)[0] * 2**DIGITS
    return rows


@partial(jax.jit, static_argnums=1)
def _seeds(key: Key, dim: int) -> Array:
    return jax.random.bits(key, (dim,), jnp.uint32)


@jax.jit
def _points(ids: Array, state: SobolState) -> Array:
    digits = _scramble(_digits(ids, state.directions), state.seeds)
    return nan_if_past_end(ids, digits.astype(jnp.float32) / 2**DIGITS)


def _digits(ids: Array, directions: Array) -> Array:
    """Return the exclusive or of the direction numbers at the set bits of each id."""

    def add(k: Array, total: Array) -> Array:
        bit = (ids >> k) & 1
        return total ^ jnp.where(bit[:, None] == 1, directions[k][None], jnp.uint32(0))

    start = jnp.zeros((ids.shape[0], directions.shape[1]), jnp.uint32)
    return jax.lax.fori_loop(0, LENGTH_BITS, add, start)


def _scramble(digits: Array, seeds: Array) -> Array:
    """Flip digit ``b`` by a hash of the digits above it, the seed and ``b``."""

    def flip(b: Array, scrambled: Array) -> Array:
        above = digits >> (DIGITS - b)
        # a constant for each digit, so that equal digits above get different bits
        place = jnp.uint32(b) * jnp.uint32(0x9E3779B9)
        bit = mixed(mixed(above ^ place) + seeds[None]) >> 31
        return scrambled ^ (bit << (DIGITS - 1 - b))

    return jax.lax.fori_loop(0, DIGITS, flip, digits)


def mixed(x: Array) -> Array:
    """Apply the finaliser of MurmurHash3: all output bits depend on all input bits."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
