"""The interface of a sampler: three pure functions on the unit cube."""

from typing import Any, NamedTuple, Protocol

from jaxtune.environment import in_32_bits
from jaxtune.space import Space
from jaxtune.types import Array, ArrayLike, Key


class Init(Protocol):
    """Start a sequence of points for the cube of ``space``.

    The state may keep the space: samplers with a model use it to see which coordinates
    decode to the same value and which dimensions have no order.
    """

    def __call__(self, key: Key, space: Space, /) -> Any: ...


class Ask(Protocol):
    """Hand out the next ``n`` points ``[n, d]``; ``n`` is static.

    The state says where the sequence stands: ``ask(3)`` twice gives what ``ask(6)``
    does.
    """

    def __call__(self, state: Any, n: int, /) -> tuple[Any, Array]: ...


class Tell(Protocol):
    """Take in the scores of points ``[n, d]``: higher is better, NaN is failed.

    Scores are ``[n]``, or ``[n, s]`` with a column for each seed.
    """

    def __call__(self, state: Any, points: ArrayLike, scores: ArrayLike, /) -> Any: ...


class Sampler(NamedTuple):
    """Three pure functions that choose points of the unit cube.

    >>> import jax
    >>> import jaxtune as jt
    >>> init, ask, tell = jt.samplers.halton()
    >>> state = init(jax.random.key(0), jt.Space(x=jt.uniform(0.0, 1.0)))
    >>> state, points = ask(state, 5)
    >>> points.shape
    (5, 1)

    Args:
      init: ``(key, space) -> state``.
      ask: ``(state, n) -> (state, points [n, d])``.
      tell: ``(state, points [n, d], scores [n] or [n, s]) -> state``.
    """

    init: Init
    ask: Ask
    tell: Tell


def own_sampler(init: Init, ask: Ask, tell: Tell) -> Sampler:
    """Return a sampler of ours, whose points are the same under any settings of JAX."""
    return Sampler(in_32_bits(init), in_32_bits(ask), in_32_bits(tell))


def ignore(state: Any, points: ArrayLike, scores: ArrayLike) -> Any:
    """Return the state unchanged: the ``tell`` of a sampler that does not learn."""
    del points, scores
    return state


def learns(sampler: Sampler) -> bool:
    """Return whether a sampler takes in scores at all."""
    return getattr(sampler.tell, "__wrapped__", sampler.tell) is not ignore
