"""Padded models equal the plain ones they stand for, after training too."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxtune as jt


class Plain(nn.Module):
    """The network without padding."""

    units: int
    layers: int

    @nn.compact
    def __call__(self, x):
        for layer in range(self.layers):
            x = nn.relu(nn.Dense(self.units, name=f"hidden_{layer}")(x))
        return nn.Dense(3, name="output")(x)


def cut(params, units, layers):
    """The parameters in use, as the plain network names and shapes them."""
    kept = {name: params[name] for name in params if name == "output"}
    kept |= {f"hidden_{i}": params[f"hidden_{i}"] for i in range(layers)}

    def shorten(name, layer):
        inputs = layer["kernel"].shape[0] if name == "hidden_0" else units
        outputs = 3 if name == "output" else units
        return {
            "kernel": layer["kernel"][:inputs, :outputs],
            "bias": layer["bias"][:outputs],
        }

    return {name: shorten(name, layer) for name, layer in kept.items()}


def train(apply, params, optimizer, x, y, steps=60):
    state = optimizer.init(params)

    @jax.jit
    def step(params, state):
        def loss(p):
            logits = apply(p, x)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(steps):
        params, state = step(params, state)
    return params


OPTIMIZERS = {
    "momentum": optax.sgd(0.1, 0.9),
    "adamw": optax.adamw(0.01, weight_decay=0.1),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("units", "layers"), [(5, 1), (16, 2), (3, 3), (1, 2)])
def test_a_padded_network_trains_as_the_plain_one(units, layers, optimizer):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(40, 6)), jnp.float32)
    y = jnp.asarray(rng.integers(0, 3, 40))
    padded, plain = jt.models.MLP(3, max_units=16, max_layers=3), Plain(units, layers)
    shape = {"hidden_units": jnp.int32(units), "layers": jnp.int32(layers)}
    start = padded.init(jax.random.key(0), x, **shape)["params"]
    ends = [
        train(
            lambda p, x: padded.apply({"params": p}, x, **shape),
            start,
            OPTIMIZERS[optimizer],
            x,
            y,
        ),
        train(
            lambda p, x: plain.apply({"params": p}, x),
            cut(start, units, layers),
            OPTIMIZERS[optimizer],
            x,
            y,
        ),
    ]
    for a, b in zip(
        jax.tree.leaves(cut(ends[0], units, layers)),
        jax.tree.leaves(ends[1]),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5)
    used = sum(leaf.size for leaf in jax.tree.leaves(ends[1]))
    alive = sum(int((leaf != 0).sum()) for leaf in jax.tree.leaves(ends[0]))
    assert alive <= used, "the padding must stay zero"


def test_the_initial_scale_follows_the_true_fan_in():
    padded = jt.models.MLP(3, max_units=256, max_layers=2)
    x = jnp.zeros((1, 64))
    for units in (16, 64, 256):
        params = padded.init(jax.random.key(0), x, hidden_units=jnp.int32(units))
        kernel = params["params"]["hidden_1"]["kernel"][:units, :units]
        assert abs(kernel.std() * units**0.5 - 1) < 0.15


def test_dropout_keeps_the_mean_and_drops_the_share():
    x = jnp.ones((200, 500))
    for rate in (0.0, 0.3, 0.9):
        out = jt.models.dropout(x, jnp.float32(rate), jax.random.key(0))
        assert abs(float((out == 0).mean()) - rate) < 0.01
        assert abs(float(out.mean()) - 1) < 0.02
    assert (jt.models.dropout(x, 0.0, jax.random.key(0)) == x).all()


def test_a_space_larger_than_the_model_is_refused(small_task):
    space = jt.Space(learning_rate=jt.uniform(0.1, 1), hidden_units=jt.integer(8, 17))
    with pytest.raises(ValueError, match=r"'hidden_units'.*\(8, 17\).*1 to 16"):
        jt.search(small_task, space, key=jax.random.key(0), trials=2, epochs=1)


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="'sine'"):
        jt.models.MLP(3, activation="sine").init(jax.random.key(0), jnp.zeros((1, 2)))
