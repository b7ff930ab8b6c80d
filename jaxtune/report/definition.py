"""The public calls that define a space: its makers, then ``restrict`` and ``keep``.

Without a belief, a dimension does not record the range that it was restricted from, or
had before `Space.keep` fixed it. Any range will do that has the same default.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from jaxtune.space import (
    Dimension,
    Space,
    choice,
    fixed,
    integer,
    log_uniform,
    ordinal,
    power_of_two,
    reverse_log_uniform,
    uniform,
)
from jaxtune.space.belief import Near, same_belief, stated, with_belief
from jaxtune.space.dimension import KINDS, to_python

REALS = {
    "linear": uniform,
    "log": log_uniform,
    "reverse_log": reverse_log_uniform,
}


class Definition(NamedTuple):
    """The public calls that make a space, in the order of the fields.

    Args:
      whole: the space as its makers return it.
      bounds: name to what ``restrict`` is given; empty where it is not called.
      beliefs: name to what ``expect`` is given; empty where it is not called.
      kept: the names that ``keep`` is given; empty where it is not called.
    """

    whole: Space
    bounds: dict[str, Any]
    beliefs: dict[str, Near]
    kept: tuple[str, ...]

    def made(self) -> Space:
        """Return what the calls return."""
        space = self.whole.restrict(**self.bounds).expect(**self.beliefs)
        return space.keep(*self.kept) if self.kept else space


def definition_of(space: Space) -> Definition | None:
    """Return how public calls make a space; ``None`` if none are known that do."""
    with suppress(ValueError):  # such as a condition on what a parent no longer has
        whole = Space({name: _whole(space, name) for name in space.names})
        later = {
            name: stated(space[name])
            for name in space.searched
            if space[name].prior is not None and whole[name].prior is None
        }
        closed = any(whole[n].searched and not space[n].searched for n in space.names)
        kept = space.searched if closed else ()
        found = Definition(whole, smaller(whole, space), later, kept)
        made = found.made()
        if all(_alike(made[name], space[name]) for name in space.names):
            return found
    return None


def smaller(space: Space, box: Space) -> dict[str, Any]:
    """Return what ``restrict`` is given to make a box of a space."""
    found: dict[str, Any] = {}
    for name in box.searched:
        if box[name].allowed is not None:
            if space[name].remaining != box[name].remaining:
                found[name] = list(box[name].remaining)
        elif space[name].bounds != box[name].bounds:
            found[name] = box[name].bounds
    return found


def maker_of(dim: Dimension) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the maker of a searched dimension, and the scale if it has to be told."""
    if dim.choices:
        return (choice if dim.allowed is not None else ordinal), {}
    if dim.kind == "continuous":
        return REALS[dim.scale], {}
    if dim.kind == "power_of_two":
        return power_of_two, {}
    return integer, {} if dim.scale == "linear" else {"scale": dim.scale}


def _whole(space: Space, name: str) -> Dimension:
    """Return a dimension as a maker returns it.

    Raises:
      ValueError: no maker is known that does.
    """
    dim = space[name]
    if not dim.searched and not _has_to_be_kept(space, name):
        return fixed(dim.default)
    if not dim.searched:  # of what is not searched nothing is expected
        dim = dataclasses.replace(dim, searched=True, prior=None)
    for low, high in _ranges(dim):
        # a range that no maker takes, or in which the belief does not lie
        with suppress(ValueError):
            one = _of_range(dim, low, high)
            if dim.prior is None:
                return one
            one = with_belief("prior", one, stated(dim), centred=False)
            if same_belief(one, dim):
                return one
    # the belief is about the part: it is stated after `restrict`
    return _of_range(dim, *next(_ranges(dim)))


def _has_to_be_kept(space: Space, name: str) -> bool:
    """Return whether ``fixed`` is not enough for a dimension that is not searched."""
    dim, alone = space[name], fixed(space[name].default)
    read = [
        value
        for n in space.names
        for p, v in space[n].condition
        if p == name
        for value in v
    ]
    return (
        bool(dim.condition)
        or alone.dtype != dim.dtype
        or any(value not in alone.choices for value in read)
    )


def _of_range(dim: Dimension, low: Any, high: Any) -> Dimension:
    """Return a dimension without a belief, of all its choices or another range."""
    if dim.choices:
        last = np.asarray(len(dim.choices) - 1, np.int32)
        every = None if dim.allowed is None else np.ones(len(dim.choices), bool)
        return dataclasses.replace(
            dim, low=np.zeros_like(last), high=last, allowed=every, prior=None
        )
    make, options = maker_of(dim)
    made = make(*(_edge(dim, end) for end in (low, high)), **options)
    return dataclasses.replace(dim, low=made.low, high=made.high, prior=None)


def _edge(dim: Dimension, end: Any) -> Any:
    return KINDS[dim.kind].edge(dim, end)


def _ranges(dim: Dimension) -> Iterator[tuple[Any, Any]]:
    """Return ranges, bounds as leaves, that hold a dimension and its default."""
    inside = [to_python(dim.low), to_python(dim.high)]
    if not dim.choices:
        power = dim.kind == "power_of_two"
        inside.append(dim.default.bit_length() - 1 if power else dim.default)
    low, high = min(inside), max(inside)
    yield low, high
    if dim.prior is not None:  # its spread is a share of the range when it was stated
        first, last = to_python(dim.prior.low), to_python(dim.prior.high)
        if first <= low and high <= last:  # the default too, for `expect` keeps it
            yield first, last


def _alike(made: Dimension, dim: Dimension) -> bool:
    """Return whether two dimensions are the same to a search."""
    fields = ["searched", "default", "condition", "dtype"]
    if dim.searched or dim.condition:
        fields += ["kind", "scale", "choices", "tier", "static"]
    same = all(getattr(made, name) == getattr(dim, name) for name in fields)
    if not dim.searched:
        return same
    ends = [np.asarray([one.low, one.high], np.float32) for one in (made, dim)]
    return (
        same
        and made.remaining == dim.remaining
        and np.array_equal(ends[0], ends[1])
        and same_belief(made, dim)
    )
