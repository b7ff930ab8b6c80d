"""The points of a study: each is tried with every combination of compared values."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxtune.samplers.base import Sampler
from jaxtune.space import Space, fixed_at
from jaxtune.types import Array, ArrayLike, Key


class CrossedState(NamedTuple):
    """The state of crossed points.

    Args:
      own: of each combination the state of its sampler.
      space: of the points.
    """

    own: tuple[Any, ...]
    space: Space


def crossed(sampler: Sampler, names: Sequence[str]) -> Sampler:
    """Return a sampler whose points come with each combination of some values.

    Every combination has a sampler of its own, which begins with the same key and is
    told its own trials alone. So a sequence hands out the same points for each of
    them, and a sampler that learns begins with the same points.

    >>> import jax, jaxtune as jt
    >>> from jaxtune.samplers.crossing import crossed
    >>> space = jt.Space(x=jt.uniform(0.0, 1.0), kind=jt.choice(["a", "b"]))
    >>> sampler = crossed(jt.samplers.sobol(), ["kind"])
    >>> _, points = sampler.ask(sampler.init(jax.random.key(0), space), 4)
    >>> points[:, 1].tolist(), bool(points[0, 0] == points[1, 0])
    ([0.25, 0.75, 0.25, 0.75], True)

    Args:
      sampler: of the other dimensions.
      names: dimensions of the space that have a list of values.
    """

    def init(key: Key, space: Space) -> CrossedState:
        parts = parts_of(space, names)
        return CrossedState(tuple(sampler.init(key, part) for part in parts), space)

    def ask(state: CrossedState, n: int) -> tuple[CrossedState, Array]:
        space, values = state.space, len(state.own)
        if n % values:
            raise ValueError(
                f"ask: n={n} is no multiple of {values}, the combinations of "
                f"{', '.join(names)}."
            )
        asked = [sampler.ask(own, n // values) for own in state.own]
        points = np.empty((n // values, values, space.dim), np.float32)
        compared, free = _columns(space, names)
        points[..., compared] = _places(space, names)
        points[..., free] = np.stack([np.asarray(own) for _, own in asked], axis=1)
        state = state._replace(own=tuple(after for after, _ in asked))
        return state, jax.device_put(points.reshape(n, space.dim))

    def tell(state: CrossedState, points: ArrayLike, scores: ArrayLike) -> CrossedState:
        points, scores = np.asarray(points), np.asarray(scores)
        compared, free = _columns(state.space, names)
        own = []
        for one, place in zip(state.own, _places(state.space, names), strict=True):
            rows = np.isclose(points[:, compared], place).all(axis=1)
            told = jax.device_put((points[rows][:, free], scores[rows]))
            own.append(sampler.tell(one, *told) if rows.any() else one)
        return state._replace(own=tuple(own))

    return Sampler(init, ask, tell)


def parts_of(space: Space, names: Sequence[str]) -> list[Space]:
    """Return the space of each combination of some values, which are fixed in it."""
    return [
        space.replace(**{n: fixed_at(space[n], v) for n, v in combined.items()})
        for combined in combinations(space, names)
    ]


def combinations(space: Space, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return name to value for each combination of values, the last varying fastest.

    >>> import jaxtune as jt
    >>> from jaxtune.samplers.crossing import combinations
    >>> space = jt.Space(units=jt.ordinal([8, 64]), kind=jt.choice(["a", "b"]))
    >>> combinations(space, ["units", "kind"])[1]
    {'units': 8, 'kind': 'b'}
    """
    values = itertools.product(*[space[name].members for name in names])
    return [dict(zip(names, row, strict=True)) for row in values]


def _columns(space: Space, names: Sequence[str]) -> tuple[list[int], list[int]]:
    """Return the columns of the compared dimensions, and those of the others."""
    compared = [space.searched.index(name) for name in names]
    free = [column for column in range(space.dim) if column not in compared]
    return compared, free


def _places(space: Space, names: Sequence[str]) -> np.ndarray:
    """Return the coordinates ``[m, k]`` of the combinations."""
    middles = [space[name].middles for name in names]
    return np.asarray(list(itertools.product(*middles)), np.float32)
