"""Points of any sampler that meet some requirements, drawn without bias.

Of a sampler that does not learn, points that are not allowed are left out of its
sequence: the others are distributed as before, given that they are allowed, and the
i-th of them depends on the key and on i alone. A sampler that learns is asked again a
few times, and what is still missing is moved towards an allowed point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxtune.environment import in_32_bits
from jaxtune.goals.requirement import Requirement, meets
from jaxtune.random import ANCHORS, SHARE
from jaxtune.samplers import Sampler
from jaxtune.space import Space
from jaxtune.types import Array, ArrayLike, Key

LEAST = 1e-3  # share of a box that must be allowed
SAMPLE = 8192  # points by which the share is estimated
CHUNK = 4096  # points of a sequence that are drawn at once
AGAIN = 8  # times that a sampler with a model is asked
HALVINGS = 12  # of the way to an allowed point


class AllowedState(NamedTuple):
    """The state of a sampler, and what is needed to exchange its points."""

    inner: Any
    key: Key
    space: Space
    learned: bool  # whether telling it something has changed its state


def allowed_only(sampler: Sampler, rules: Sequence[Requirement]) -> Sampler:
    """Return a sampler of points that meet all requirements.

    Args:
      sampler: any sampler.
      rules: the requirements; the sampler itself is returned if there is none.

    Returns:
      A sampler. Its ``ask`` cannot be traced, and raises ``ValueError`` where a
      sequence ends before enough points are found.
    """
    if not rules:
        return sampler

    def init(key: Key, space: Space) -> AllowedState:
        return AllowedState(sampler.init(key, space), key, space, False)

    def tell(state: AllowedState, points: ArrayLike, scores: ArrayLike) -> AllowedState:
        inner = sampler.tell(state.inner, points, scores)
        # a sampler that does not learn returns its state as it was
        learned = state.learned or inner is not state.inner
        return state._replace(inner=inner, learned=learned)

    def ask(state: AllowedState, n: int) -> tuple[AllowedState, Array]:
        def fits(points: np.ndarray) -> np.ndarray:
            return allowed_points(state.space, rules, points)

        find = _suggested if state.learned else _in_sequence
        inner, points = find(sampler, state, n, fits)
        return state._replace(inner=inner), jax.numpy.asarray(points)

    return Sampler(init, ask, tell)


Fits = Callable[[np.ndarray], np.ndarray]


def allowed_points(
    space: Space, rules: Sequence[Requirement], points: ArrayLike
) -> np.ndarray:
    """Return which points ``[n, d]`` of a cube meet all requirements, ``[n]`` bool."""
    return meets(rules, space, jax.device_get(space.decode(points)))


def allowed_share(space: Space, rules: Sequence[Requirement], key: Key) -> float:
    """Return the share of a box that meets all requirements, by 8192 points."""
    drawn = _uniform(jax.random.fold_in(key, SHARE), SAMPLE, space.dim)
    return float(allowed_points(space, rules, drawn).mean())


@in_32_bits
def _uniform(key: Key, count: int, dim: int) -> np.ndarray:
    return np.asarray(jax.random.uniform(key, (count, dim)))


def _in_sequence(
    sampler: Sampler, state: AllowedState, n: int, fits: Fits
) -> tuple[Any, np.ndarray]:
    """Return the next ``n`` allowed points of a sequence."""
    inner, points = sampler.ask(state.inner, n)
    tried = np.asarray(points)
    kept = [tried[fits(tried)]]
    asked, missing, size = n, n - len(kept[0]), CHUNK
    while missing > 0:
        if asked > 10 * (n + SAMPLE) / LEAST:
            raise ValueError(
                f"require: the sampler gave {asked} points, and {n - missing} of them "
                f"meet the requirements; {n} are needed. Require less."
            )
        try:
            inner, points = sampler.ask(inner, size)
        except ValueError as error:
            if size <= missing:
                raise ValueError(
                    f"require: {n - missing} of the sampler's first {asked} points "
                    f"meet the requirements, {n} are needed, and it has too few left. "
                    "Use fewer trials, or a longer sequence."
                ) from error
            # a sequence that ends: exactly what is missing, as long as it lasts
            size = missing
            continue
        tried = np.asarray(points)
        kept.append(tried[fits(tried)][:missing])
        asked, missing = asked + size, missing - len(kept[-1])
        size = size if size == CHUNK else missing
    return inner, np.concatenate(kept)


def _suggested(
    sampler: Sampler, state: AllowedState, n: int, fits: Fits
) -> tuple[Any, np.ndarray]:
    """Return ``n`` allowed suggestions of a sampler that learns."""
    inner, found = state.inner, np.empty((0, state.space.dim), np.float32)
    for _ in range(AGAIN):
        # always as many, whose program is compiled; it knows what it suggested before
        inner, points = sampler.ask(inner, n)
        tried = np.asarray(points)
        fine = fits(tried)
        found = np.concatenate([found, tried[fine]])[:n]
        if len(found) == n:
            return inner, found
    moved = _moved(tried[~fine], state, fits)
    # repeated if the last suggestions are fewer than what is missing
    return inner, np.concatenate([found, np.resize(moved, (n, moved.shape[1]))])[:n]


def _moved(points: np.ndarray, state: AllowedState, fits: Fits) -> np.ndarray:
    """Return points moved towards the nearest of some allowed ones, until allowed."""
    anchors = _anchors(state, fits)
    near = [int(((anchors - point) ** 2).sum(axis=1).argmin()) for point in points]
    good, bad = anchors[near], points
    for _ in range(HALVINGS):
        middle = ((good + bad) / 2).astype(np.float32)
        fine = fits(middle)[:, None]
        good, bad = np.where(fine, middle, good), np.where(fine, bad, middle)
    return good


def _anchors(state: AllowedState, fits: Fits) -> np.ndarray:
    """Return some allowed points, spread evenly over what is allowed."""
    key = jax.random.fold_in(state.key, ANCHORS)
    for number in range(int(10 / LEAST)):
        own = jax.random.fold_in(key, number)
        drawn = _uniform(own, CHUNK, state.space.dim)
        fine = fits(drawn)
        if fine.any():
            return drawn[fine]
    raise ValueError("require: nothing that meets the requirements was found.")
