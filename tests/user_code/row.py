"""The form of a row, and the plain training that rows are compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from jaxtune.random import INIT, NOISE, lane_key

ROOT = jax.random.key(3)
EPOCHS, BATCH = 2, 8


def blobs(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return points ``[count, 4]`` around three centres, and their classes."""
    draw = np.random.default_rng(seed)
    y = draw.integers(0, 3, count)
    x = np.eye(4)[y] * 2 + draw.normal(size=(count, 4)) * 0.7
    return x.astype(np.float32), y


TRAIN, VALID = blobs(32, 0), blobs(24, 1)
SPLITS: dict[str, Any] = {
    "train": TRAIN,
    "valid": VALID,
    "batch_size": BATCH,
    "shuffle": False,
}


class Keys(NamedTuple):
    """The random keys of one trial; `jaxtune.random` documents their streams."""

    trial: int

    @property
    def lane(self) -> Any:
        """The key that a plain function gets."""
        return lane_key(ROOT, np.uint32(self.trial), np.uint32(0))

    @property
    def init(self) -> Any:
        """The key of the initial parameters."""
        return jax.random.fold_in(self.lane, INIT)

    def step(self, number: int) -> Any:
        """Return the key of one step's loss."""
        return jax.random.fold_in(jax.random.fold_in(self.lane, NOISE), number)


class Row(NamedTuple):
    """One way of writing.

    Args:
      name: the way, in a few words.
      task: makes the task or the function, as a person would write it.
      space: makes the space.
      by_hand: ``(hparams, keys) -> {metric: number}`` of the best trial, whose
        hyperparameters are plain Python values.
      search: further arguments of `jaxtune.search`.
      tolerance: relative and absolute.
      warns: a part of the warning that it must give; none if empty.
      settings: of JAX, for the search and not by hand, without their ``jax_``.
    """

    name: str
    task: Callable[[], Any]
    space: Callable[[], Any]
    by_hand: Callable[[Mapping[str, Any], Keys], Mapping[str, Any]]
    search: Mapping[str, Any] = {}
    tolerance: float = 2e-4
    warns: str = ""
    settings: Mapping[str, Any] = {}


@contextmanager
def under(settings: Mapping[str, Any]) -> Iterator[None]:
    """Set JAX as a user does at the top of a script, and back."""
    # those of the process, as a new thread has them: a fixture may have set others here
    with ThreadPoolExecutor(1) as pool:
        values = pool.map(lambda name: getattr(jax.config, f"jax_{name}"), settings)
        before = dict(zip(settings, values, strict=True))
    try:
        for name, value in settings.items():
            jax.config.update(f"jax_{name}", value)
        yield
    finally:
        for name, value in before.items():
            jax.config.update(f"jax_{name}", value)


Step = Callable[[Any, Any, Any, Any], tuple[Any, Any]]


def train(
    params: Any,
    loss: Step,
    optimizer: optax.GradientTransformation,
    data: Any,
    keys: Keys,
    *,
    state: Any = None,
    batch: int = BATCH,
    epochs: int = EPOCHS,
    **extra: Any,
) -> tuple[Any, Any]:
    """Train in a Python loop over batches in their order.

    Args:
      params: initial parameters.
      loss: ``(params, state, batch, key) -> (scalar, state)``.
      optimizer: with the numbers of the configuration.
      data: a pytree of arrays with a common first axis.
      keys: of the trial.
      state: what changes without gradients.
      batch: examples in a step; the last one of an epoch has what is left.
      epochs: number of epochs.
      extra: keywords of ``optimizer.update``.

    Returns:
      The parameters and the state at the end.
    """
    optimizer = optax.with_extra_args_support(optimizer)
    opt_state = optimizer.init(params)
    rows = len(jax.tree.leaves(data)[0])

    @jax.jit
    def step(params: Any, state: Any, opt_state: Any, part: Any, key: Any) -> Any:
        (_, state), gradients = jax.value_and_grad(loss, has_aux=True)(
            params, state, part, key
        )
        updates, opt_state = optimizer.update(gradients, opt_state, params, **extra)
        return optax.apply_updates(params, updates), state, opt_state

    number = 0
    for _ in range(epochs):
        for begin in range(0, rows, batch):
            part = jax.tree.map(lambda a, b=begin: a[b : b + batch], data)
            params, state, opt_state = step(
                params, state, opt_state, part, keys.step(number)
            )
            number += 1
    return params, state


def cross_entropy(logits: Any, y: Any) -> Any:
    """Return the mean cross-entropy of integer labels."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


def classified(logits: Any, y: Any) -> dict[str, float]:
    """Return the metrics of a classification, with NumPy."""
    return {
        "loss": float(cross_entropy(logits, y)),
        "accuracy": float(np.mean(np.argmax(np.asarray(logits), 1) == np.asarray(y))),
    }
