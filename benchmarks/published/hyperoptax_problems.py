"""What `hyperoptax_readme` searches: a small network, and a function of two numbers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

HIGHEST = 10.5999  # of the function, as the notebook says
STEPS, TRAIN = 100, 800


def data() -> tuple[jax.Array, jax.Array]:
    """Return the rows of the notebook: a function of the mean of ten numbers."""
    x = jax.random.uniform(jax.random.key(1), (1000, 10))
    return x, 5 * x.mean(axis=1) ** 2 + 2


def train_nn(key: jax.Array, params: dict[str, jax.Array]) -> jax.Array:
    """Train the network of the notebook, and return its error on the other rows.

    As there, it always begins with the same weights, so that it has no noise.
    """
    x, y = data()
    sizes = (10, 10, 10, 1)
    keys = jax.random.split(jax.random.key(0), len(sizes) - 1)
    layers = [
        (jax.random.normal(key, (a, b)) / jnp.sqrt(a), jnp.zeros((1, b)))
        for key, a, b in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]

    def loss(layers, x, y):
        for weights, bias in layers[:-1]:
            x = jax.nn.relu(x @ weights + bias)
        weights, bias = layers[-1]
        # not as in the notebook, whose column of outputs minus a row of targets is a
        # matrix, so that no loss is below the variance of the targets
        return jnp.mean(((x @ weights + bias)[:, 0] - y) ** 2)

    rate = params["learning_rate"]
    schedule = optax.linear_schedule(rate, rate * params["final_lr_pct"], STEPS)
    optimizer = optax.adamw(schedule)

    def step(carry, _):
        layers, state = carry
        gradient = jax.grad(loss)(layers, x[:TRAIN], y[:TRAIN])
        updates, state = optimizer.update(gradient, state, layers)
        return (optax.apply_updates(layers, updates), state), None

    start = layers, optimizer.init(layers)
    (layers, _), _ = jax.lax.scan(step, start, None, length=STEPS)
    return loss(layers, x[TRAIN:], y[TRAIN:])


def waves(key: jax.Array, params: dict[str, jax.Array]) -> jax.Array:
    """Compute the function of the notebook `performance`, to be maximised."""
    return -(1.4 - 3.0 * params["x"]) * jnp.sin(18.0 * params["y"])
