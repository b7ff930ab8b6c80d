"""The lanes that train together in a search, as its schedulers plan them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxtune.planning.layout import Layout, constants, shares_of, size_shares
from jaxtune.schedulers import Plan
from jaxtune.space import Space


class Load(NamedTuple):
    """Lanes that train for so long before any of them is compared or scored.

    Args:
      lanes: trials times seeds; of one program.
      turns: epochs; 1 for a plain function.
    """

    lanes: int
    turns: int


def loads_of(
    plans: Sequence[Plan], seeds: int, batches: Sequence[Sequence[int]] = ()
) -> tuple[Load, ...]:
    """Return the loads of a search: one for each rung of each bracket of each round.

    >>> import jaxtune as jt
    >>> plan = jt.schedulers.successive_halving().plan(64, 20)
    >>> loads_of([plan], seeds=2)
    (Load(lanes=128, turns=2), Load(lanes=42, turns=5), Load(lanes=14, turns=13))

    Args:
      plans: of the scheduler, for each round.
      seeds: lanes of every trial.
      batches: of each round, trials whose points are asked for at once; they train to
        their first rung before the next ones begin. Empty where all are.
    """
    loads = []
    for number, plan in enumerate(plans):
        sizes = batches[number] if batches else ()
        for bracket in plan.brackets:
            whole, *later = zip(bracket.counts, plan.steps(bracket), strict=True)
            rungs = [(part, whole[1]) for part in _parts(whole[0], sizes)] + later
            loads += [Load(count * seeds, step) for count, step in rungs]
    return tuple(loads)


def _parts(count: int, sizes: Sequence[int]) -> list[int]:
    """Return trials that begin together, of ``count`` that come in batches."""
    if not sizes:
        return [count]
    size = min(count, max(sizes))
    return [size] * (count // size) + [count % size] * (count % size > 0)


def of_each_program(
    loads: Sequence[Load], layout: Layout, space: Space
) -> Counter[Load]:
    """Return the loads of each program with their numbers, by static values.

    A program gets the part of the lanes that the whole space has of its values. The box
    of a round may have others, but it is not looked at: the width is chosen once.

    Args:
      loads: of all lanes.
      layout: how shapes become programs.
      space: the whole space.
    """
    counted = Counter({1.0: 1})
    for shares in _shares_by_dimension(layout, space):
        # dimensions are independent, and equal parts need no row each
        several: Counter[float] = Counter()
        for part, count in counted.items():
            for share in shares:
                several[round(part * share, 6)] += count
        counted = several
    each: Counter[Load] = Counter()
    for load in loads:
        for part, count in counted.items():
            # some program gets a lane even where there are more programs than lanes
            lanes = max(1, round(load.lanes * part))
            each[load._replace(lanes=lanes)] += count
    return each


def _shares_by_dimension(layout: Layout, space: Space) -> Iterator[list[float]]:
    """Yield the parts of the range that have a program, by dimension."""
    known = [name for name in constants(layout, space) if space[name].searched]
    for name in known:
        yield list(shares_of(space[name]).values())
    if layout.by_size:
        parts = dict.fromkeys(layout.by_size, 0.0)
        for size, share in size_shares(space["batch_size"]).items():
            batching = layout.batching_of(int(size))
            if batching is not None:
                parts[batching] += share
        yield list(parts.values())
    for bucket in layout.buckets:
        if bucket.name in known or len(bucket.tops) == 1:
            continue
        shares = size_shares(space[bucket.name])
        at = np.searchsorted(bucket.tops, list(shares))
        yield np.bincount(at, list(shares.values())).tolist()
