"""Images of shapes, made by the description of Larochelle et al. (2007).

``rectangles`` are outlines that are taller than wide, or wider than tall, and
``convex`` are white regions that are convex, or not. Both are questions about a whole
image, which no single pixel answers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SIDE = 28
PLACES = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij"), -1)
ANGLES = np.linspace(0, 2 * np.pi, 64, endpoint=False)
TOWARDS = PLACES @ np.stack([np.cos(ANGLES), np.sin(ANGLES)])  # [SIDE, SIDE, 64]


def rectangle(rng: np.random.Generator, tall: bool) -> np.ndarray:
    """Return the outline of a rectangle whose sides differ by three pixels or more."""
    short, long = 0, 0
    while long - short < 3:
        short, long = np.sort(rng.integers(3, SIDE - 1, size=2))
    height, width = (long, short) if tall else (short, long)
    top, left = rng.integers(0, SIDE - height), rng.integers(0, SIDE - width)
    image = np.zeros((SIDE, SIDE), np.float32)
    image[top : top + height, left : left + width] = 1
    image[top + 1 : top + height - 1, left + 1 : left + width - 1] = 0
    return image


def half_planes(rng: np.random.Generator, least: int = 1) -> np.ndarray:
    """Return where some random half-planes meet, not smaller than 20 pixels."""
    while True:
        count = least - 1 + rng.geometric(0.2)
        angles = rng.uniform(0, 2 * np.pi, size=count)
        away = rng.uniform(0, SIDE / 2, size=len(angles))
        towards = (PLACES - SIDE / 2) @ np.stack([np.cos(angles), np.sin(angles)])
        inside = (towards < away).all(-1)
        if inside.sum() >= 20:
            return inside


def gaps(region: np.ndarray) -> int:
    """Return how many pixels are missing from a region to be convex."""
    farthest = TOWARDS[region].max(0)
    hull = (farthest >= TOWARDS).all(-1)
    return int(hull.sum() - region.sum())


def region(rng: np.random.Generator, convex: bool) -> np.ndarray:
    """Return a region that is convex, or a union of such that is clearly not."""
    if convex:
        return half_planes(rng).astype(np.float32)
    while True:
        # smaller parts, so that the two classes are about equally bright
        parts = [half_planes(rng, least=6) for _ in range(rng.integers(2, 5))]
        union = np.logical_or.reduce(parts)
        if gaps(union) >= 40:
            return union.astype(np.float32)


SHAPES: dict[str, Callable] = {"rectangles": rectangle, "convex": region}


def shapes(name: str, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images [count, SIDE * SIDE] and their classes, both equally frequent."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(count) % 2)
    images = [SHAPES[name](rng, bool(one)).ravel() for one in y]
    return np.stack(images), y
