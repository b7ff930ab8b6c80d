"""Settings of JAX, and code that JAX cannot trace."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxtune as jt
from user_code.optimizers import apply, init, rate, rate_and_batch
from user_code.optimizers import by_hand as regressed
from user_code.row import (
    EPOCHS,
    ROOT,
    SPLITS,
    TRAIN,
    VALID,
    Row,
    classified,
    cross_entropy,
    train,
    under,
)


class Normed(nn.Module):
    """Two layers and a norm; no random numbers, which x64 draws otherwise."""

    @nn.compact
    def __call__(self, x, train: bool):
        return nn.Dense(3)(nn.relu(nn.LayerNorm()(nn.Dense(16)(x))))


def adam(h):
    clip = optax.clip_by_global_norm(1.0)
    return optax.chain(clip, optax.adam(h["learning_rate"]))


def bowl(key, h):
    return (jnp.log10(h["learning_rate"]) + 1) ** 2 + h["x"] ** 2


def bowl_space():
    return jt.Space(
        learning_rate=jt.log_uniform(1e-3, 1.0),
        x=jt.uniform(-1.0, 1.0),
        units=jt.integer(2, 9),
        kind=jt.choice(["a", "b", "c"]),
    )


def by_hand(h, keys):
    """Train the network in a loop, under the settings of a fresh JAX."""
    params = Normed().init(keys.init, TRAIN[0][:1], True)

    def loss(params, state, batch, key):
        return cross_entropy(Normed().apply(params, batch[0], True), batch[1]), state

    size = h["batch_size"]
    params, _ = train(params, loss, adam(h), TRAIN, keys, batch=size)
    return classified(Normed().apply(params, VALID[0], False), VALID[1])


def by_hand_of_old_keys(h, keys):
    with under({"threefry_partitionable": False}):
        return by_hand(h, keys)


def descent(h):
    return optax.sgd(h["learning_rate"])


def row(setting: str, value: Any) -> Row:
    """Return the row of a training whose batches are added up."""
    return Row(
        f"setting {setting}={value}",
        lambda: jt.classification(Normed(), **SPLITS, optimizer=adam),
        rate_and_batch,
        by_hand,
        settings={setting: value},
    )


def own() -> jt.Space:
    """Return a space that jaxtune's own model and default optimiser read."""
    return jt.Space(
        learning_rate=jt.log_uniform(1e-2, 0.5),
        optimizer=jt.choice(["sgd", "momentum", "rmsprop", "adam"]),
        learning_rate_decay=jt.uniform(0.0, 1.0),
        weight_decay=jt.log_uniform(1e-4, 1e-2),
        hidden_units=jt.integer(2, 8),
        batch_size=jt.power_of_two(8, 16),
    )


def own_row(setting: str, value: Any) -> Row:
    """Return the row of jaxtune's own parts: the same search in a fresh JAX."""
    model = jt.models.MLP(classes=3, max_units=8, norm="layer")

    def task() -> Any:
        return jt.classification(model, **SPLITS)

    def fresh(h, keys):
        again = jt.search(task(), own(), key=ROOT, trials=3, epochs=EPOCHS, verbose=0)
        row = again.trials.row(keys.trial)
        return {name: row[name] for name in ("learning_rate", "loss", "accuracy")}

    return Row(
        f"jaxtune's own model under {setting}={value}",
        task,
        own,
        fresh,
        settings={setting: value},
    )


def sampled_row(sampler: Any, setting: str, value: Any) -> Row:
    """Return the row of a function under a sampler with a model."""
    name = sampler.__name__
    return Row(
        f"{name} under {setting}={value}",
        lambda: bowl,
        bowl_space,
        lambda h, keys: {"score": bowl(None, h)},
        {
            "mode": "min",
            "trials": 24,
            "rounds": 3,
            "sampler": sampler(),
        },
        settings={setting: value},
        warns="nothing reads units, kind",
    )


def vectors(c, gamma):
    """Train a support vector machine, as any code of the host may."""
    from sklearn.svm import SVC

    model = SVC(C=float(c), gamma=float(gamma)).fit(*TRAIN)
    return np.float32(model.score(*VALID))


def on_the_host(key, h):
    out = jax.ShapeDtypeStruct((), jnp.float32)
    call = jax.pure_callback
    return call(vectors, out, h["c"], h["gamma"], vmap_method="sequential")


STRICT = ("numpy_dtype_promotion", "strict")

ROWS = [
    Row(
        "a function that calls scikit-learn",
        lambda: on_the_host,
        lambda: jt.Space(c=jt.log_uniform(0.1, 10.0), gamma=jt.log_uniform(1e-3, 1.0)),
        lambda h, keys: {"score": vectors(h["c"], h["gamma"])},
        {"mode": "max", "block": 1},
    ),
    row("enable_x64", True),
    row(*STRICT),
    row("numpy_rank_promotion", "raise"),
    row("debug_nans", True),
    row("debug_infs", True),
    row("default_prng_impl", "rbg"),
    row("default_prng_impl", "unsafe_rbg"),
    row("transfer_guard", "log"),
    row("check_tracer_leaks", True),
    row("debug_key_reuse", True),
    # operation by operation, so a short one
    row("disable_jit", True)._replace(
        task=lambda: jt.classification((init, apply), **SPLITS, optimizer=descent),
        space=rate,
        by_hand=lambda h, keys: regressed(descent(h), h, keys),
        search={"trials": 1},
    ),
    row("default_matmul_precision", "float32"),
    # it draws other numbers, so also by hand
    row("threefry_partitionable", False)._replace(by_hand=by_hand_of_old_keys),
    own_row("enable_x64", True),
    own_row(*STRICT),
    sampled_row(jt.samplers.gaussian_process, "enable_x64", True),
    sampled_row(jt.samplers.trust_region, "enable_x64", True),
    sampled_row(jt.samplers.gaussian_process, *STRICT),
    sampled_row(jt.samplers.tpe, *STRICT),
]
