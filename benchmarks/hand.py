"""Hand-written training of the digits network 64-128-10, for the benchmarks.

Stochastic gradient descent with momentum, batches of 64, a new order every epoch. Each
trial has its own learning rate, momentum, initial weights and order.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

EXAMPLES, BATCH = 1408, 64


class Network(nn.Module):
    """A plain Flax network with 128 hidden units, whose weights are float32.

    Args:
      dtype: in which it computes.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        hidden = nn.relu(nn.Dense(128, dtype=self.dtype)(x))
        return nn.Dense(10, dtype=self.dtype)(hidden).astype(jnp.float32)


def digits():
    """Return ``(x, y)`` for training and for validation, as NumPy arrays."""
    x, y = load_digits(return_X_y=True)
    x, y = (x / 16).astype(np.float32), y.astype(np.int32)
    return (x[:EXAMPLES], y[:EXAMPLES]), (x[EXAMPLES:], y[EXAMPLES:])


def training(epochs, dtype=jnp.float32):
    """Return one whole training as a function of key, learning rate and momentum."""
    network = Network(dtype)
    (train_x, train_y), (valid_x, valid_y) = jax.tree.map(jnp.asarray, digits())

    def train(key, rate, momentum):
        start, shuffle = jax.random.split(key)
        params = network.init(start, train_x[:1])
        optimizer = optax.sgd(rate, momentum)

        def loss(params, batch):
            logits = network.apply(params, train_x[batch])
            return optax.softmax_cross_entropy_with_integer_labels(
                logits, train_y[batch]
            ).mean()

        def step(carry, batch):
            params, moments = carry
            updates, moments = optimizer.update(jax.grad(loss)(params, batch), moments)
            return (optax.apply_updates(params, updates), moments), None

        def epoch(carry, key):
            order = jax.random.permutation(key, EXAMPLES).reshape(-1, BATCH)
            return jax.lax.scan(step, carry, order)[0], None

        carry = (params, optimizer.init(params))
        (params, _), _ = jax.lax.scan(epoch, carry, jax.random.split(shuffle, epochs))
        logits = network.apply(params, valid_x)
        return (jnp.argmax(logits, -1) == valid_y).mean()

    return train


def configurations(count):
    """Return learning rates 1e-3 to 0.3 and momenta 0.5 to 0.95, ``[n]`` each."""
    # drawn uniformly in log(rate) and in log(1 - momentum), as jaxtune's space is
    u = np.random.default_rng(0).random((2, count))
    rate = np.exp(np.log(1e-3) + u[0] * np.log(0.3 / 1e-3))
    momentum = 1 - np.exp(np.log(0.5) + u[1] * np.log(0.05 / 0.5))
    return rate.astype(np.float32), momentum.astype(np.float32)
