"""Ten thousand small networks of different shapes, trained in five ways.

The kind of work of ParallelMLPs (Farias et al., 2023): networks of one hidden layer
with 1 to 100 units, several activations, and many repetitions of each, on made-up
data. `jaxtune.models.MLP` has four activations, so each shape is repeated 25 times.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxtune as jt

ACTIVATIONS = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
}
UNITS, REPEATS, EPOCHS, BATCH, RATE = 100, 25, 12, 32, 0.05


class Work(NamedTuple):
    """The networks and their data.

    Args:
      samples: examples to train on.
      features: of an example.
      units: hidden units of the widest network; all from 1 on are trained.
      repeats: networks of each shape.
    """

    samples: int
    features: int
    units: int = UNITS
    repeats: int = REPEATS

    @property
    def networks(self) -> int:
        """How many networks there are."""
        return self.units * len(ACTIVATIONS) * self.repeats

    @property
    def steps(self) -> int:
        """Steps of an epoch; the last batch is filled up with others of the epoch."""
        return -(-self.samples // BATCH)


class Way(NamedTuple):
    """A way to train them.

    Args:
      run: trains ``count`` of the networks and returns their accuracies.
      count: how many.
    """

    run: Callable[[], np.ndarray]
    count: int


@cache
def data(work: Work) -> tuple:
    """Return training and validation data: two sides of a random plane."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(work.samples + 100, work.features)).astype(np.float32)
    y = (x @ generator.normal(size=work.features) > 0).astype(np.int32)
    return (x[: work.samples], y[: work.samples]), (
        x[work.samples :],
        y[work.samples :],
    )


def in_a_search(work: Work) -> Way:
    """Return one search of all of them: every shape a trial, every repeat a seed."""
    train, valid = data(work)
    task = jt.classification(
        jt.models.MLP(classes=2, max_units=work.units),
        train=train,
        valid=valid,
        batch_size=BATCH,
        optimizer=optax.sgd(RATE),
    )
    space = jt.Space(
        hidden_units=jt.integer(1, work.units),
        activation=jt.choice(list(ACTIVATIONS)),
    )
    arguments = {
        "key": jax.random.key(0),
        "trials": work.networks // work.repeats,
        "seeds": work.repeats,
        "epochs": EPOCHS,
        "sampler": jt.samplers.grid([work.units, len(ACTIVATIONS)]),
        "verbose": 0,
    }
    run = lambda: jt.search(task, space, **arguments).trials["accuracy"]  # noqa: E731
    return Way(run, work.networks)


def start(key: jax.Array, features: int, units: int, active: jax.Array | None = None):
    """Return the parameters of a network, those of units not in use being zero."""
    one, two = jax.random.split(key)
    used = units if active is None else active.sum()
    first = jax.random.normal(one, (features, units)) / features**0.5
    second = jax.random.normal(two, (units, 2)) / used**0.5
    if active is not None:
        first, second = first * active, second * active[:, None]
    return first, jnp.zeros(units), second, jnp.zeros(2)


def step(params, batch, activation, active=1.0):
    """Return the parameters after one step of gradient descent."""

    def loss(params):
        logits = outputs(params, batch[0], activation, active)
        labels = optax.softmax_cross_entropy_with_integer_labels(logits, batch[1])
        return labels.mean()

    slopes = jax.grad(loss)(params)
    return jax.tree.map(lambda p, slope: p - RATE * slope, params, slopes)


def outputs(params, x, activation, active=1.0):
    """Return the logits of a network."""
    first, bias, second, last = params
    return active * activation(x @ first + bias) @ second + last


def by_number(kind: jax.Array) -> Callable:
    """Return the activation of a number that may be traced."""
    return lambda x: jax.lax.switch(kind, list(ACTIVATIONS.values()), x)


def whole(work: Work, units: int) -> Callable:
    """Return a training in one scan: ``(key, activation, active) -> accuracy``."""
    (x, y), (vx, vy) = jax.tree.map(jnp.asarray, data(work))

    def train(key, activation, active=None):
        mask = 1.0 if active is None else active
        first, shuffle = jax.random.split(key)
        params = start(first, work.features, units, active)

        def epoch(params, key):
            order = jax.random.permutation(key, work.samples)
            rows = jnp.resize(order, (work.steps, BATCH))
            one = lambda p, r: (step(p, (x[r], y[r]), activation, mask), None)  # noqa: E731
            return jax.lax.scan(one, params, rows)[0], None

        params, _ = jax.lax.scan(epoch, params, jax.random.split(shuffle, EPOCHS))
        return (outputs(params, vx, activation, mask).argmax(-1) == vy).mean()

    return train


def padded(work: Work) -> Callable:
    """Return a training for every shape: ``(key, units, kind) -> accuracy``."""
    train = whole(work, work.units)

    def one(key, units, kind):
        active = (jnp.arange(work.units) < units).astype(jnp.float32)
        return train(key, by_number(kind), active)

    return one


def shapes(work: Work, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return units and activations of so many networks, drawn evenly from all."""
    every = np.arange(work.networks) // work.repeats
    some = every[np.linspace(0, len(every) - 1, count).astype(int)]
    return 1 + some // len(ACTIVATIONS), some % len(ACTIVATIONS)


def by_vmap(work: Work, count: int, lanes: int) -> Way:
    """Return ``jit(vmap(train))`` over padded networks, so many lanes at a time."""
    program = jax.jit(jax.vmap(padded(work)))
    units, kinds = shapes(work, count)
    keys = jax.random.split(jax.random.key(0), count)

    def run():
        parts = [slice(b, b + lanes) for b in range(0, count, lanes)]
        return np.concatenate([program(keys[p], units[p], kinds[p]) for p in parts])

    return Way(run, count)


def one_by_one(work: Work, count: int) -> Way:
    """Return a loop over padded networks, each training one call of one program."""
    program = jax.jit(padded(work))
    keys = jax.random.split(jax.random.key(0), count)
    units, kinds = shapes(work, count)
    rows = list(zip(keys, units, kinds, strict=True))
    return Way(lambda: np.asarray([program(*row) for row in rows]), count)


def step_by_step(work: Work, count: int) -> Way:
    """Return a loop over padded networks and batches, each step a call."""
    (x, y), (vx, vy) = data(work)
    advance = jax.jit(lambda p, b, kind, active: step(p, b, by_number(kind), active))
    begin = jax.jit(partial(start, features=work.features, units=work.units))
    score = jax.jit(lambda p, kind, active: outputs(p, vx, by_number(kind), active))

    def train(number, units, kind):
        active = (np.arange(work.units) < units).astype(np.float32)
        params = begin(jax.random.key(number), active=active)
        generator = np.random.default_rng(number)
        for _ in range(EPOCHS):
            order = np.resize(
                generator.permutation(work.samples), (-(-work.samples // BATCH), BATCH)
            )
            for rows in order:
                params = advance(params, (x[rows], y[rows]), kind, active)
        return (np.asarray(score(params, kind, active)).argmax(-1) == vy).mean()

    rows = list(enumerate(zip(*shapes(work, count), strict=True)))
    return Way(lambda: np.asarray([train(n, *row) for n, row in rows]), count)


def compiled_each(work: Work, count: int) -> Way:
    """Return a loop over networks, each compiled for its own size."""
    rows = list(zip(*shapes(work, count), strict=True))

    @cache
    def program(units, kind):
        activation = list(ACTIVATIONS.values())[kind]
        return jax.jit(partial(whole(work, int(units)), activation=activation))

    def run():
        keys = map(jax.random.key, range(count))
        return np.asarray(
            [program(*row)(key) for key, row in zip(keys, rows, strict=True)]
        )

    return Way(run, count)
