"""What one trial trains, and how it is scored."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxtune.checks import is_whole
from jaxtune.registry import Recipe
from jaxtune.tasks import optimizers
from jaxtune.tasks._stream import Stream
from jaxtune.tasks.arrays import to_device
from jaxtune.types import PyTree


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["train", "valid", "test"],
    meta_fields=[
        "init",
        "loss",
        "evaluate",
        "optimizer",
        "batch_size",
        "shuffle",
        "metrics",
        "stateful",
        "limits",
        "padding",
        "recipe",
        "trains",
    ],
)
@dataclasses.dataclass(frozen=True)
class Task:
    """Functions (static) and data (array leaves) in one value.

    Another data set of the same shapes compiles nothing. Functions are compared by
    identity, so build a task once and use it often. ``hparams`` is a dict of the
    trial's hyperparameters: traced scalars, and Python objects for static dimensions.

    Args:
      init: ``(key, hparams) -> params``, any pytree of arrays.
      loss: ``(params, batch, key, hparams) -> scalar``, the mean over the batch.
      evaluate: ``(params, split, hparams) -> {metric: scalar}`` over a whole split.
      train: pytree of arrays with a common first axis ``N``; a batch has the same tree.
        Or a stream of them, `jaxtune.data.stream`.
      valid: the same for the split that trials are judged on.
      test: the same for the split that the chosen trial is judged on once, or ``None``.
      optimizer: ``hparams -> optax.GradientTransformation``; the default reads the
        standard names, see `jaxtune.optimizers.standard`.
      batch_size: examples per step where the space has no ``batch_size``.
      shuffle: whether every lane trains on an order of its own in every epoch; all on
        the rows as they are if not, as a stream does.
      metrics: pairs of a metric's name and ``"max"`` or ``"min"``; the first is the one
        that `jaxtune.search` uses when it is told none.
      stateful: for batch statistics and the like: ``init`` returns ``(params, state)``,
        ``loss(params, state, batch, key, hparams)`` returns ``(scalar, state)``, and
        ``evaluate(params, state, split, hparams)`` gets the state too.
      limits: pairs of a hyperparameter's name and the smallest and largest value that
        the model can take; a space that goes beyond is refused.
      padding: pairs of a hyperparameter that is data inside a padded model and the
        model's static field that bounds it, such as ``("hidden_units", "max_units")``.
      recipe: how to make it again from its data, if it has none of the user's own
        functions; a run directory then needs nothing else to go on.
      trains: false for a plain function as a task of zero epochs: ``init`` computes its
        value from the key of the lane itself, and nothing is trained.
    """

    init: Callable[..., Any]
    loss: Callable[..., Any]
    evaluate: Callable[..., Any]
    train: PyTree
    valid: PyTree
    test: PyTree = None
    optimizer: Callable[..., Any] = optimizers.standard
    batch_size: int = 64
    shuffle: bool = True
    metrics: tuple[tuple[str, str], ...] = ()
    stateful: bool = False
    limits: tuple[tuple[str, tuple[float, float]], ...] = ()
    padding: tuple[tuple[str, str], ...] = ()
    recipe: Recipe | None = None
    trains: bool = True

    @property
    def examples(self) -> int:
        """Number of training examples, ``N``."""
        if isinstance(self.train, Stream):
            return self.train.examples
        return jax.tree.leaves(self.train)[0].shape[0]

    @property
    def stream(self) -> Stream | None:
        """Where the training examples come from, if not from the device."""
        return self.train if isinstance(self.train, Stream) else None

    @property
    def held(self) -> PyTree:
        """Training examples at hand: all of them, or the first ones of a stream."""
        return self.train.head if isinstance(self.train, Stream) else self.train


def without_stream(task: Task) -> Task:
    """The task as programs get it: a stream's rows come beside it."""
    return task if task.stream is None else dataclasses.replace(task, train=None)


def check_data(task: Task) -> Task:
    """Check the data once, with NumPy, and put it on the device.

    Args:
      task: any task.

    Returns:
      The same task, its data as JAX arrays (float64 as float32, int64 as int32).

    Raises:
      ValueError: a split that is empty or ragged, a value that is not finite or does
        not fit 32 bits, or a batch larger than the training split; the message names
        the array and the row.
    """
    splits = {"train": task.held, "valid": task.valid, "test": task.test}
    checked = {name: _check_split(name, split) for name, split in splits.items()}
    if task.stream is not None:
        checked["train"] = task.train  # checked as it is read
    task = dataclasses.replace(task, **checked)
    size = task.batch_size
    if not is_whole(size, 1):
        raise ValueError(f"batch_size must be an int of at least 1, got {size!r}.")
    if size > task.examples:
        raise ValueError(
            f"batch_size={size} is larger than train, which has {task.examples} "
            "examples. Use a smaller batch."
        )
    return task


def _check_split(split: str, data: PyTree) -> PyTree:
    if data is None:
        if split == "test":
            return None
        raise ValueError(f"{split}: a task needs data, got None.")
    leaves, tree = jax.tree_util.tree_flatten_with_path(data)
    names = [f"{split}{jax.tree_util.keystr(path)}" for path, _ in leaves]
    arrays = [leaf for _, leaf in leaves]
    if not arrays:
        raise ValueError(f"{split}: a task needs arrays, got {data!r}.")
    lengths = [np.shape(array)[0] if np.ndim(array) else 0 for array in arrays]
    for name, length in zip(names, lengths, strict=True):
        if length == 0:
            raise ValueError(f"{name} is empty. Every split needs examples.")
        if length != lengths[0]:
            raise ValueError(
                f"{name} has {length} rows and {names[0]} has {lengths[0]}."
            )
    checked = [
        to_device(name, array) for name, array in zip(names, arrays, strict=True)
    ]
    return jax.tree.unflatten(tree, checked)
