"""Ten families of networks, each as a user would write it, with data of their shapes.

``FAMILIES`` is the table. A family has a model in each of the ``LIBRARIES``, made
without a thought of jaxtune; `task` gives it to jaxtune, and `plain.training` trains it
in a loop of the user's own.
"""

import importlib
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import optax

import jaxtune as jt
from families import plain

LIBRARIES = {"linen": plain.linen, "nnx": plain.nnx, "equinox": plain.functions}


class Family(NamedTuple):
    """A kind of network, and what it learns.

    Args:
      says: one line for tables.
      data: ``(generator, examples) -> (x, y)``.
      goal: a key of ``GOALS``.
    """

    says: str
    data: Callable
    goal: str


class Goal(NamedTuple):
    """A loss and a score, both ``(outputs, y) -> scalar``; ``mode`` is of the score."""

    loss: Callable
    score: Callable
    mode: str


def entropy(outputs, y):
    """Return the mean cross-entropy of logits."""
    return optax.softmax_cross_entropy_with_integer_labels(outputs, y).mean()


def accuracy(outputs, y):
    """Return the share of examples whose largest logit is their label's."""
    return (outputs.argmax(-1) == y).mean()


def squared(outputs, y):
    """Return the mean squared error."""
    return jnp.mean((outputs - y) ** 2)


GOALS = {
    "class": Goal(entropy, accuracy, "max"),
    "values": Goal(squared, squared, "min"),
    "tokens": Goal(entropy, entropy, "min"),
}


def classes(shape, generator, examples):
    """Return noisy copies of ten patterns, and which pattern each is."""
    y = generator.integers(0, 10, examples)
    # the same patterns in every split
    patterns = np.random.default_rng(0).normal(size=(10, *shape))
    x = patterns[y] + generator.normal(size=(examples, *shape))
    return x.astype(np.float32), y.astype(np.int32)


def rows(generator, examples):
    """Return rows of 784 numbers in ten classes."""
    return classes((784,), generator, examples)


def images(generator, examples):
    """Return images of 28×28 in ten classes."""
    return classes((28, 28, 1), generator, examples)


def curves(generator, examples):
    """Return curves of 40 points in ten classes."""
    return classes((40, 1), generator, examples)


def series(generator, examples):
    """Return sequences of 40 times eight numbers in ten classes."""
    return classes((40, 8), generator, examples)


def itself(generator, examples):
    """Return images, each its own target."""
    x, _ = images(generator, examples)
    return x, x


def edges(generator, examples):
    """Return images and their differences along one axis."""
    x, _ = images(generator, examples)
    return x, np.diff(x, axis=1, append=0).astype(np.float32)


def counting(generator, examples):
    """Return 64 tokens each that count in steps of one to four, and the next ones."""
    begin = generator.integers(0, 64, (examples, 1))
    stride = generator.integers(1, 5, (examples, 1))
    tokens = ((begin + stride * np.arange(65)) % 64).astype(np.int32)
    return tokens[:, :-1], tokens[:, 1:]


FAMILIES = {
    "mlp": Family("MLP 784-512-512", rows, "class"),
    "cnn": Family("CNN, 16 and 32 channels, norm, dropout, pool", images, "class"),
    "resnet": Family("ResNet-8, 16 to 64 channels", images, "class"),
    "cnn1d": Family("1-D CNN, three windows of 25", curves, "class"),
    "autoencoder": Family("autoencoder, transposed convolutions", itself, "values"),
    "depthwise": Family("depthwise and 1×1", images, "class"),
    "unet": Family("U-Net, two levels", edges, "values"),
    "gpt": Family("GPT, 2 layers of 64, 64 tokens", counting, "tokens"),
    "gru": Family("GRU 64, 40 steps", series, "class"),
    "lstm": Family("LSTM 64, 40 steps", series, "class"),
}


def model(name, library):
    """Return a model in the form that `jt.classification` takes."""
    module = importlib.import_module(f"families.in_{library}")
    made = module.MODELS[name]
    if library == "linen":
        return made()
    return made if library == "nnx" else module.functions(made)


def network(name, library):
    """Return the model as plain functions, without jaxtune."""
    return LIBRARIES[library](model(name, library))


def training(name, library):
    """Return the plain training of a family."""
    goal = GOALS[FAMILIES[name].goal]
    return plain.training(network(name, library), goal.loss, goal.score, optimizer)


def splits(name, examples, held_out):
    """Return ``(x, y)`` to train on, and another to score on."""
    data = FAMILIES[name].data
    sizes = enumerate((examples, held_out), start=1)
    return [data(np.random.default_rng(seed), size) for seed, size in sizes]


SPACE = jt.Space(
    learning_rate=jt.log_uniform(1e-4, 1e-2),
    weight_decay=jt.log_uniform(1e-5, 1e-1),
)


def optimizer(hparams):
    """Return AdamW with a trial's numbers, plain or traced."""
    decay = hparams["weight_decay"]
    return optax.adamw(hparams["learning_rate"], weight_decay=decay)


def task(name, library, train, valid, batch_size=64, **more):
    """Return the task of a family, made as the documentation shows it."""
    goal, shared = FAMILIES[name].goal, {"batch_size": batch_size, **more}
    if goal == "tokens":
        return language(network(name, library), train, valid, **shared)
    make = jt.classification if goal == "class" else jt.regression
    shared |= {"optimizer": optimizer, "train": train, "valid": valid}
    return make(model(name, library), **shared)


def language(network, train, valid, **more):
    """Return the task of a language model, whose labels are a row for each example."""

    def nats(params, batch, key, train):
        outputs, _ = network.apply(params, {}, batch["x"], key, train)
        return entropy(outputs, batch["y"])

    train, valid = (dict(zip("xy", split, strict=True)) for split in (train, valid))
    return jt.Task(
        init=lambda key, hparams: network.init(key, train["x"][:1])[0],
        loss=lambda params, batch, key, hparams: nats(params, batch, key, True),
        evaluate=lambda params, split, hparams: {
            "nats": nats(params, split, None, False)
        },
        optimizer=optimizer,
        train=train,
        valid=valid,
        metrics=(("nats", "min"),),
        **more,
    )
