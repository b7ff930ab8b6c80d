"""The lines that bring each client into jaxtune; `docs/existing-code.md` shows them.

``same_batches`` has what a comparison with the client's own loop needs besides: the
batches that its own loader gives.
"""

import equinox as eqx
import jax
import optax
from flax import nnx

import jaxtune as jt
from clients import equinox_mlp, flax_linen_mnist, flax_nnx_mnist, rejax_agent


def flax_linen(train, valid, batch_size=128):
    task = jt.classification(
        flax_linen_mnist.CNN(),
        train=train,
        valid=valid,
        batch_size=batch_size,
        optimizer=lambda h: optax.sgd(h["learning_rate"], h["momentum"]),
    )
    space = jt.Space(
        learning_rate=jt.log_uniform(1e-3, 1.0),
        momentum=jt.reverse_log_uniform(0.5, 0.99),
    )
    return task, space


def flax_nnx(train, valid, batch_size=32, model=flax_nnx_mnist.CNN):
    task = jt.classification(
        model,
        train=train,
        valid=valid,
        batch_size=batch_size,
        optimizer=lambda h: optax.adamw(h["learning_rate"], h["momentum"]),
    )
    space = jt.Space(
        learning_rate=jt.log_uniform(1e-4, 1e-1),
        momentum=jt.reverse_log_uniform(0.5, 0.99),
    )
    return task, space


def equinox(train, valid, batch_size=64):
    _, rest = eqx.partition(equinox_mlp.MLP(jax.random.key(0)), eqx.is_array)

    def init(key):
        return eqx.filter(equinox_mlp.MLP(key), eqx.is_array)

    def apply(params, x):
        return jax.vmap(eqx.combine(params, rest))(x)

    def optimizer(h, steps):
        rate = optax.cosine_decay_schedule(h["learning_rate"], steps)
        return optax.adamw(rate, weight_decay=h["weight_decay"])

    task = jt.classification(
        (init, apply),
        train=train,
        valid=valid,
        batch_size=batch_size,
        drop_last=False,
        optimizer=optimizer,
    )
    space = jt.Space(
        learning_rate=jt.log_uniform(1e-4, 1e-1),
        weight_decay=jt.log_uniform(1e-5, 1e-1),
    )
    return task, space


def rejax(**sizes):
    def objective(key, h):
        _, (_, returns) = rejax_agent.PPO.create(**sizes, **h).train(key)
        return returns[-1].mean()

    space = jt.Space(
        learning_rate=jt.log_uniform(1e-4, 1e-1),
        clip_eps=jt.uniform(0.1, 0.4),
        ent_coef=jt.log_uniform(1e-4, 0.1),
    )
    return objective, space


def linen_batches(train_ds, batch_size):
    def source(epoch):
        order = jax.random.key(epoch)
        return flax_linen_mnist.batches_of_epoch(train_ds, batch_size, order)

    whole = len(train_ds["label"]) // batch_size * batch_size  # as the loader has it
    return jt.data.stream(source, examples=whole)


def nnx_batches(train_ds, batch_size):
    def source(epoch):
        for batch in flax_nnx_mnist.batches(train_ds, batch_size, epoch):
            yield batch["image"], batch["label"]

    whole = len(train_ds["label"]) // batch_size * batch_size  # as the loader has it
    return jt.data.stream(source, examples=whole)


class NNXWithItsDropout(nnx.Module):
    """The CNN with the random numbers that its own loop hands to each call."""

    def __init__(self, rngs):
        self.cnn = flax_nnx_mnist.CNN(rngs=rngs)
        self.streams = nnx.Rngs(rngs.params.key[...])

    def __call__(self, x):
        return self.cnn(x, self.streams)


def equinox_batches(trainset, batch_size):
    def source(epoch):
        return equinox_mlp.loader(trainset, batch_size, epoch)

    return jt.data.stream(source, examples=len(trainset[0]))
