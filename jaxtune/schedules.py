"""Learning-rate schedules whose every number may be a hyperparameter.

Each equals optax's schedule that its docstring names. Optax's need the number of steps
as a Python number; these take a traced one too, such as ``steps`` of an optimiser in a
search of ``batch_size``. Numbers of steps may also be shares of a training, below 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxtune.door import FLAG, either, guarded, list_of, optional, real
from jaxtune.types import Array

Number = Array | float
Schedule = Callable[[Any], Array]
"""``count -> rate``: the number of steps so far, and the learning rate of the next."""

__all__ = [
    "cosine",
    "exponential",
    "linear",
    "one_cycle",
    "piecewise",
    "warmup_cosine",
]


# all may be traced; a number of steps below 1 is a share of a training
RATE = LATER = real(0, traced=True)
FACTOR = real(above=0, traced=True)
STEPS = FACTOR._replace(way_out="Use the steps of a whole training.")


@guarded(peak=RATE, steps=STEPS, end=RATE, begin=LATER)
def linear(
    peak: Number, steps: Number, end: Number = 0.0, begin: Number = 0
) -> Schedule:
    """Go from ``peak`` to ``end`` in a straight line (`optax.linear_schedule`).

    >>> import jaxtune as jt
    >>> rate = jt.schedules.linear(0.5, 100)
    >>> [round(float(rate(count)), 3) for count in (0, 50, 100, 200)]
    [0.5, 0.25, 0.0, 0.0]

    Args:
      peak: rate at first.
      steps: steps of a whole training, in which the rate reaches ``end``.
      end: rate at last.
      begin: steps before the rate changes, or a share of them below 1; the decay takes
        ``steps - begin``.

    Returns:
      ``count -> rate``, ``[]`` float32.
    """
    peak, end = _real(peak), _real(end)
    begin, last = _steps(begin, steps), _real(steps)

    def schedule(count: Any) -> Array:
        share = _share(_real(count) - begin, last - begin)
        return peak + (end - peak) * share

    return schedule


@guarded(peak=RATE, steps=STEPS, end=RATE, exponent=RATE)
def cosine(
    peak: Number, steps: Number, end: Number = 0.0, exponent: Number = 1.0
) -> Schedule:
    """Go from ``peak`` to ``end`` along half a cosine (`optax.cosine_decay_schedule`).

    Source: Loshchilov and Hutter, 2017, without restarts.

    >>> import jaxtune as jt
    >>> rate = jt.schedules.cosine(0.5, 100)
    >>> [round(float(rate(count)), 3) for count in (0, 25, 50, 100, 200)]
    [0.5, 0.427, 0.25, 0.0, 0.0]

    Args:
      peak: rate at first.
      steps: steps of a whole training.
      end: rate at last; optax's ``alpha`` is ``end / peak``.
      exponent: power of the half cosine, which goes from 1 to 0.

    Returns:
      ``count -> rate``, ``[]`` float32.
    """
    return warmup_cosine(peak, steps, 0, end=end, exponent=exponent)


@guarded(
    peak=RATE,
    steps=STEPS,
    warmup=LATER,
    start=RATE,
    end=RATE,
    exponent=RATE,
)
def warmup_cosine(
    peak: Number,
    steps: Number,
    warmup: Number,
    start: Number = 0.0,
    end: Number = 0.0,
    exponent: Number = 1.0,
) -> Schedule:
    """Rise in a straight line, then fall (`optax.warmup_cosine_decay_schedule`).

    >>> import jaxtune as jt
    >>> import optax
    >>> def optimizer(hparams, steps):
    ...     rate = hparams["learning_rate"]
    ...     return optax.adamw(
    ...         jt.schedules.warmup_cosine(rate, steps, warmup=hparams["warmup"])
    ...     )
    >>> rate = jt.schedules.warmup_cosine(0.5, 100, warmup=0.1)
    >>> [round(float(rate(count)), 3) for count in (0, 5, 10, 55, 100, 200)]
    [0.0, 0.25, 0.5, 0.25, 0.0, 0.0]

    Args:
      peak: rate after the warm-up.
      steps: steps of a whole training, the warm-up included.
      warmup: steps of the warm-up, or a share of ``steps`` below 1.
      start: rate at first.
      end: rate at last.
      exponent: power of the half cosine, which goes from 1 to 0.

    Returns:
      ``count -> rate``, ``[]`` float32.
    """
    peak, start, end = _real(peak), _real(start), _real(end)
    exponent, last = _real(exponent), _real(steps)
    warm = _steps(warmup, steps)

    def schedule(count: Any) -> Array:
        count = _real(count)
        half = (1 + jnp.cos(jnp.pi * _share(count - warm, last - warm))) / 2
        rise = start + (peak - start) * _share(count, warm)
        return jnp.where(count < warm, rise, end + (peak - end) * half**exponent)

    return schedule


@guarded(
    peak=RATE,
    steps=STEPS,
    rate=FACTOR,
    begin=LATER,
    end=optional(RATE),
    staircase=FLAG,
)
def exponential(
    peak: Number,
    steps: Number,
    rate: Number,
    begin: Number = 0,
    end: Number | None = None,
    staircase: bool = False,
) -> Schedule:
    """Multiply by ``rate`` every so many steps (`optax.exponential_decay`).

    >>> import jaxtune as jt
    >>> schedule = jt.schedules.exponential(0.5, 100, rate=0.01)
    >>> [round(float(schedule(count)), 4) for count in (0, 50, 100)]
    [0.5, 0.05, 0.005]

    Args:
      peak: rate at first.
      steps: steps in which the rate is multiplied once; those of a whole training make
        ``rate`` the share that is left at its end.
      rate: factor, above 0.
      begin: steps before the rate changes, or a share of ``steps`` below 1.
      end: bound that the rate does not cross.
      staircase: whether the rate jumps after ``steps`` steps, and not a bit in each.

    Returns:
      ``count -> rate``, ``[]`` float32.
    """
    peak, rate = _real(peak), _real(rate)
    begin, period = _steps(begin, steps), _real(steps)

    def schedule(count: Any) -> Array:
        turns = jnp.maximum(_real(count) - begin, 0) / period
        now = peak * rate ** (jnp.floor(turns) if staircase else turns)
        if end is None:
            return now
        bound = _real(end)
        return jnp.where(rate < 1, jnp.maximum(now, bound), jnp.minimum(now, bound))

    return schedule


@guarded(peak=RATE, steps=STEPS, rise=LATER, start=FACTOR, final=FACTOR)
def one_cycle(
    peak: Number,
    steps: Number,
    rise: Number = 0.3,
    start: Number = 25.0,
    final: Number = 1e4,
) -> Schedule:
    """Rise and fall along half a cosine each (`optax.cosine_onecycle_schedule`).

    Source: Smith and Topin, 2017.

    >>> import jaxtune as jt
    >>> rate = jt.schedules.one_cycle(0.5, 100)
    >>> [round(float(rate(count)), 3) for count in (0, 15, 30, 65, 100)]
    [0.02, 0.26, 0.5, 0.25, 0.0]

    Args:
      peak: largest rate.
      steps: steps of a whole training.
      rise: steps of the rise, or a share of ``steps`` below 1.
      start: the first rate is ``peak / start``.
      final: the last rate is the first one divided by this.

    Returns:
      ``count -> rate``, ``[]`` float32.
    """
    peak, top, last = _real(peak), _steps(rise, steps), _real(steps)
    first = peak / _real(start)
    lowest = first / _real(final)

    def schedule(count: Any) -> Array:
        count = _real(count)
        up = _wave(first, peak, _share(count, top))
        down = _wave(peak, lowest, _share(count - top, last - top))
        return jnp.where(count < top, up, down)

    return schedule


@guarded(peak=RATE, steps=STEPS, at=list_of(LATER), scale=either(RATE, list_of(RATE)))
def piecewise(
    peak: Number,
    steps: Number,
    at: Sequence[Number],
    scale: Number | Sequence[Number] = 0.1,
) -> Schedule:
    """Multiply the rate at some steps (`optax.piecewise_constant_schedule`).

    >>> import jaxtune as jt
    >>> rate = jt.schedules.piecewise(0.5, 100, at=(0.5, 0.75))
    >>> [round(float(rate(count)), 4) for count in (0, 49, 50, 75, 100)]
    [0.5, 0.5, 0.05, 0.005, 0.005]

    Args:
      peak: rate at first.
      steps: steps of a whole training.
      at: the steps after which the rate changes, or shares of ``steps`` below 1.
      scale: factor at each of them, or one for all.

    Returns:
      ``count -> rate``, ``[]`` float32.

    Raises:
      ValueError: factors of another number than steps.
    """
    several: Any = scale
    scales = list(several) if np.ndim(several) else [scale] * len(at)
    if len(scales) != len(at):
        raise ValueError(
            f"scale: got {len(scales)} factors for {len(at)} steps in at. Use one for "
            "each, or one number for all."
        )
    peak = _real(peak)
    bounds = [_steps(bound, steps) for bound in at]
    factors = [_real(factor) for factor in scales]

    def schedule(count: Any) -> Array:
        rate: Any = peak
        count = _real(count)
        for bound, factor in zip(bounds, factors, strict=True):
            rate = jnp.where(count >= bound, rate * factor, rate)
        return rate

    return schedule


def _real(value: Any) -> Any:
    """Return a number as float32, whatever the settings of JAX."""
    return jnp.asarray(value, jnp.float32)


def _steps(value: Any, steps: Any) -> Any:
    """Return a number of steps, which may be given as a share of all."""
    value = _real(value)
    return jnp.where(value < 1, jnp.floor(value * _real(steps)), value)


def _share(count: Any, length: Any) -> Any:
    """Return how much of a length is over, from 0 to 1."""
    return jnp.clip(count / jnp.maximum(length, 1), 0, 1)


def _wave(begin: Any, end: Any, share: Any) -> Any:
    return end + (begin - end) * (1 + jnp.cos(jnp.pi * share)) / 2
