"""Functions over mixed spaces: numbers, ordinals, choices, and conditional dimensions.

Each has a short form of its own and constants drawn once from a seed. Some optima are
broad, as of most trainings, and some sharp. The values of a choice have no order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import jaxtune as jt

Value = Callable[[np.ndarray], np.ndarray]


class Mixed(NamedTuple):
    """One function: points ``[n, d]`` of the cube to values ``[n]``, to minimise."""

    space: jt.Space
    value: Value


def cells(u: np.ndarray, counts: list[int] | tuple[int, ...]) -> np.ndarray:
    """Return which of ``counts[j]`` equal cells each coordinate lies in, ``[n, d]``."""
    return np.minimum(np.floor(np.asarray(u) * counts), np.array(counts) - 1).astype(
        int
    )


def snapped(u: np.ndarray, counts: list[int] | tuple[int, ...]) -> np.ndarray:
    """Return coordinates at the middle of their cell; a count of 0 has no cells."""
    counted = np.maximum(counts, 1)
    return np.where(np.array(counts) > 0, (cells(u, counted) + 0.5) / counted, u)


def numbers(counts: list[int]) -> dict[str, Any]:
    """Return dimensions: ordinals of so many values, integers if negative, 0 real."""
    kinds = {
        -1: lambda n: jt.integer(1, -n),
        0: lambda n: jt.uniform(0, 1),
        1: lambda n: jt.ordinal(list(range(n))),
    }
    return {f"x{j}": kinds[int(np.sign(n))](n) for j, n in enumerate(counts)}


def choices(counts: list[int]) -> dict[str, Any]:
    """Return choices of so many values."""
    return {f"c{j}": jt.choice(list("abcdefgh"[:n])) for j, n in enumerate(counts)}


def bowl(seed: int) -> Mixed:
    """Seven numbers around a broad valley, and a cliff where the first is too large."""
    rng = np.random.default_rng(seed)
    counts = [0, 0, 0, 0, -8, -16, 6]
    centre, turn = rng.uniform(0.2, 0.7, 7), rng.normal(size=(7, 7)) * 0.3
    weight = np.array([6, 2, 1, 0.6, 2, 0.5, 0.3])

    def value(u: np.ndarray) -> np.ndarray:
        away = snapped(u, np.abs(counts)) - centre
        bowl = (weight * (away + np.tanh(away @ turn) * 0.3) ** 2).sum(1)
        cliff = 1 / (1 + np.exp(-30 * (away[:, 0] - 0.25 + 0.2 * away[:, 1])))
        return np.log(0.05 + bowl) + 2 * cliff

    return Mixed(jt.Space(**numbers(counts)), value)


def network(seed: int, dim: int) -> Mixed:
    """A random network of real numbers, which matter ever less."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(dim, 24)) * 3 * 0.8 ** np.arange(dim)[:, None]
    shift, last = rng.uniform(-2, 2, 24), rng.normal(size=24)

    def value(u: np.ndarray) -> np.ndarray:
        return np.tanh((2 * np.asarray(u) - 1) @ first + shift) @ last

    return Mixed(jt.Space(**numbers([0] * dim)), value)


def peak(seed: int) -> Mixed:
    """Five ordinals with a sharp optimum on a broad slope."""
    rng = np.random.default_rng(seed)
    counts = [12, 8, 6, 6, 4]
    centre = (cells(rng.uniform(0.1, 0.9, (1, 5)), counts)[0] + 0.5) / counts

    def value(u: np.ndarray) -> np.ndarray:
        away = snapped(u, counts) - centre
        near = np.exp(-((away / [0.08, 0.15, 0.2, 0.25, 0.4]) ** 2).sum(1) / 2)
        return (away**2 * [2, 1, 0.5, 0.2, 0.1]).sum(1) - near

    return Mixed(jt.Space(**numbers(counts)), value)


def effects(rng: np.random.Generator, counts: list[int]) -> tuple[list, dict]:
    """Draw effects of the values of choices, and weaker ones of all pairs."""
    size = [1.0 / (1 + j) ** 0.5 for j in range(len(counts))]
    alone = [size[j] * rng.normal(size=n) for j, n in enumerate(counts)]
    pairs = {
        (i, j): 0.5 * (size[i] * size[j]) ** 0.5 * rng.normal(size=(n, m))
        for i, n in enumerate(counts)
        for j, m in enumerate(counts[i + 1 :], i + 1)
    }
    return alone, pairs


def chosen(index: np.ndarray, alone: list, pairs: dict) -> np.ndarray:
    """Return the sum of effects of the chosen values ``[n, d]``."""
    total = sum(effect[index[:, j]] for j, effect in enumerate(alone))
    return total + sum(e[index[:, i], index[:, j]] for (i, j), e in pairs.items())


def operations(seed: int, counts: list[int]) -> Mixed:
    """Choices alone: each has an effect, and so has each pair."""
    alone, pairs = effects(np.random.default_rng(seed), counts)

    def value(u: np.ndarray) -> np.ndarray:
        return chosen(cells(u, counts), alone, pairs)

    return Mixed(jt.Space(**choices(counts)), value)


def parts(seed: int, counts: list[int], kinds: list[int]) -> Mixed:
    """Numbers and choices; where the best numbers lie depends on the choices."""
    rng = np.random.default_rng(seed)
    alone, pairs = effects(rng, kinds)
    centre = rng.uniform(0.15, 0.85, len(counts))
    moves = rng.normal(size=(len(kinds), max(kinds), len(counts))) * 0.08
    weight = 4 * 0.7 ** np.arange(len(counts))

    def value(u: np.ndarray) -> np.ndarray:
        index = cells(u[:, len(counts) :], kinds)
        x = snapped(u[:, : len(counts)], np.abs(counts))
        place = centre + sum(moves[j, index[:, j]] for j in range(len(kinds)))
        bowl = (weight * (x - place) ** 2).sum(1)
        return np.log(0.1 + bowl) + 0.3 * chosen(index, alone, pairs)

    return Mixed(jt.Space(**numbers(counts), **choices(kinds)), value)


def branches(seed: int) -> Mixed:
    """A choice and an ordinal, on which five of nine other dimensions depend."""
    rng = np.random.default_rng(seed)
    space = jt.Space(
        rate=jt.uniform(0, 1),
        kind=jt.choice(["a", "b", "c"]),
        momentum=jt.when(jt.uniform(0, 1), kind="b"),
        beta=jt.when(jt.uniform(0, 1), kind="c"),
        epsilon=jt.when(jt.uniform(0, 1), kind="c"),
        layers=jt.ordinal([1, 2, 3]),
        units_1=jt.integer(1, 16),
        units_2=jt.when(jt.integer(1, 16), layers=[2, 3]),
        units_3=jt.when(jt.integer(1, 16), layers=3),
    )
    centre = rng.uniform(0.2, 0.8, 9)
    rates, levels = rng.uniform(0.2, 0.8, 3), [0.35, 0.15, 0.0]

    def value(u: np.ndarray) -> np.ndarray:
        u = snapped(u, (0, 3, 0, 0, 0, 3, 16, 16, 16))
        kind, layers = cells(u[:, [1]], [3])[:, 0], 1 + cells(u[:, [5]], [3])[:, 0]
        away = (u - centre) ** 2
        loss = 4 * (u[:, 0] - rates[kind]) ** 2 + np.array(levels)[kind]
        loss = loss + np.where(kind == 1, 1.5 * away[:, 2], 0)
        loss = loss + np.where(kind == 2, 2 * away[:, 3] + 0.5 * away[:, 4], 0)
        loss = loss + away[:, 6] + np.array([0.3, 0.1, 0.0])[layers - 1]
        loss = loss + np.where(layers > 1, away[:, 7], 0)
        return np.log(0.02 + loss + np.where(layers > 2, away[:, 8], 0))

    return Mixed(space, value)


FUNCTIONS: dict[str, Mixed] = {
    "bowl7": bowl(0),
    "network7": network(1, 7),
    "network7 b": network(5, 7),
    "network12": network(2, 12),
    "peak5": peak(0),
    "peak5 b": peak(3),
    "choices6": operations(0, [5, 5, 4, 4, 3, 3]),
    "choices6 b": operations(1, [5, 5, 4, 4, 3, 3]),
    "choices5": operations(2, [6, 5, 5, 4, 4]),
    "parts9": parts(0, [8, 6, 6, 4, 4], [3, 2, 4, 2]),
    "parts9 b": parts(1, [8, 6, 6, 4, 4], [3, 2, 4, 2]),
    "parts8": parts(2, [0, 0, 0, -10, -32], [4, 3, 3]),
    "branches9": branches(0),
}
