"""The interface of a sampler: three pure functions on the unit cube."""

import inspect
from functools import wraps
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np

from jaxtune.door import KEY, Argument, demand, whole
from jaxtune.environment import in_32_bits
from jaxtune.registry import reduced, text_of
from jaxtune.samplers.beliefs import believed, partly_following
from jaxtune.space import A_SPACE, Space
from jaxtune.space.columns import as_numbers
from jaxtune.types import Array, ArrayLike, Key

A_BATCH = whole(0, 2**24)  # points at once: more of them do not fit in memory


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

    def __repr__(self) -> str:
        return text_of(self)

    def __reduce__(self) -> Any:
        return reduced(self)


def is_sampler(value: Any) -> bool:
    """Return whether a value has the functions of a sampler, whatever its type."""
    return all(callable(getattr(value, name, None)) for name in Sampler._fields)


A_SAMPLER = Argument(
    "a sampler",
    is_sampler,
    "Use what one of jaxtune.samplers returns, such as sobol().",
)


def own_sampler(init: Init, ask: Ask, tell: Tell, *, follows: bool = True) -> Sampler:
    """Return a sampler of ours, whose points are the same under any settings of JAX.

    Its functions refuse what is no key, space, number of points, points or scores.

    Args:
      init: as in `Sampler`.
      ask: as in `Sampler`.
      tell: as in `Sampler`.
      follows: whether points of a sequence are moved to follow the beliefs of a space.
    """
    if follows and tell is ignore:  # a model weighs beliefs by itself
        init, ask = _following(init, ask)
    begin, more, learn = in_32_bits(init), in_32_bits(ask), in_32_bits(tell)

    @wraps(init)
    def checked_init(key: Key, space: Space, /) -> Any:
        demand("init", "key", key, KEY)
        return begin(key, demand("init", "space", space, A_SPACE))

    @wraps(ask)
    def checked_ask(state: Any, n: int, /) -> tuple[Any, Array]:
        return more(state, demand("ask", "n", n, A_BATCH))

    @wraps(tell)
    def checked_tell(state: Any, points: ArrayLike, scores: ArrayLike, /) -> Any:
        _check_told(points, scores)
        return learn(state, points, scores)

    return Sampler(checked_init, checked_ask, checked_tell)


class Following(NamedTuple):
    """The state of a sequence, some of whose points follow the beliefs of a space."""

    state: Any  # of the sequence
    space: Space  # of its points
    asked: Array  # [] int32, points handed out so far


def _following(init: Init, ask: Ask) -> tuple[Init, Ask]:
    """Return functions whose points are denser where good values are expected."""

    @wraps(init)
    def begin(key: Key, space: Space, /) -> Any:
        state = init(key, space)
        return Following(state, space, jnp.int32(0)) if believed(space) else state

    @wraps(ask)
    def more(state: Any, n: int, /) -> tuple[Any, Array]:
        if not isinstance(state, Following):
            return ask(state, n)
        after, points = ask(state.state, n)
        points = partly_following(state.space, points, state.asked)
        return state._replace(state=after, asked=state.asked + n), points

    return begin, more


def _check_told(points: Any, scores: Any) -> None:
    points, scores = as_numbers("points", points), as_numbers("scores", scores)
    rows, kept = np.shape(points), np.shape(scores)
    if len(rows) != 2 or len(kept) not in (1, 2) or kept[0] != rows[0]:
        raise ValueError(
            f"tell: points have shape {rows} and scores {kept}. Use points (n, d) and "
            "a score for each, (n,), or (n, s) with a column for each seed."
        )


def ignore(state: Any, points: ArrayLike, scores: ArrayLike) -> Any:
    """Return the state unchanged: the ``tell`` of a sampler that does not learn."""
    del points, scores
    return state


def learns(sampler: Sampler) -> bool:
    """Return whether a sampler takes in scores at all."""
    return inspect.unwrap(sampler.tell) is not ignore
