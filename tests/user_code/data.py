"""Data, labels, losses and metrics."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import scipy.sparse

import jaxtune as jt
from jaxtune.random import AUGMENT
from user_code.row import TRAIN, VALID, Row, classified, cross_entropy, train

X, Y = TRAIN
VX, VY = VALID
REST: dict[str, Any] = {"batch_size": 8, "shuffle": False}
NAMES = np.asarray(["cat", "dog", "emu"])
TWO, VTWO = Y > 0, VY > 0  # two classes of unequal size
WEIGHTS = np.linspace(0.2, 2.0, len(Y)).astype(np.float32)
VWEIGHTS = np.linspace(2.0, 0.1, len(VY)).astype(np.float32)


def init(key, x, outputs=3):
    """A linear model, the smallest network."""
    return 0.1 * jax.random.normal(key, (x.shape[-1], outputs))


def apply(w, x):
    return x @ w


LINEAR = (init, apply)
ONE = (partial(init, outputs=1), apply)
FLAT = (partial(init, outputs=1), lambda w, x: (x @ w)[:, 0])
PAIR = (partial(init, outputs=2), apply)


def rate():
    return jt.Space(learning_rate=jt.log_uniform(1e-2, 0.5))


def task(model=LINEAR, x=X, y=Y, vx=VX, vy=VY, make=jt.classification, **own):
    return lambda: make(model, train=(x, y), valid=(vx, vy), **{**REST, **own})


def fitted(h, keys, loss, data=TRAIN, outputs=3, example=None):
    """Weights after a plain training; ``loss`` is ``(w, batch, key) -> scalar``."""
    start = init(keys.init, X[:1] if example is None else example, outputs)
    tx = optax.sgd(h["learning_rate"], momentum=0.9)
    step = lambda w, state, batch, key: (loss(w, batch, key), state)  # noqa: E731
    return train(start, step, tx, data, keys)[0]


def plain(h, keys):
    """The training that many ways of writing stand for."""
    w = fitted(h, keys, lambda w, b, key: cross_entropy(b[0] @ w, b[1]))
    return classified(VX @ w, VY)


def rest_by_hand(h, keys):
    """The training on rows that are no whole number of batches."""

    def loss(w, b, key):
        return cross_entropy(b[0] @ w, b[1])

    return classified(VX @ fitted(h, keys, loss, (X[:29], Y[:29])), VY)


def rest_of_sizes(h, keys):
    """The same, with batches of a size of the configuration."""
    tx = optax.sgd(h["learning_rate"], momentum=0.9)
    step = lambda w, state, b, key: (cross_entropy(b[0] @ w, b[1]), state)  # noqa: E731
    data = (X[:29], Y[:29])
    w, _ = train(init(keys.init, X[:1]), step, tx, data, keys, batch=h["batch_size"])
    return classified(VX @ w, VY)


def of_two(h, keys):
    """One logit, by its formula and not by optax."""

    def loss(w, b, key):
        z = (b[0] @ w)[:, 0]
        return jnp.mean(jnp.log1p(jnp.exp(z)) - jnp.where(b[1], z, 0.0))

    w = fitted(h, keys, loss, (X, TWO), outputs=1)
    right = (np.asarray(VX @ w)[:, 0] > 0) == VTWO
    return {"accuracy": right.mean(), "loss": loss(w, (VX, VTWO), None)}


def weighted(h, keys, of=lambda b: b[2], data=(X, Y, WEIGHTS), scored=None):
    """Mean of weight times loss in training; weighted means in validation."""

    def loss(w, b, key):
        each = optax.softmax_cross_entropy_with_integer_labels(b[0] @ w, b[1])
        return jnp.mean(of(b) * each)

    w = fitted(h, keys, loss, data)
    each = -np.asarray(jax.nn.log_softmax(VX @ w))[np.arange(len(VY)), VY]
    right = np.argmax(np.asarray(VX @ w), 1) == VY
    return {
        "loss": np.average(each, weights=scored),
        "accuracy": np.average(right, weights=scored),
    }


def macro_f1(outputs, y):
    guess = jnp.argmax(outputs, 1)
    each = [
        2 * jnp.sum((guess == c) & (y == c)) / (jnp.sum(guess == c) + jnp.sum(y == c))
        for c in range(3)
    ]
    return jnp.mean(jnp.stack(each))


def auc(outputs, y):
    """The share of pairs in the right order."""
    scores = outputs.reshape(len(y))
    pairs = scores[:, None] - scores[None, :]
    counted = (y[:, None] == 1) & (y[None, :] == 0)
    return jnp.sum(counted * (jnp.sign(pairs) + 1) / 2) / jnp.sum(counted)


def f1_by_hand(h, keys):
    from sklearn.metrics import f1_score

    w = fitted(h, keys, lambda w, b, key: cross_entropy(b[0] @ w, b[1]))
    guess = np.argmax(np.asarray(VX @ w), 1)
    return {"f1": f1_score(VY, guess, average="macro"), **classified(VX @ w, VY)}


def auc_by_hand(h, keys):
    from sklearn.metrics import roc_auc_score

    def loss(w, b, key):
        return optax.sigmoid_binary_cross_entropy((b[0] @ w)[:, 0], b[1]).mean()

    w = fitted(h, keys, loss, (X, TWO), outputs=1)
    return {"auc": roc_auc_score(VTWO, np.asarray(VX @ w)[:, 0])}


def huber(outputs, y):
    return optax.huber_loss(outputs[:, 0], y)


def regressed_by_hand(h, keys, loss):
    w = fitted(h, keys, lambda w, b, key: loss(b[0] @ w, b[1]).mean(), outputs=1)
    error = np.asarray(VX @ w)[:, 0] - VY
    found = {"mse": np.mean(error**2), "mae": np.mean(np.abs(error))}
    if loss is huber:
        size = np.abs(error)
        found["loss"] = np.mean(np.where(size < 1, error**2 / 2, size - 0.5))
        found["r2"] = 1 - np.sum(error**2) / np.sum((VY - VY.mean()) ** 2)
    return found


def r2(outputs, y):
    error = outputs[:, 0] - y
    return 1 - jnp.sum(error**2) / jnp.sum((y - y.mean()) ** 2)


def noisy(key, x, hparams):
    return x + hparams["noise"] * jax.random.normal(key, x.shape)


def noisy_by_hand(h, keys):
    def loss(w, b, key):
        key = jax.random.fold_in(key, AUGMENT)
        x = b[0] + h["noise"] * jax.random.normal(key, b[0].shape)
        return cross_entropy(x @ w, b[1])

    return classified(VX @ fitted(h, keys, loss), VY)


IMAGES = np.clip(X * 40 + 80, 0, 255).astype(np.uint8).reshape(-1, 2, 2)
VIMAGES = np.clip(VX * 40 + 80, 0, 255).astype(np.uint8).reshape(-1, 2, 2)


def unscaled(x):
    return x.reshape(len(x), -1) / 255.0


def images_by_hand(h, keys, scale=255.0):
    x, vx = (a.reshape(-1, 4).astype(np.float32) / scale for a in (IMAGES, VIMAGES))
    w = fitted(h, keys, lambda w, b, key: cross_entropy(b[0] @ w, b[1]), (x, Y))
    return classified(vx @ w, VY)


FLATTENED = (
    lambda key, x: init(key, x.reshape(len(x), -1)),
    lambda w, x: x.reshape(len(x), -1) @ w,
)


def powered(x, hparams):
    return jnp.sign(x) * jnp.abs(x) ** hparams["power"]


def powered_by_hand(h, keys):
    data = (powered(X, h), Y)
    w = fitted(h, keys, lambda w, b, key: cross_entropy(b[0] @ w, b[1]), data)
    return classified(powered(VX, h) @ w, VY)


def split_init(key, x):
    left, right = x.values() if isinstance(x, dict) else x
    return init(key, jnp.concatenate([left, right], 1))


def split_apply(w, x):
    left, right = x.values() if isinstance(x, dict) else x
    return jnp.concatenate([left, right], 1) @ w


SPLIT = (split_init, split_apply)


def auxiliary(w, x):
    """Logits and a penalty, as mixtures of experts return them."""
    return x @ w, jnp.mean(w**2)


def with_penalty(outputs, y):
    return cross_entropy(outputs[0], y) + outputs[1]


def accuracy_of_first(outputs, y):
    return jnp.mean(jnp.argmax(outputs[0], 1) == y)


def penalised_by_hand(h, keys):
    w = fitted(h, keys, lambda w, b, key: with_penalty(auxiliary(w, b[0]), b[1]))
    known = classified(VX @ w, VY)
    penalty = np.mean(np.asarray(w) ** 2)
    return {"right": known["accuracy"], "loss": known["loss"] + penalty}


def smoothed(outputs, y):
    return optax.softmax_cross_entropy(outputs, jax.nn.one_hot(y, 3) * 0.9 + 0.1 / 3)


def smoothed_by_hand(h, keys):
    w = fitted(h, keys, lambda w, b, key: smoothed(b[0] @ w, b[1]).mean())
    known = classified(VX @ w, VY)
    return {"accuracy": known["accuracy"], "loss": smoothed(VX @ w, VY).mean()}


def stream(*arrays, rows=16):
    """Batches of ten rows, which fit nothing."""

    def source(epoch):
        for begin in range(0, 32, 10):
            yield tuple(a[begin : begin + 10] for a in arrays)

    return jt.data.stream(source, examples=32, rows=rows)


def streamed(*arrays, vy=VY, **own):
    return lambda: jt.classification(
        LINEAR, train=stream(*arrays), valid=(VX, vy), batch_size=8, **own
    )


def row(name, make, by_hand=plain, space=rate, **search):
    return Row(name, make, space, by_hand, search)


def frame(x):
    return pd.DataFrame(x, columns=["a", "b", "c", "d"])


COUNTS = np.bincount(Y)
BALANCE = len(Y) / (3 * COUNTS)

ROWS = [
    row("labels as strings", task(y=NAMES[Y], vy=NAMES[VY])),
    row("labels as objects in a column", task(y=pd.Series(NAMES[Y]), vy=NAMES[VY])),
    row(
        "labels as a category",
        task(y=pd.Series(NAMES[Y], dtype="category"), vy=NAMES[VY]),
    ),
    row("labels from 1", task(y=Y + 1, vy=VY + 1)),
    row("labels with gaps", task(y=Y * 5 - 3, vy=VY * 5 - 3)),
    row("labels in a list", task(x=X.tolist(), y=Y.tolist())),
    row("two classes, one logit", task(ONE, y=TWO, vy=VTWO), of_two),
    row("two classes, a flat logit", task(FLAT, y=TWO * 1, vy=VTWO * 1), of_two),
    row(
        "labels -1 and 1, one logit", task(ONE, y=TWO * 2 - 1, vy=VTWO * 2 - 1), of_two
    ),
    row("big-endian arrays", task(x=X.astype(">f8"), y=Y.astype(">i8"))),
    row(
        "a sparse matrix",
        task(x=scipy.sparse.csr_matrix(X), vx=scipy.sparse.coo_array(VX)),
    ),
    row("a data frame", task(x=frame(X), y=pd.Series(Y, index=range(9, 41)))),
    row("a masked array without masked values", task(x=np.ma.masked_array(X))),
    row(
        "a dict of inputs",
        task(
            SPLIT, x={"a": X[:, :2], "b": X[:, 2:]}, vx={"a": VX[:, :2], "b": VX[:, 2:]}
        ),
    ),
    row(
        "a tuple of inputs",
        task(SPLIT, x=(X[:, :1], X[:, 1:]), vx=(VX[:, :1], VX[:, 1:])),
    ),
    row(
        "a model that returns a dict",
        task((init, lambda w, x: {"logits": x @ w, "inner": x})),
    ),
    row("a model that returns a tuple of one", task((init, lambda w, x: (x @ w,)))),
    row(
        "outputs of any form with loss= and metrics=",
        task(
            (init, auxiliary), loss=with_penalty, metrics={"right": accuracy_of_first}
        ),
        penalised_by_hand,
        metric="right",
    ),
    row("a loss of each example", task(loss=smoothed), smoothed_by_hand),
    row(
        "a jitted loss of a batch",
        task(loss=jax.jit(lambda outputs, y: smoothed(outputs, y).mean())),
        smoothed_by_hand,
        metric="loss",
    ),
    row("F1 as a metric", task(metrics={"f1": macro_f1}), f1_by_hand, metric="f1"),
    row(
        "AUC of one logit",
        task(ONE, y=TWO, vy=VTWO, metrics={"auc": auc}),
        auc_by_hand,
        metric="auc",
    ),
    row(
        "class_weight='balanced'",
        task(class_weight="balanced"),
        partial(weighted, of=lambda b: jnp.asarray(BALANCE)[b[1]], data=TRAIN),
    ),
    row(
        "class_weight of strings",
        task(y=NAMES[Y], vy=NAMES[VY], class_weight={"emu": 3.0}),
        partial(weighted, of=lambda b: jnp.where(b[1] == 2, 3.0, 1.0), data=TRAIN),
    ),
    row(
        "weights of examples",
        lambda: jt.classification(LINEAR, train=(X, Y, WEIGHTS), valid=VALID, **REST),
        weighted,
    ),
    row(
        "weights in validation too",
        lambda: jt.classification(
            LINEAR, train=(X, Y, WEIGHTS), valid=(VX, VY, VWEIGHTS), **REST
        ),
        partial(weighted, scored=VWEIGHTS),
    ),
    row(
        "augment with a searched strength",
        task(augment=noisy),
        noisy_by_hand,
        lambda: jt.Space(
            learning_rate=jt.log_uniform(1e-2, 0.5), noise=jt.uniform(0.1, 1.0)
        ),
    ),
    row(
        "images that stay bytes",
        task(x=IMAGES, vx=VIMAGES, preprocess=unscaled),
        images_by_hand,
    ),
    row(
        "preprocess with hyperparameters",
        task(preprocess=powered),
        powered_by_hand,
        lambda: jt.Space(
            learning_rate=jt.log_uniform(1e-2, 0.5), power=jt.uniform(0.5, 2.0)
        ),
    ),
    row(
        "regression on whole numbers",
        task(ONE, make=jt.regression),
        partial(regressed_by_hand, loss=lambda o, y: (o[:, 0] - y) ** 2),
    ),
    row(
        "regression with a loss and a metric",
        task(ONE, make=jt.regression, loss=huber, metrics={"r2": r2}),
        partial(regressed_by_hand, loss=huber),
        metric="r2",
    ),
    row(
        "a last batch with what is left",
        task(x=X[:29], y=Y[:29], drop_last=False),
        rest_by_hand,
    ),
    row(
        "a stream whose last batch has what is left",
        lambda: jt.classification(
            LINEAR,
            train=jt.data.stream(
                lambda epoch: [(X[:29], Y[:29])], examples=29, rows=16
            ),
            valid=VALID,
            batch_size=8,
            drop_last=False,
        ),
        rest_by_hand,
    ),
    row(
        "batch sizes as data, and what is left",
        task(x=X[:29], y=Y[:29], drop_last=False),
        rest_of_sizes,
        lambda: jt.Space(
            learning_rate=jt.log_uniform(1e-2, 0.5), batch_size=jt.ordinal([4, 8])
        ),
    ),
    row("a stream of strings", streamed(X, NAMES[Y], vy=NAMES[VY])),
    row("a stream of labels from 1", streamed(X, Y + 1, vy=VY + 1)),
    row("a stream with weights", streamed(X, Y, WEIGHTS), weighted),
    row(
        "a stream of lists",
        lambda: jt.classification(
            LINEAR,
            train=jt.data.stream(lambda epoch: [(X.tolist(), Y.tolist())], examples=32),
            valid=VALID,
            batch_size=8,
        ),
    ),
    row(
        "a stream of dicts of inputs",
        lambda: jt.classification(
            SPLIT,
            train=jt.data.stream(
                lambda epoch: [({"a": X[:, :2], "b": X[:, 2:]}, Y)], examples=32
            ),
            valid=({"a": VX[:, :2], "b": VX[:, 2:]}, VY),
            batch_size=8,
        ),
    ),
    Row(
        "images without preprocess",
        task(FLATTENED, x=IMAGES, vx=VIMAGES),
        lambda: jt.Space(learning_rate=jt.log_uniform(1e-6, 1e-5)),
        partial(images_by_hand, scale=1.0),
        warns="preprocess=lambda x: x / 255",
    ),
]
