"""Equinox modules, as its documentation makes, trains and evaluates them."""

from __future__ import annotations

import equinox as eqx
import jax
import optax

import jaxtune as jt
from user_code.row import SPLITS, TRAIN, VALID, Row, classified, cross_entropy, train


def rate(**more):
    return jt.Space(learning_rate=jt.log_uniform(1e-2, 0.5), **more)


def by_hand(module, h, keys, memory=None, keyed=False):
    """Train a module one example at a time under ``vmap``, and judge it without noise.

    ``memory`` is its ``eqx.nn.State``, and ``keyed`` whether its call takes keys.
    """
    params, static = eqx.partition(module, eqx.is_inexact_array)

    def outputs(module, memory, x, key=None):
        drawn = None if key is None or not keyed else jax.random.split(key, len(x))

        def one(x, key):
            more = {"key": key} if keyed else {}
            return (module(x, **more), None) if memory is None else module(x, memory)

        over = {"axis_name": "batch", "out_axes": (0, None)}
        return jax.vmap(one, in_axes=(0, None if drawn is None else 0), **over)(
            x, drawn
        )

    def loss(params, memory, batch, key):
        out, memory = outputs(eqx.combine(params, static), memory, batch[0], key)
        return cross_entropy(out, batch[1]), memory

    tx = optax.sgd(h["learning_rate"], momentum=0.9)
    params, memory = train(params, loss, tx, TRAIN, keys, state=memory)
    judged = eqx.nn.inference_mode(eqx.combine(params, static))
    return classified(outputs(judged, memory, VALID[0])[0], VALID[1])


def mlp(key, units=8):
    return eqx.nn.MLP(4, 3, units, 1, key=key)


class Noisy(eqx.Module):
    """Dropout, whose keys may be left out where there is no noise."""

    first: eqx.nn.Linear
    dropout: eqx.nn.Dropout
    last: eqx.nn.Linear
    offset: jax.Array  # whole numbers, which no gradient reaches

    def __init__(self, key, rate=0.5):
        one, two = jax.random.split(key)
        self.first = eqx.nn.Linear(4, 8, key=one)
        self.dropout = eqx.nn.Dropout(rate)
        self.last = eqx.nn.Linear(8, 3, key=two)
        self.offset = jax.random.randint(key, (3,), 0, 3)

    def __call__(self, x, key=None):
        x = self.dropout(jax.nn.relu(self.first(x)), key=key)
        return self.last(x) + self.offset


class Scaled(eqx.Module):
    """A number that is given and that a gradient would reach."""

    layer: eqx.nn.Linear
    temperature: float

    def __init__(self, key, temperature):
        self.layer, self.temperature = eqx.nn.Linear(4, 3, key=key), temperature

    def __call__(self, x):
        return self.layer(x) / self.temperature


class Normed(eqx.Module):
    """Batch norm, whose statistics are a state beside the module."""

    first: eqx.nn.Linear
    norm: eqx.nn.BatchNorm
    last: eqx.nn.Linear

    def __init__(self, key):
        one, two = jax.random.split(key)
        self.first = eqx.nn.Linear(4, 8, key=one)
        self.norm = eqx.nn.BatchNorm(8, axis_name="batch", mode="batch")
        self.last = eqx.nn.Linear(8, 3, key=two)

    def __call__(self, x, state):
        x, state = self.norm(self.first(x), state)
        return self.last(jax.nn.relu(x)), state


def normed(key):
    return eqx.nn.make_with_state(Normed)(key)


def row(name, model, plain, space=rate):
    """``plain`` trains by hand what ``model`` is."""
    return Row(name, lambda: jt.classification(model, **SPLITS), space, plain)


ROWS = [
    row(
        "Equinox: lambda key: Net(key=key)",
        lambda key: mlp(key),
        lambda h, keys: by_hand(mlp(keys.init), h, keys),
    ),
    row(
        "Equinox: a factory of key and units",
        mlp,
        lambda h, keys: by_hand(mlp(keys.init, h["units"]), h, keys),
        lambda: rate(units=jt.ordinal([4, 6], static=True)),
    ),
    row(
        "Equinox: a class with dropout",
        Noisy,
        lambda h, keys: by_hand(Noisy(keys.init), h, keys, keyed=True),
    ),
    row(
        "Equinox: a traced rate of dropout",
        Noisy,
        lambda h, keys: by_hand(Noisy(keys.init, h["rate"]), h, keys, keyed=True),
        lambda: rate(rate=jt.uniform(0.1, 0.6)),
    ),
    row(
        "Equinox: a traced number that is not trained",
        Scaled,
        lambda h, keys: by_hand(Scaled(keys.init, h["temperature"]), h, keys),
        lambda: rate(temperature=jt.uniform(0.5, 2.0)),
    ),
    row(
        "Equinox: batch norm, with a state",
        normed,
        lambda h, keys: by_hand(*_with_state(normed(keys.init), h, keys)),
    ),
]


def _with_state(made, h, keys):
    module, memory = made
    return module, h, keys, memory
