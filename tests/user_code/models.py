"""Models: Linen modules, NNX factories and modules, plain functions."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import jaxtune as jt
from jaxtune.random import DROPOUT, OTHER
from user_code.row import SPLITS, TRAIN, VALID, Row, classified, cross_entropy, train


def rate(**more):
    return jt.Space(learning_rate=jt.log_uniform(1e-2, 0.5), **more)


def by_hand(
    module,
    h,
    keys,
    on=None,
    off=None,
    other=False,
    trained=None,
    data=(TRAIN, VALID),
):
    """Train a Linen module as Flax's documentation does.

    ``on`` and ``off`` are the keywords of its modes; ``trained`` is the module of the
    training where it is another one; ``other`` is whether it draws from other streams.
    """
    on, off = {} if on is None else on, {} if off is None else off
    (inputs, labels), (unseen, answers) = data
    first = jax.tree.map(lambda a: a[:1], inputs)
    rest = {"params": jax.random.fold_in(jax.random.key(0), OTHER)} if other else {}
    streams = {"params": keys.init, "dropout": jax.random.fold_in(keys.init, DROPOUT)}
    made = module.init(streams, first, **off)
    state = {name: part for name, part in made.items() if name != "params"}

    def loss(params, state, batch, key):
        rngs = {"dropout": key}
        if other:
            rngs["params"] = jax.random.fold_in(key, OTHER)
        out, state = (trained or module).apply(
            {"params": params, **state}, batch[0], rngs=rngs, mutable=list(state), **on
        )
        return cross_entropy(out, batch[1]), state

    tx = optax.sgd(h["learning_rate"], momentum=0.9)
    params, state = train(made["params"], loss, tx, (inputs, labels), keys, state=state)
    out = module.apply({"params": params, **state}, unseen, rngs=rest, **off)
    return classified(out, answers)


def linen(name, module, space=rate, on=None, off=None, plain=None, **more):
    """A Linen module; ``plain`` makes it with the values of the best trial."""
    plain = plain or (lambda h: module)
    return Row(
        name,
        lambda: jt.classification(module, **SPLITS),
        space,
        lambda h, keys: by_hand(plain(h), h, keys, on, off, **more),
    )


# --- modes


class Train(nn.Module):
    """The flag of Flax's own documentation, and the layers that need one."""

    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.Dense(8)(x)
        x = nn.BatchNorm(use_running_average=not train)(x)
        x = nn.Dropout(0.5, deterministic=not train)(nn.relu(x))
        return nn.Dense(3)(x)


class Training(nn.Module):
    @nn.compact
    def __call__(self, x, training: bool = False):
        return Train()(x, train=training)


class IsTraining(nn.Module):
    @nn.compact
    def __call__(self, x, *, is_training=False):
        return Train()(x, train=is_training)


class Average(nn.Module):
    @nn.compact
    def __call__(self, x, use_running_average: bool = True):
        return Train()(x, train=not use_running_average)


class Deterministic(nn.Module):
    @nn.compact
    def __call__(self, x, deterministic: bool = True):
        return Train()(x, train=not deterministic)


class Field(nn.Module):
    """The flag as a field, as in older code."""

    train: bool = False

    @nn.compact
    def __call__(self, x):
        return Train()(x, train=self.train)


# --- fields of a module


class Sized(nn.Module):
    units: int = 4
    activation: str = "relu"

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(getattr(nn, self.activation)(nn.Dense(self.units)(x)))


class Rated(nn.Module):
    rate: float = 0.0

    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.relu(nn.Dense(8)(x))
        x = nn.Dropout(self.rate, deterministic=not train)(x)
        return nn.Dense(3)(x)


class Asked(nn.Module):
    """The rate as a keyword of the call."""

    @nn.compact
    def __call__(self, x, dropout, train: bool):
        x = nn.relu(nn.Dense(8)(x))
        x = nn.Dropout(dropout, deterministic=not train)(x)
        return nn.Dense(3)(x)


class Noisy(nn.Module):
    """A stream of another name."""

    @nn.compact
    def __call__(self, x, train: bool):
        if train:
            x = x + 0.3 * jax.random.normal(self.make_rng("noise"), x.shape)
        return nn.Dense(3)(nn.relu(nn.Dense(8)(x)))


class Two(nn.Module):
    @nn.compact
    def __call__(self, left, right):
        return nn.Dense(3)(nn.relu(nn.Dense(8)(left) + nn.Dense(8)(right)))


LINEN = [
    linen("Linen: train=", Train(), on={"train": True}, off={"train": False}),
    linen("Linen: training=", Training(), on={"training": True}),
    linen("Linen: is_training=", IsTraining(), on={"is_training": True}),
    linen("Linen: use_running_average=", Average(), on={"use_running_average": False}),
    linen("Linen: deterministic=", Deterministic(), on={"deterministic": False}),
    linen("Linen: the flag is a field", Field(), trained=Field(train=True)),
    linen("Linen: nn.Sequential", nn.Sequential([nn.Dense(8), nn.tanh, nn.Dense(3)])),
    linen(
        "Linen: a stream of another name",
        Noisy(),
        on={"train": True},
        off={"train": False},
        other=True,
    ),
    linen(
        "Linen: a static field",
        Sized(),
        lambda: rate(units=jt.integer(3, 5, static=True)),
        plain=lambda h: Sized(h["units"]),
    ),
    linen(
        "Linen: a fixed field",
        Sized(),
        lambda: rate(units=jt.fixed(6)),
        plain=lambda h: Sized(6),
    ),
    linen(
        "Linen: a field kept at its default",
        Sized(),
        lambda: rate(units=jt.power_of_two(4, 16, default=8)).keep("learning_rate"),
        plain=lambda h: Sized(8),
    ),
    linen(
        "Linen: a static choice as a field",
        Sized(),
        lambda: rate(activation=jt.choice(["relu", "tanh"], static=True)),
        plain=lambda h: Sized(activation=h["activation"]),
    ),
    linen(
        "Linen: a traced rate of nn.Dropout as a field",
        Rated(),
        lambda: rate(rate=jt.uniform(0.1, 0.6)),
        plain=lambda h: Rated(h["rate"]),
        on={"train": True},
        off={"train": False},
    ),
    Row(
        "Linen: a class instead of an instance",
        lambda: jt.classification(Sized, **SPLITS),
        rate,
        lambda h, keys: by_hand(Sized(), h, keys),
    ),
    Row(
        "Linen: a traced rate of nn.Dropout in the call",
        lambda: jt.classification(Asked(), **SPLITS),
        lambda: rate(dropout=jt.uniform(0.0, 0.6)),
        lambda h, keys: by_hand(
            Asked(),
            h,
            keys,
            {"dropout": h["dropout"], "train": True},
            {"dropout": h["dropout"], "train": False},
        ),
    ),
]

# --- NNX


class Net(nnx.Module):
    """A module whose layers hold their streams."""

    def __init__(self, units=8, rate=0.5, *, rngs: nnx.Rngs):
        self.first = nnx.Linear(4, units, rngs=rngs)
        self.norm = nnx.BatchNorm(units, rngs=rngs)
        self.dropout = nnx.Dropout(rate, rngs=rngs)
        self.last = nnx.Linear(units, 3, rngs=rngs)

    def __call__(self, x):
        return self.last(self.dropout(nnx.relu(self.norm(self.first(x)))))


class Passed(nnx.Module):
    """A module that gets its streams in the call, as in Flax's example of digits."""

    def __init__(self, rngs: nnx.Rngs):
        self.first = nnx.Linear(4, 8, rngs=rngs)
        self.dropout = nnx.Dropout(0.5)
        self.last = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x, rngs: nnx.Rngs | None = None):
        return self.last(self.dropout(nnx.relu(self.first(x)), rngs=rngs))


class Flagged(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.first = nnx.Linear(4, 8, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.last = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x, *, training: bool = False):
        x = self.dropout(nnx.relu(self.first(x)), deterministic=not training)
        return self.last(x)


class Streams(nnx.Module):
    """Noise from the default stream, and from one of another name."""

    def __init__(self, rngs: nnx.Rngs):
        self.first = nnx.Linear(4, 8, rngs=rngs)
        self.last = nnx.Linear(8, 3, rngs=rngs)
        self.rngs = rngs
        self.deterministic = False

    def __call__(self, x):
        if not self.deterministic:
            x = x + 0.1 * jax.random.normal(self.rngs(), x.shape)
            x = x + 0.1 * jax.random.normal(self.rngs.noise(), x.shape)
        return self.last(nnx.relu(self.first(x)))


class Recurrent(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.rnn = nnx.RNN(nnx.GRUCell(1, 6, rngs=rngs), rngs=rngs)
        self.last = nnx.Linear(6, 3, rngs=rngs)

    def __call__(self, x):
        return self.last(self.rnn(x[..., None])[:, -1])


def nnx_by_hand(make, h, keys, on=None, off=None, passes=False):
    """Train an NNX module in the functional way of its documentation."""
    on, off = on or {}, off or {}
    fold = jax.random.fold_in
    module = make(
        nnx.Rngs(
            fold(keys.init, OTHER), params=keys.init, dropout=fold(keys.init, DROPOUT)
        )
    )
    graph, params, state = nnx.split(module, nnx.Param, ...)

    def loss(params, state, batch, key):
        model = nnx.merge(graph, params, state, copy=True)
        model.train()
        more = {"rngs": nnx.Rngs(fold(key, OTHER), dropout=key)} if passes else {}
        out = model(batch[0], **on, **more)
        return cross_entropy(out, batch[1]), nnx.state(model, nnx.Not(nnx.Param))

    tx = optax.sgd(h["learning_rate"], momentum=0.9)
    params, state = train(params, loss, tx, TRAIN, keys, state=state)
    model = nnx.merge(graph, params, state)
    model.eval()
    return classified(model(VALID[0], **off), VALID[1])


def factory(name, given, space=rate, plain: Any = None, **more):
    """An NNX factory; ``plain`` makes it with the values of the best trial."""
    plain = plain or (lambda h: given)
    return Row(
        name,
        lambda: jt.classification(given, **SPLITS),
        space,
        lambda h, keys: nnx_by_hand(plain(h), h, keys, **more),
    )


NNX = [
    factory("NNX: a function of rngs", lambda rngs: Net(rngs=rngs)),
    factory("NNX: a class with *, rngs", Net, plain=lambda h: lambda r: Net(rngs=r)),
    factory("NNX: a class of rngs", Flagged, on={"training": True}),
    factory("NNX: rngs in the call", Passed, passes=True),
    factory("NNX: streams of any name", Streams),
    factory("NNX: a recurrent layer", Recurrent),
    factory(
        "NNX: static and fixed keywords",
        Net,
        lambda: rate(units=jt.integer(4, 6, static=True), rate=jt.fixed(0.25)),
        lambda h: lambda rngs: Net(h["units"], 0.25, rngs=rngs),
    ),
    factory(
        "NNX: a traced rate of nnx.Dropout",
        lambda rngs, rate: Net(8, rate, rngs=rngs),
        lambda: rate(rate=jt.uniform(0.1, 0.6)),
        lambda h: lambda rngs: Net(8, h["rate"], rngs=rngs),
    ),
]

# --- plain functions


def init(key, x):
    first, last = jax.random.split(key)
    return {
        "first": 0.5 * jax.random.normal(first, (x.shape[-1], 8)),
        "last": 0.5 * jax.random.normal(last, (8, 3)),
    }


def apply(params, x):
    return jnp.tanh(x @ params["first"]) @ params["last"]


def init_alone(key):
    return init(key, np.zeros((1, 4)))


def keyed(params, x, key=None, is_training=False):
    if is_training:
        x = x + 0.2 * jax.random.normal(key, x.shape)
    return apply(params, x)


def haiku(params, rng, x):
    return apply(params, x) if rng is None else keyed(params, x, rng, True)


def scaled(params, x, temperature):
    return apply(params, x) / temperature


def functions_by_hand(h, keys, on=lambda key: {}, call=apply):
    def loss(params, state, batch, key):
        return cross_entropy(call(params, batch[0], **on(key)), batch[1]), state

    tx = optax.sgd(h["learning_rate"], momentum=0.9)
    params, _ = train(init(keys.init, TRAIN[0]), loss, tx, TRAIN, keys)
    off = {} if call is keyed else on(None)
    return classified(call(params, VALID[0], **off), VALID[1])


def noisy(key):
    return {"key": key, "is_training": True}


FUNCTIONS = [
    Row(
        name,
        lambda pair=pair: jt.classification(pair, **SPLITS),
        space,
        plain,
    )
    for name, pair, space, plain in [
        ("functions: (init, apply)", (init, apply), rate, functions_by_hand),
        (
            "functions: init of the key alone",
            (init_alone, apply),
            rate,
            functions_by_hand,
        ),
        ("functions: jitted", (jax.jit(init), jax.jit(apply)), rate, functions_by_hand),
        (
            "functions: key and is_training",
            (init, keyed),
            rate,
            lambda h, keys: functions_by_hand(h, keys, noisy, keyed),
        ),
        (
            "functions: apply(params, rng, x), as Haiku has it",
            (init, haiku),
            rate,
            lambda h, keys: functions_by_hand(h, keys, noisy, keyed),
        ),
        (
            "functions: a hyperparameter by name",
            (init, scaled),
            lambda: rate(temperature=jt.uniform(0.5, 2.0)),
            lambda h, keys: functions_by_hand(
                h, keys, lambda key: {"temperature": h["temperature"]}, scaled
            ),
        ),
    ]
]


# --- a task of its own functions, all of them jitted


@jax.jit
def weights(key, h):
    return h["scale"] * jax.random.normal(key, (4, 3))


@jax.jit
def penalised(params, batch, key, h):
    x, y = batch["x"], batch["y"]
    return cross_entropy(x @ params, y) + h["penalty"] * (params**2).sum()


@jax.jit
def measured(params, split, h):
    return {"loss": cross_entropy(split["x"] @ params, split["y"])}


def jitted_task():
    data = [{"x": x, "y": y} for x, y in (TRAIN, VALID)]
    return jt.Task(
        init=weights,
        loss=penalised,
        evaluate=measured,
        optimizer=lambda h: optax.sgd(h["learning_rate"]),
        train=data[0],
        valid=data[1],
        batch_size=SPLITS["batch_size"],
        shuffle=False,
        metrics=(("loss", "min"),),
    )


def jitted_task_by_hand(h, keys):
    def loss(params, state, batch, key):
        return penalised(params, batch, key, numbers), state

    numbers = {n: value for n, value in h.items() if n != "kind"}
    data = dict(zip("xy", TRAIN, strict=True))
    tx = optax.sgd(h["learning_rate"])
    params, _ = train(weights(keys.init, numbers), loss, tx, data, keys)
    return {"loss": cross_entropy(VALID[0] @ params, VALID[1])}


TASKS = [
    Row(
        "a task of jitted functions",
        jitted_task,
        lambda: rate(
            penalty=jt.log_uniform(1e-3, 0.1),
            scale=jt.fixed(0.5),
            kind=jt.fixed("not an array"),
        ),
        jitted_task_by_hand,
    )
]

ROWS = [*LINEN, *NNX, *FUNCTIONS, *TASKS]
