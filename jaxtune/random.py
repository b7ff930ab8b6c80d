"""The tree of random keys, its stream constants, and a random order.

No key is split or advanced; a key that an object holds is only folded into. Every draw
has a key of its own, folded out of the user's key by constants and indices, so it does
not depend on how many draws were made before it. ``─ A, i`` below means
``fold_in(fold_in(key, A), i)``::

    root key: jt.search(key=...)
    ├─ SAMPLE, round: the sampler of that round
    │  ├─ point: uniform
    │  ├─ dimension: latin_hypercube (its columns), halton (then the digit's place)
    │  ├─ IN_CELL, point: latin_hypercube
    │  ├─ STUDY: the seed of a sampler of Optuna's
    │  ├─ SHARE, ANCHORS then chunk: points that show what jt.require allows
    │  ├─ WEIGHTS, part: the weights of several goals, for a part of the points
    │  ├─ PART, part: the sampler of that part
    │  ├─ BATCH, batch: the sampler of that batch, if it is not the first of the round
    │  ├─ trials known: the seed of cma_es
    │  ├─ trials known, point: tpe
    │  └─ trials known: gaussian_process and trust_region
    │     ├─ POOL, group: candidates spread over a box, or a cloud of them
    │     └─ PICK, point: fantasies, or one function of the process
    │        └─ WAVES, in place of a point: what the functions are made of
    ├─ TRAIN, trial, seed: a lane, the objective's key if it is a plain function
    │  ├─ INIT: initial parameters
    │  │  ├─ DROPOUT: the dropout stream of Linen and NNX while they initialise
    │  │  └─ OTHER: the streams of any other name of NNX
    │  ├─ ORDER, epoch: the order of the examples
    │  └─ NOISE, step: the key that the loss gets
    │     └─ AUGMENT: the key of augment=
    ├─ SCHEDULE, round: the scheduler of that round
    │  ├─ EXPLOIT, rung, member: whom a member of pbt takes over from
    │  └─ epoch: what pbt changes
    │     └─ MOVE, REDRAW or DRAWN, member, dimension
    ├─ FOLDS: the order in which rows, or groups of them, are dealt to folds
    ├─ SUBSETS, fold: the order in which rows join a growing subset of the data
    └─ PAST, round, earlier search: the sampler of that round which knows it

Layers fold further indices into the keys that they get: `jaxtune.models` draws one row
of a kernel, or of a dropout mask, at a time, so that padding changes no number.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxtune.types import Array, Key

# Numbers are repeated only where the keys they are folded into differ. None may change:
# runs on disk are resumed and trials are trained again with the same streams.
SAMPLE, TRAIN, SCHEDULE, FOLDS, PAST, SUBSETS = 0, 1, 2, 3, 4, 5  # of the root key
INIT, ORDER, NOISE = 0, 1, 2  # of a lane's key
# of the key of initial parameters, which is itself the stream "params"
DROPOUT, OTHER = 1, 2
AUGMENT = 2**31  # of the key of one step, which the model owns too
EXPLOIT = 0  # of a round's key; pbt folds epochs into the same key, and they begin at 1
MOVE, REDRAW, DRAWN = 1, 2, 3  # of a round's key and an epoch
IN_CELL = 2**31  # of a sampler's key; the columns of the same key are 0 ... d - 1
STUDY = 0  # of a sampler's key
# of a round's key and a sampler's, behind the points, which are fewer than 2^31
SHARE, ANCHORS, WEIGHTS, PART = 2**31 + 1, 2**31 + 2, 2**31 + 3, 2**31 + 4
BATCH = 2**31 + 5  # of a round's key
POOL, PICK = 0, 1  # of the key of one ask of a Gaussian process
WAVES = 2**31  # of its PICK, behind the points


def lane_key(root: Key, trial: Array, seed: Array) -> Key:
    """Return the key of one trial and seed, which depends on nothing else."""
    stream = jax.random.fold_in(root, TRAIN)
    return jax.random.fold_in(jax.random.fold_in(stream, trial), seed)


def check_key(key: Any) -> Key:
    """Refuse anything but one typed threefry key.

    Lanes draw under ``vmap``, where the numbers of other implementations change.

    Args:
      key: what the user gave.

    Returns:
      The key.

    Raises:
      ValueError: an integer, a raw or batched key, or another implementation.
    """
    if not isinstance(key, jax.Array) or not jnp.issubdtype(
        key.dtype, jax.dtypes.prng_key
    ):
        raise ValueError(f"key: got {key!r}. Use jax.random.key(0).")
    if key.shape != ():
        raise ValueError(f"key: got an array of keys {key.shape}. Use one key.")
    if "fry" not in str(key.dtype):
        raise ValueError(
            f"key: got {key.dtype}, whose numbers change under vmap. "
            "Use jax.random.key(0, impl='threefry2x32')."
        )
    return key


ROUNDS = 24  # a position is uniform up to 2^-24, the resolution of float32


def permutation(key: Key, count: int | Array, places: int | None = None) -> Array:
    """Return a random order of ``count`` things by a swap-or-not shuffle.

    Sorts nothing: the place of an index is computed from the index and the key alone.

    Args:
      key: random key.
      count: how many there are; it may be traced where ``places`` is given.
      places: how many of the order to return, from its beginning; all if not given.

    Returns:
      ``[places]`` uint32, every index at most once.
    """
    bits = jax.random.bits(key, (2, ROUNDS), jnp.uint32)
    size = jnp.uint32(count)
    shifts, words = bits[0] % size, bits[1]

    def exchange(r: Array, x: Array) -> Array:
        shift = shifts[r]
        # shift - x modulo size, in unsigned numbers, which must not go below zero
        partner = jnp.where(shift >= x, shift - x, shift + size - x)
        # both partners hash the larger of the two, so they decide alike
        bit = _hash(jnp.maximum(x, partner), words[r]) >> 31
        return jnp.where(bit == 1, partner, x)

    # a loop, since XLA's fusion of unrolled rounds takes time exponential in them
    first = jnp.arange(count if places is None else places, dtype=jnp.uint32)
    return jax.lax.fori_loop(0, ROUNDS, exchange, first)


def _hash(x: Array, word: Array) -> Array:
    """Hash by two multiply-xorshift steps; only the top bit is used."""
    x = (x ^ word) * jnp.uint32(0x9E3779B1)
    x = (x ^ (x >> 15)) * jnp.uint32(0x85EBCA77)
    return x ^ (x << 13)
