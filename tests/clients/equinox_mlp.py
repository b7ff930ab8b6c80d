"""Digits with Equinox: a module, a filtered step, and a loader that shuffles.

The structure is that of the examples in Equinox's documentation.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits


class MLP(eqx.Module):
    """Two hidden layers; it computes one example."""

    layers: list

    def __init__(self, key, width=128):
        key1, key2, key3 = jax.random.split(key, 3)
        self.layers = [
            eqx.nn.Linear(64, width, key=key1),
            jax.nn.relu,
            eqx.nn.Linear(width, width, key=key2),
            jax.nn.relu,
            eqx.nn.Linear(width, 10, key=key3),
            jax.nn.log_softmax,
        ]

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def cross_entropy(y, pred_y):
    return -jnp.mean(jnp.take_along_axis(pred_y, y[:, None], axis=1))


def compute_loss(model, x, y):
    return cross_entropy(y, jax.vmap(model)(x))


@eqx.filter_jit
def compute_accuracy(model, x, y):
    return jnp.mean(jnp.argmax(jax.vmap(model)(x), axis=1) == y)


def data(train=1280, valid=512):
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))[: train + valid]
    x, y = jnp.asarray(x[order] / 16, jnp.float32), jnp.asarray(y[order])
    return (x[:train], y[:train]), (x[train:], y[train:])


def loader(arrays, batch_size, seed):
    """Yield the batches of an epoch, shuffled by a seed; the last may be smaller."""
    order = np.random.default_rng(seed).permutation(len(arrays[0]))
    for begin in range(0, len(order), batch_size):
        rows = order[begin : begin + batch_size]
        yield tuple(array[rows] for array in arrays)


def train(config, key, trainset, validset, epochs=10, batch_size=64):
    """Train, and return the loss and the accuracy on the validation set."""
    model = MLP(key)
    steps = epochs * -(-len(trainset[0]) // batch_size)
    rate = optax.cosine_decay_schedule(config["learning_rate"], steps)
    optim = optax.adamw(rate, weight_decay=config["weight_decay"])
    opt_state = optim.init(eqx.filter(model, eqx.is_array))

    @eqx.filter_jit
    def make_step(model, opt_state, x, y):
        loss, grads = eqx.filter_value_and_grad(compute_loss)(model, x, y)
        updates, opt_state = optim.update(
            grads, opt_state, eqx.filter(model, eqx.is_array)
        )
        return eqx.apply_updates(model, updates), opt_state, loss

    for epoch in range(epochs):
        for x, y in loader(trainset, batch_size, epoch):
            model, opt_state, _ = make_step(model, opt_state, x, y)
    loss = eqx.filter_jit(compute_loss)(model, *validset)
    return float(loss), float(compute_accuracy(model, *validset))


if __name__ == "__main__":
    config = {"learning_rate": 3e-3, "weight_decay": 1e-3}
    print(train(config, jax.random.key(0), *data()))
