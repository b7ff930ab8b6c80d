"""Configurations of a finite space that were not tried before.

A sampler works in the cube, where many points are one configuration. A point whose
configuration was tried is exchanged for the next untried one of an order that the key
decides. So the points of a trial depend on the trials before it, and not on those after
it or on how many there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import jax
import numpy as np

from jaxtune.space import Space
from jaxtune.space.points import Points
from jaxtune.types import HparamArrays, Key

Admits = Callable[[HparamArrays], np.ndarray]  # configurations [n] to [n] bool

MOST = 2**20  # configurations that are listed; of more, some are only drawn
DRAWS = 16  # times as many as are wanted are drawn


def roomy(
    key: Key,
    box: Space,
    whole: Callable[[], Space],
    tried: set[bytes],
    count: int,
    admits: Admits | None = None,
) -> Space:
    """Return the box; the whole space if the box has too few untried configurations.

    Args:
      key: of the round.
      box: the refined box.
      whole: makes the space with the same dimensions open, at their full ranges.
      tried: configurations, see `identities`.
      count: configurations that are wanted.
      admits: tests which configurations may be tried; all if not given.

    Returns:
      The one of the two that has more to try; the box if both have enough.
    """
    if box.size > MOST or not box.searched:
        return box
    left = _count(key, box, tried, count, admits)
    if left == count:
        return box
    wider = whole()
    return wider if _count(key, wider, tried, count, admits) > left else box


def _count(
    key: Key, box: Space, tried: set[bytes], most: int, admits: Admits | None
) -> int:
    """Return the number of untried configurations, or ``most`` if that is less."""
    if box.size > MOST:
        return most
    seen = set(tried)
    for number, (name, _) in enumerate(_untried(key, box, seen, most, admits)):
        seen.add(name)
        if number + 1 == most:
            return most
    return len(seen) - len(tried)


def distinct(
    key: Key,
    begin: Points,
    tried: set[bytes],
    known: int = 0,
    admits: Admits | None = None,
) -> Points:
    """Return points of which each is a configuration that was not tried.

    Args:
      key: of the round.
      begin: the points of a sampler.
      tried: configurations of earlier rounds, see `identities`.
      known: first points that stay as they are.
      admits: tests which configurations may be tried; all if not given.

    Returns:
      The points, exchanged where their configuration comes a second time, as long as
      an untried one is left. All points as they are if the space is not finite.
    """
    if begin.space.size == math.inf or not begin.space.searched:
        return begin
    seen, points = set(tried), np.array(begin.points)
    fresh = _untried(key, begin.space, seen, len(points), admits)
    for row, name in enumerate(identities(begin.space, begin.hparams)):
        if name in seen and row >= known:
            found = next(fresh, None)
            if found is None:  # all were tried
                break
            name, points[row] = found
        seen.add(name)
    hparams = jax.device_get(begin.space.decode(points))
    return Points(begin.space, points, hparams)


def identities(space: Space, hparams: HparamArrays) -> list[bytes]:
    """Return one name for each configuration: equal ones have equal names.

    Args:
      space: decides which hyperparameters count, and in which order; all rounds of a
        search need one whose names are the same.
      hparams: name to ``[n]`` array, from `Space.decode`, where a dimension that does
        not matter has its default.
    """
    # one dtype of 8 bytes, which holds int32 and float32 exactly
    columns = [np.asarray(hparams[name], np.float64) for name in space.names]
    rows = np.ascontiguousarray(np.stack(columns, axis=1) + 0.0)  # -0.0 is 0.0
    return list(map(bytes, rows.view(f"V{rows.itemsize * rows.shape[1]}").ravel()))


def _untried(
    key: Key, box: Space, seen: set[bytes], chunk: int, admits: Admits | None
) -> Iterator[tuple[bytes, np.ndarray]]:
    """Yield names and points of configurations that are not in ``seen`` by then."""
    # chunks have the shape of the round's points, whose decoding is compiled
    for points in _ordered(key, box, chunk):
        hparams = jax.device_get(box.decode(points))
        names = identities(box, hparams)
        fine = [True] * len(names) if admits is None else admits(hparams)
        for name, point, fits in zip(names, points, fine, strict=True):
            if fits and name not in seen:
                yield name, point


def _ordered(key: Key, box: Space, chunk: int) -> Iterator[np.ndarray]:
    """Yield points ``[chunk, d]`` in an order that the key decides.

    First they are drawn, so that a value on a log scale is as likely as the sampler
    has it. Then all cells are listed, if they are not too many.
    """
    seed = np.asarray(jax.random.key_data(key)).ravel()
    for number in range(DRAWS):
        ids = np.arange(number * chunk, (number + 1) * chunk, dtype=np.uint32)
        draws = [_mixed(ids, np.append(seed, np.uint32(j))) for j in range(box.dim)]
        # the upper 24 bits, which a float32 below 1 holds
        yield np.stack(draws, axis=1).astype(np.uint32) // 2**8 / np.float32(2**24)
    if box.size > MOST:
        return
    cells = [box[name].middles for name in box.searched]
    counts = [len(middles) for middles in cells]
    size = math.prod(counts)
    order = np.argsort(_mixed(np.arange(size, dtype=np.uint32), seed))
    # the last chunk is filled up: what comes twice is not yielded twice
    for part in np.resize(order, -(-size // chunk) * chunk).reshape(-1, chunk):
        at = np.unravel_index(part, counts)
        columns = [middles[i] for middles, i in zip(cells, at, strict=True)]
        yield np.stack(columns, axis=1)


def _mixed(x: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Apply a permutation of the uint32 that depends on each word of the seed."""
    for word in seed:  # the finaliser of MurmurHash3, as in Sobol's scrambling
        x = x ^ word
        x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
        x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
        x = x ^ (x >> np.uint32(16))
    return x
