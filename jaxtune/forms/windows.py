"""The slices of an array that a window sees at its places, or its places see."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from jax import lax

from jaxtune.types import Array


def slices_at(
    x: Array,
    places: Sequence[int],
    apart: Sequence[int],
    sizes: Sequence[int],
    steps: Sequence[int],
) -> Iterator[Array]:
    """Yield the slice of an array at each place of a grid, the last axis fastest.

    >>> import jax.numpy as jnp
    >>> from jaxtune.forms.windows import slices_at
    >>> x = jnp.arange(6)
    >>> [s.tolist() for s in slices_at(x, places=[2], apart=[1], sizes=[3], steps=[2])]
    [[0, 2, 4], [1, 3, 5]]

    Args:
      x: any array; all other arguments have a number for each of its axes.
      places: number of places.
      apart: distance of a place from the next one.
      sizes: of a slice.
      steps: distance of neighbours in a slice.
    """
    for place in itertools.product(*map(range, places)):
        begin = [p * step for p, step in zip(place, apart, strict=True)]
        end = [b + (n - 1) * s + 1 for b, n, s in zip(begin, sizes, steps, strict=True)]
        yield lax.slice(x, begin, end, steps)
