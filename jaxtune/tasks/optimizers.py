"""Optimisers whose every number is a traced hyperparameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxtune.tasks.hparams import Hparams
from jaxtune.types import Array

MOMENTUM, BETA1, BETA2, RMS_DECAY, EPSILON = 0.9, 0.9, 0.999, 0.9, 1e-8

__all__ = ["inverse_epoch_decay", "selected", "standard"]


def standard(hparams: Mapping[str, Any]) -> optax.GradientTransformationExtraArgs:
    """The default: reads the standard names, whichever are in the space.

    ``learning_rate`` (0.01 if absent), ``learning_rate_decay``, ``weight_decay``
    (decoupled, as in AdamW) and ``optimizer``, a choice of ``sgd``, ``momentum``,
    ``rmsprop`` and ``adam``. Momentum reads ``momentum`` (0.9), RMSProp ``beta2`` (0.9)
    and ``epsilon`` (1e-8), Adam ``beta1`` (0.9), ``beta2`` (0.999) and ``epsilon``.
    Without an ``optimizer``, Adam is used if the space has ``beta1``, ``beta2`` or
    ``epsilon``, and momentum otherwise.

    Args:
      hparams: name to traced scalar, or to a Python value if static.

    Returns:
      An optax transformation; its ``update`` takes ``epoch=``, the number of epochs
      that the trial has finished.

    Raises:
      ValueError: an ``optimizer`` that is none of the four.
    """
    parts = [_direction(hparams)]
    weight_decay = hparams.get("weight_decay")
    if weight_decay is not None:
        parts.append(optax.add_decayed_weights(weight_decay))
    rate = hparams.get("learning_rate", 0.01)
    parts.append(optax.scale_by_learning_rate(rate))
    slowdown = hparams.get("learning_rate_decay")
    if slowdown is not None:
        parts.append(inverse_epoch_decay(slowdown))
    return optax.chain(*parts)


def inverse_epoch_decay(rate: Array | float) -> optax.GradientTransformationExtraArgs:
    """Learning-rate decay: updates divided by ``1 + rate * epoch``.

    Args:
      rate: decay rate, 0 for none.

    Returns:
      A transformation whose ``update`` needs ``epoch=``, counted from 0.
    """

    def update(updates, state, params=None, *, epoch, **extra):
        del params, extra
        scale = 1 / (1 + rate * epoch)
        return jax.tree.map(lambda u: u * scale.astype(u.dtype), updates), state

    return optax.GradientTransformationExtraArgs(
        lambda params: optax.EmptyState(), update
    )


def _momentum(hparams: Mapping[str, Any]) -> optax.GradientTransformation:
    return optax.trace(hparams.get("momentum", MOMENTUM))


def _rmsprop(hparams: Mapping[str, Any]) -> optax.GradientTransformation:
    decay = hparams.get("beta2", RMS_DECAY)
    return optax.scale_by_rms(decay, hparams.get("epsilon", EPSILON))


def _adam(hparams: Mapping[str, Any]) -> optax.GradientTransformation:
    return optax.scale_by_adam(
        hparams.get("beta1", BETA1),
        hparams.get("beta2", BETA2),
        hparams.get("epsilon", EPSILON),
    )


DIRECTIONS = {
    "sgd": lambda hparams: optax.identity(),
    "momentum": _momentum,
    "rmsprop": _rmsprop,
    "adam": _adam,
}


def _direction(hparams: Mapping[str, Any]) -> optax.GradientTransformation:
    adams = ("beta1", "beta2", "epsilon")
    usual = "adam" if any(name in hparams for name in adams) else "momentum"
    chosen = hparams.get("optimizer", usual)
    if isinstance(chosen, str):
        return DIRECTIONS[_known(chosen)](hparams)
    if not isinstance(hparams, Hparams) or "optimizer" not in hparams.choices:
        raise ValueError(
            "optimizer: got a number without its list of names. Use "
            "choice(['sgd', 'adam'], ...) in the space."
        )
    names = [_known(name) for name in hparams.choices["optimizer"]]
    return _one_of(chosen, [MEMBERS[name](hparams) for name in names])


def _known(name: Any) -> str:
    if name not in DIRECTIONS:
        raise ValueError(
            f"optimizer: got {name!r}. Use {', '.join(DIRECTIONS)}, or give the task "
            "an optimizer function of your own."
        )
    return name


class Member(NamedTuple):
    """An optimiser as numbers: ``m * a / (sqrt(c * v + inner) + outer)``.

    ``m = decay * m + weight * g`` and ``v = decay2 * v + weight2 * g ** 2``; ``a`` and
    ``c`` correct the bias of the first steps where ``corrected``. Without
    ``adaptive`` it is ``m`` alone, and without ``averaging`` ``m`` is ``g``.
    """

    decay: Any = 0.0
    weight: Any = 1.0
    decay2: Any = 0.0
    weight2: Any = 0.0
    inner: Any = 0.0
    outer: Any = 0.0
    averaging: bool = False
    adaptive: bool = False
    corrected: bool = False


class Moments(NamedTuple):
    """What the members share; an empty tuple for a moment that none of them has."""

    steps: Array  # [] int32
    first: Any
    second: Any


def _adam_member(hparams: Mapping[str, Any]) -> Member:
    decay, decay2 = hparams.get("beta1", BETA1), hparams.get("beta2", BETA2)
    return Member(
        decay=decay,
        weight=1 - decay,
        decay2=decay2,
        weight2=1 - decay2,
        outer=hparams.get("epsilon", EPSILON),
        averaging=True,
        adaptive=True,
        corrected=True,
    )


def _rmsprop_member(hparams: Mapping[str, Any]) -> Member:
    decay2, inner = hparams.get("beta2", RMS_DECAY), hparams.get("epsilon", EPSILON)
    return Member(decay2=decay2, weight2=1 - decay2, inner=inner, adaptive=True)


MEMBERS = {
    "sgd": lambda hparams: Member(),
    "momentum": lambda hparams: Member(
        decay=hparams.get("momentum", MOMENTUM), averaging=True
    ),
    "rmsprop": _rmsprop_member,
    "adam": _adam_member,
}


def _one_of(index: Array, members: list[Member]) -> optax.GradientTransformation:
    """One of several members, chosen by a traced number.

    They differ in numbers only, so that nothing is computed for the others and the
    state is that of the largest.
    """
    adaptive = any(member.adaptive for member in members)
    averaging = any(member.averaging for member in members)
    columns = zip(*members, strict=True)
    chosen: Any = [jnp.stack([jnp.asarray(v) for v in c])[index] for c in columns]
    one = Member(*chosen)

    def init(params):
        zeros = jax.tree.map(jnp.zeros_like, params)
        return Moments(
            jnp.int32(0), zeros if averaging else (), zeros if adaptive else ()
        )

    def update(updates, state, params=None):
        del params
        steps = optax.safe_increment(state.steps)
        first, second = updates, state.second
        if averaging:
            first = jax.tree.map(
                lambda m, g: one.decay * m + one.weight * g, state.first, updates
            )
        moments = Moments(steps, first if averaging else (), second)
        if not adaptive:
            return first, moments
        second = jax.tree.map(
            lambda v, g: one.decay2 * v + one.weight2 * g**2, second, updates
        )
        a = jnp.where(one.corrected, 1 / (1 - one.decay**steps), 1.0)
        c = jnp.where(one.corrected, 1 / (1 - one.decay2**steps), 1.0)

        def step(m, v):
            scaled = a * m / (jnp.sqrt(c * v + one.inner) + one.outer)
            return jnp.where(one.adaptive, scaled, m)

        return jax.tree.map(step, first, second), moments._replace(second=second)

    return optax.GradientTransformation(init, update)


def selected(
    index: Array, options: list[optax.GradientTransformation]
) -> optax.GradientTransformation:
    """One of several transformations, chosen by a traced number.

    Under ``vmap`` all of them are computed and one is kept.

    Args:
      index: ``[]`` int32, which one.
      options: the transformations.

    Returns:
      A transformation whose state holds the states of all options.
    """

    def init(params):
        return tuple(option.init(params) for option in options)

    def update(updates, state, params=None):
        pairs = [
            option.update(updates, part, params)
            for option, part in zip(options, state, strict=True)
        ]
        chosen = jax.tree.map(
            lambda *each: jnp.stack(each)[index], *[pair[0] for pair in pairs]
        )
        return chosen, tuple(pair[1] for pair in pairs)

    return optax.GradientTransformation(init, update)
