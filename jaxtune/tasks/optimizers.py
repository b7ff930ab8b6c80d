"""Optimisers that read every number from traced hyperparameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxtune.door import MAPPING, demand, guarded, list_of, real, whole
from jaxtune.space.arrival import Choice
from jaxtune.tasks.averages import TRANSFORMATION, averaged, evaluated_with
from jaxtune.tasks.hparams import Hparams
from jaxtune.tasks.multipliers import Multipliers, scaled
from jaxtune.types import Array, PyTree

MOMENTUM, BETA1, BETA2, RMS_DECAY, EPSILON = 0.9, 0.9, 0.999, 0.9, 1e-8

NOT_NEGATIVE, SHARE = real(0, traced=True), real(0, 1, traced=True)
# the standard names of numbers that an optimiser reads, and what they may be
RANGES = {
    "learning_rate": NOT_NEGATIVE,
    "learning_rate_decay": NOT_NEGATIVE,
    "weight_decay": NOT_NEGATIVE,
    "momentum": SHARE,
    "beta1": SHARE,
    "beta2": SHARE,
    "epsilon": NOT_NEGATIVE,
}

__all__ = [
    "averaged",
    "evaluated_with",
    "inverse_epoch_decay",
    "scaled",
    "selected",
    "standard",
]


def standard(
    hparams: Mapping[str, Any], multipliers: Multipliers | None = None
) -> optax.GradientTransformationExtraArgs:
    """Build the default optimiser from the standard names that are in the space.

    The names are ``learning_rate`` (0.01 if absent), ``learning_rate_decay``,
    ``weight_decay`` (decoupled, as in AdamW) and ``optimizer``, a choice of ``sgd``,
    ``momentum``, ``rmsprop`` and ``adam``. Momentum reads ``momentum`` (0.9), RMSProp
    ``beta2`` (0.9) and ``epsilon`` (1e-8), Adam ``beta1`` (0.9), ``beta2`` (0.999) and
    ``epsilon``. Without an ``optimizer``, Adam is used if the space has ``beta1``,
    ``beta2`` or ``epsilon``, and momentum otherwise.

    >>> import jax.numpy as jnp
    >>> import jaxtune as jt
    >>> optimizer = jt.optimizers.standard({"learning_rate": 0.5, "optimizer": "sgd"})
    >>> params = gradients = jnp.ones(2)
    >>> updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    >>> updates.tolist()
    [-0.5, -0.5]

    Args:
      hparams: name to traced scalar, or to a Python value if static.
      multipliers: of the model, see `scaled`. They do not scale the weight decay.

    Returns:
      An optax transformation. Its ``update`` takes ``epoch=``, the number of epochs
      that the trial has finished.

    Raises:
      ValueError: an ``optimizer`` that is not one of the four.
    """
    demand("standard", "hparams", hparams, MAPPING)
    return _with_rate(scaled(_direction(hparams), multipliers), hparams)


def _number(hparams: Mapping[str, Any], name: str, default: Any) -> Any:
    """Return a hyperparameter; ``ValueError`` for a number that means nothing here."""
    value = hparams.get(name, default)
    # a schedule of optax, which a space may hold as a constant
    left_out = value is None and default is None
    if not left_out and not inspect.isroutine(value):
        demand("optimizer", name, value, RANGES[name])
    return value


def _with_rate(
    direction: optax.GradientTransformation,
    hparams: Mapping[str, Any],
    weight_decay: float | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Add what all optimisers read: weight decay, the learning rate and its decay."""
    parts = [direction]
    # after the direction and before the rate: decoupled decay, as in AdamW
    weight_decay = _number(hparams, "weight_decay", weight_decay)
    if weight_decay is not None:
        parts.append(optax.add_decayed_weights(weight_decay))
    rate = _number(hparams, "learning_rate", 0.01)
    parts.append(optax.scale_by_learning_rate(rate))
    slowdown = _number(hparams, "learning_rate_decay", None)
    if slowdown is not None:
        parts.append(inverse_epoch_decay(slowdown))
    return optax.chain(*parts)


@guarded(rate=NOT_NEGATIVE)
def inverse_epoch_decay(rate: Array | float) -> optax.GradientTransformationExtraArgs:
    """Divide updates by ``1 + rate * epoch``, a learning-rate decay.

    >>> import jax.numpy as jnp
    >>> import jaxtune as jt
    >>> decay = jt.optimizers.inverse_epoch_decay(1.0)
    >>> gradients = jnp.ones(2)
    >>> state = decay.init(gradients)
    >>> decay.update(gradients, state, epoch=jnp.int32(3))[0].tolist()
    [0.25, 0.25]

    Args:
      rate: decay rate, 0 for none.

    Returns:
      A transformation whose ``update`` needs ``epoch=``, counted from 0.
    """

    def update(
        updates: PyTree,
        state: PyTree,
        params: PyTree = None,
        *,
        epoch: Array,
        **extra: Any,
    ) -> tuple[PyTree, PyTree]:
        del params, extra
        scale = 1 / (1 + rate * epoch)
        # in the updates' own dtype, which is not float32 in every user's model
        return jax.tree.map(lambda u: u * scale.astype(u.dtype), updates), state

    return optax.GradientTransformationExtraArgs(
        lambda params: optax.EmptyState(), update
    )


def _momentum(hparams: Mapping[str, Any]) -> optax.GradientTransformation:
    return optax.trace(_number(hparams, "momentum", MOMENTUM))


def _rmsprop(hparams: Mapping[str, Any]) -> optax.GradientTransformation:
    decay = _number(hparams, "beta2", RMS_DECAY)
    return optax.scale_by_rms(decay, _number(hparams, "epsilon", EPSILON))


def _adam(hparams: Mapping[str, Any]) -> optax.GradientTransformation:
    return optax.scale_by_adam(
        _number(hparams, "beta1", BETA1),
        _number(hparams, "beta2", BETA2),
        _number(hparams, "epsilon", EPSILON),
    )


# optax's own, if the optimiser is known when the program is compiled
DIRECTIONS = {
    "sgd": lambda hparams: optax.identity(),
    "momentum": _momentum,
    "rmsprop": _rmsprop,
    "adam": _adam,
}


def _betas(
    make: Callable[..., optax.GradientTransformation], beta2: float = BETA2
) -> Callable[[Mapping[str, Any]], optax.GradientTransformation]:
    """Return a direction that reads ``beta1`` and ``beta2`` by optax's names."""
    return lambda hparams: make(
        b1=_number(hparams, "beta1", BETA1), b2=_number(hparams, "beta2", beta2)
    )


def _nesterov(hparams: Mapping[str, Any]) -> optax.GradientTransformation:
    return optax.trace(_number(hparams, "momentum", MOMENTUM), nesterov=True)


# further ones, for a task's ``optimizer="lion"``, with optax's defaults; a weight decay
# if theirs is not zero
NAMED: dict[str, tuple[Callable[..., optax.GradientTransformation], float | None]] = {
    **{name: (direction, None) for name, direction in DIRECTIONS.items()},
    "nesterov": (_nesterov, None),
    "adagrad": (lambda hparams: optax.scale_by_rss(), None),
    "adamw": (_adam, 1e-4),
    "adamax": (_betas(optax.scale_by_adamax), None),
    "nadam": (_betas(partial(optax.scale_by_adam, nesterov=True)), None),
    "adabelief": (_betas(optax.scale_by_belief), None),
    "radam": (_betas(optax.scale_by_radam), None),
    "yogi": (_betas(optax.scale_by_yogi), None),
    "lion": (_betas(optax.scale_by_lion, beta2=0.99), 1e-3),
}
NAMES = tuple(NAMED)


def reads_standard_names(optimizer: Any) -> bool:
    """Return whether a task's optimiser reads the standard names as `standard` does."""
    return getattr(optimizer, "__module__", None) == __name__


@cache  # functions are compared by identity: one for each name
def named(name: str) -> Callable[..., optax.GradientTransformation]:
    """Return the function that makes an optimiser by its name, as `standard` does.

    Args:
      name: one of `NAMES`. It reads ``learning_rate``, ``weight_decay`` and
        ``learning_rate_decay`` from the space, and the numbers of its own.

    Raises:
      ValueError: an unknown name.
    """
    if name not in NAMED:
        raise ValueError(
            f"optimizer: got {name!r}. Use one of {', '.join(NAMES)}, or a function of "
            "the hyperparameters that returns an optax transformation."
        )
    direction, weight_decay = NAMED[name]

    def optimizer(
        hparams: Mapping[str, Any], multipliers: Multipliers | None = None
    ) -> optax.GradientTransformation:
        own = scaled(direction(hparams), multipliers)
        return _with_rate(own, hparams, weight_decay)

    optimizer.__qualname__ = f"named({name!r})"  # what a run records of it
    return optimizer


def _direction(hparams: Mapping[str, Any]) -> optax.GradientTransformation:
    adams = ("beta1", "beta2", "epsilon")
    usual = "adam" if any(name in hparams for name in adams) else "momentum"
    chosen = hparams.get("optimizer", usual)
    if isinstance(chosen, str):
        return DIRECTIONS[_known(chosen)](hparams)
    if isinstance(chosen, Choice):
        members = [MEMBERS[_known(name)](hparams) for name in chosen.values]
        return _one_of(chosen.index, members)
    # programs of version 0.1.0 got the place in the list
    if not isinstance(hparams, Hparams) or "optimizer" not in hparams.choices:
        raise ValueError(
            "optimizer: got a number without its list of names. Use "
            "choice(['sgd', 'adam'], ...) in the space."
        )
    names = [_known(name) for name in hparams.choices["optimizer"]]
    return _one_of(chosen, [MEMBERS[name](hparams) for name in names])


def _known(name: Any) -> str:
    if not isinstance(name, str) or name not in DIRECTIONS:
        raise ValueError(
            f"optimizer: got {name!r}. Use {', '.join(DIRECTIONS)}, or give the task "
            "an optimizer function of your own."
        )
    return str(name)


class Member(NamedTuple):
    """One optimiser as the numbers of ``a * m / (sqrt(c * v + inner) + outer)``.

    ``m = decay * m + weight * g`` and ``v = decay2 * v + weight2 * g ** 2`` are moving
    averages of the gradient ``g`` and of its square; ``a`` and ``c`` correct their bias
    in the first steps if ``corrected``. If not ``adaptive``, the step is ``m`` alone.
    If not ``averaging``, ``m`` is ``g``.
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
    """The state of all members; an empty tuple for a moment that none of them has."""

    steps: Array  # [] int32
    first: Any
    second: Any


def _adam_member(hparams: Mapping[str, Any]) -> Member:
    decay, decay2 = _number(hparams, "beta1", BETA1), _number(hparams, "beta2", BETA2)
    return Member(
        decay=decay,
        weight=1 - decay,
        decay2=decay2,
        weight2=1 - decay2,
        outer=_number(hparams, "epsilon", EPSILON),
        averaging=True,
        adaptive=True,
        corrected=True,
    )


def _rmsprop_member(hparams: Mapping[str, Any]) -> Member:
    decay2, inner = (
        _number(hparams, "beta2", RMS_DECAY),
        _number(hparams, "epsilon", EPSILON),
    )
    # optax adds RMSProp's epsilon inside the square root, and Adam's outside
    return Member(decay2=decay2, weight2=1 - decay2, inner=inner, adaptive=True)


# the same four as numbers of one formula, if the optimiser is a traced choice
MEMBERS = {
    "sgd": lambda hparams: Member(),
    "momentum": lambda hparams: Member(
        decay=_number(hparams, "momentum", MOMENTUM), averaging=True
    ),
    "rmsprop": _rmsprop_member,
    "adam": _adam_member,
}


def _one_of(index: Array, members: list[Member]) -> optax.GradientTransformation:
    """Combine several members into one transformation, chosen by a traced number.

    The members differ in numbers only. So nothing is computed for the ones not chosen,
    and the state is that of the largest member.
    """
    adaptive = any(member.adaptive for member in members)
    averaging = any(member.averaging for member in members)
    columns = zip(*members, strict=True)
    chosen: Any = [jnp.stack([jnp.asarray(v) for v in c])[index] for c in columns]
    # Python numbers become float64 under x64, which a state of float32 cannot take
    narrow: Any = [_narrow(v) for v in chosen]
    one = Member(*narrow)

    def init(params: PyTree) -> Moments:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return Moments(
            jnp.int32(0), zeros if averaging else (), zeros if adaptive else ()
        )

    def update(
        updates: PyTree, state: Moments, params: PyTree = None
    ) -> tuple[PyTree, Moments]:
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

        def step(m: Array, v: Array) -> Array:
            scaled = a * m / (jnp.sqrt(c * v + one.inner) + one.outer)
            return jnp.where(one.adaptive, scaled, m)

        return jax.tree.map(step, first, second), moments._replace(second=second)

    return optax.GradientTransformation(init, update)


def _narrow(number: Array) -> Array:
    return number.astype(jnp.float32) if number.dtype == jnp.float64 else number


@guarded(options=list_of(TRANSFORMATION, 1))
def selected(
    index: Array, options: list[optax.GradientTransformation]
) -> optax.GradientTransformation:
    """Choose one of several transformations by a traced number.

    All of them are computed and one is kept.

    >>> import jax.numpy as jnp
    >>> import jaxtune as jt
    >>> import optax
    >>> either = jt.optimizers.selected(jnp.int32(1), [optax.sgd(1.0), optax.sgd(0.5)])
    >>> gradients = jnp.ones(2)
    >>> either.update(gradients, either.init(gradients))[0].tolist()
    [-0.5, -0.5]

    Args:
      index: ``[]`` int32, index of the one that is used.
      options: the transformations.

    Returns:
      A transformation whose state holds the states of all options.
    """
    if not isinstance(index, jax.core.Tracer):
        demand("selected", "index", index, whole(0, len(options) - 1))

    def init(params: PyTree) -> tuple[PyTree, ...]:
        return tuple(option.init(params) for option in options)

    def update(
        updates: PyTree, state: tuple[PyTree, ...], params: PyTree = None
    ) -> tuple[PyTree, tuple[PyTree, ...]]:
        pairs = [
            option.update(updates, part, params)
            for option, part in zip(options, state, strict=True)
        ]
        chosen = jax.tree.map(
            lambda *each: jnp.stack(each)[index], *[pair[0] for pair in pairs]
        )
        return chosen, tuple(pair[1] for pair in pairs)

    return optax.GradientTransformation(init, update)
