"""Models: Linen modules, NNX factories and modules, plain functions."""

from __future__ import annotations

import flax.linen as nn
import optax

import jaxtune as jt
from user_code.row import SPLITS, TRAIN, VALID, Row, classified, cross_entropy, train


class Net(nn.Module):
    """Two layers and dropout, as in Flax's own documentation."""

    units: int = 16

    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.relu(nn.Dense(self.units)(x))
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(3)(x)


def rate():
    return jt.Space(learning_rate=jt.log_uniform(1e-2, 0.5))


def by_hand(module, h, keys, optimizer=None, on=None, off=None):
    """Train a Linen module on the blobs; ``on`` and ``off`` are its modes' keywords."""
    on, off = on or {"train": True}, off or {"train": False}
    variables = module.init(keys.init, TRAIN[0][:1], **off)

    def loss(params, state, batch, key):
        x, y = batch
        out = module.apply({"params": params}, x, rngs={"dropout": key}, **on)
        return cross_entropy(out, y), state

    tx = optimizer or optax.sgd(h["learning_rate"], momentum=0.9)
    params, _ = train(variables["params"], loss, tx, TRAIN, keys)
    return classified(module.apply({"params": params}, VALID[0], **off), VALID[1])


ROWS = [
    Row(
        "Linen module with train=",
        lambda: jt.classification(Net(), **SPLITS),
        rate,
        lambda h, keys: by_hand(Net(), h, keys),
    ),
]
