"""Classification and regression from arrays, all of which are checked first."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxtune.registry import Recipe
from jaxtune.tasks import optimizers
from jaxtune.tasks._stream import Stream
from jaxtune.tasks.adapters import Model, as_model
from jaxtune.tasks.task import Task, check_data, with_recipe
from jaxtune.types import Array, ArrayLike, Key, PyTree

PRECISIONS = ("bfloat16", "float16")
CHUNK = 2048  # examples evaluated at once, to bound the memory of activations

Split = tuple[ArrayLike, ArrayLike]
Measure = Callable[[Array, Array], dict[str, Array]]
# a function and its first argument: a partial or a closure would be compared by
# identity, and `_shared` would never find that it has made these functions before
Measuring = tuple[Callable[[Any, Array, Array], dict[str, Array]], Any]


def classification(
    model: Any,
    *,
    train: Split | Stream,
    valid: Split,
    test: Split | None = None,
    batch_size: int = 64,
    shuffle: bool = True,
    optimizer: Callable[..., Any] = optimizers.standard,
    precision: str | None = None,
) -> Task:
    """Make a task that trains classifiers on cross-entropy.

    >>> import jaxtune as jt
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(96, 4)).astype(np.float32)
    >>> y = (x[:, 0] > 0).astype(int)
    >>> task = jt.classification(
    ...     jt.models.MLP(classes=2, max_units=8),
    ...     train=(x[:64], y[:64]),
    ...     valid=(x[64:], y[64:]),
    ...     batch_size=16,
    ... )
    >>> task.metrics
    (('accuracy', 'max'), ('loss', 'min'))

    Args:
      model: a Linen module, a function ``rngs -> NNX module``, or ``(init, apply)``.
        Its outputs are logits ``[batch, classes]``.
      train: ``(x [N, ...], y [N])``, labels as integers from 0; or, for data that do
        not fit on a device, a stream of such pairs, see `jaxtune.data.stream`.
      valid: the split that trials are scored on.
      test: the split that the chosen trial is scored on once.
      batch_size: examples per step if the space has no ``batch_size``.
      shuffle: whether every lane trains on its own random order in every epoch; if not,
        all lanes train on the rows as they are, as with a stream.
      optimizer: ``hparams -> optax.GradientTransformation``.
      precision: ``"bfloat16"`` or ``"float16"`` computes the model in it, with
        parameters, optimiser and loss in float32. On a CPU this is slower.

    Returns:
      A task with the metrics ``accuracy`` (max) and ``loss`` (min).

    Raises:
      ValueError: data that cannot be trained on; the message names the array and row.
    """
    splits = _named_splits(train, valid, test)
    highest = (-1, "")
    for name, split in splits.items():
        if split is not None:
            highest = max(highest, _check_labels(f"{name} y", _at_hand(split)["y"]))

    def check(name: str, batch: PyTree) -> PyTree:
        """Raise if a batch of the stream has a class unknown at the start."""
        label, where = _check_labels(f"{name} y", batch["y"])
        if label > highest[0]:
            raise ValueError(
                f"{where}: the label is {label}, but those in valid and in the first "
                f"rows of the stream end at {highest[0]}. Put every class into valid."
            )
        return batch

    if isinstance(splits["train"], Stream):
        splits["train"] = splits["train"].through(check)
    metrics = (("accuracy", "max"), ("loss", "min"))
    how = (model, precision)
    task = _supervised(
        how,
        splits,
        measure=(_classified, highest),
        metrics=metrics,
        batch_size=batch_size,
        shuffle=shuffle,
        optimizer=optimizer,
    )
    return with_recipe(task, _recipe("classification", how, task))


def regression(
    model: Any,
    *,
    train: Split | Stream,
    valid: Split,
    test: Split | None = None,
    batch_size: int = 64,
    shuffle: bool = True,
    optimizer: Callable[..., Any] = optimizers.standard,
    precision: str | None = None,
) -> Task:
    """Make a task that trains on the mean squared error.

    >>> import jaxtune as jt
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(96, 4)).astype(np.float32)
    >>> y = x.sum(axis=1)
    >>> task = jt.regression(
    ...     jt.models.MLP(classes=1, max_units=8),
    ...     train=(x[:64], y[:64]),
    ...     valid=(x[64:], y[64:]),
    ...     batch_size=16,
    ... )
    >>> task.metrics
    (('mse', 'min'), ('mae', 'min'))

    Args:
      model: a Linen module, a function ``rngs -> NNX module``, or ``(init, apply)``.
        Its outputs have the shape of the targets, or ``[batch, 1]`` for targets
        ``[batch]``.
      train: ``(x [N, ...], y [N] or [N, k])``, targets as real numbers; or, for data
        that do not fit on a device, a stream of such pairs, see `jaxtune.data.stream`.
      valid: the split that trials are scored on.
      test: the split that the chosen trial is scored on once.
      batch_size: examples per step if the space has no ``batch_size``.
      shuffle: whether every lane trains on its own random order in every epoch; if not,
        all lanes train on the rows as they are, as with a stream.
      optimizer: ``hparams -> optax.GradientTransformation``.
      precision: ``"bfloat16"`` or ``"float16"`` computes the model in it, with
        parameters, optimiser and loss in float32. On a CPU this is slower.

    Returns:
      A task with the metrics ``mse`` (min) and ``mae`` (min).

    Raises:
      ValueError: data that cannot be trained on; the message names the array and row.
    """
    splits = _named_splits(train, valid, test)
    for name, split in splits.items():
        if isinstance(split, Stream):
            splits[name] = split.through(_real)
        elif split is not None:
            splits[name] = _real(name, split)
    metrics = (("mse", "min"), ("mae", "min"))
    how = (model, precision)
    task = _supervised(
        how,
        splits,
        measure=(_regressed, None),
        metrics=metrics,
        batch_size=batch_size,
        shuffle=shuffle,
        optimizer=optimizer,
    )
    return with_recipe(task, _recipe("regression", how, task))


def _real(name: str, batch: PyTree) -> PyTree:
    # whole numbers are targets too; to_32_bits makes float32 of all that fits
    return batch | {"y": np.asarray(batch["y"], np.float64)}


def _classified(
    highest: tuple[int, str], logits: Array, labels: Array
) -> dict[str, Array]:
    """Return the metrics of each example; ``highest`` is the largest label of all."""
    if logits.ndim != 2 or logits.shape[1] <= highest[0]:
        raise ValueError(
            f"labels: {highest[1]} is {highest[0]}, but the model's outputs have "
            f"shape {logits.shape}. It must be (batch, classes), with more than "
            f"{highest[0]} classes."
        )
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    # a lane that diverged has no prediction: argmax of NaN would be class 0
    known = jnp.isfinite(logits).all(1)
    right = jnp.where(known, jnp.argmax(logits, 1) == labels, jnp.nan)
    return {"accuracy": right, "loss": loss}


def _regressed(highest: None, outputs: Array, targets: Array) -> dict[str, Array]:
    """Return the metrics of each example."""
    del highest
    if outputs.shape == (*targets.shape, 1):
        outputs = outputs[..., 0]
    if outputs.shape != targets.shape:
        raise ValueError(
            f"targets: y has shape {targets.shape} in a batch, but the model's "
            f"outputs have {outputs.shape}. Make them the same."
        )
    error = (outputs - targets).reshape(len(targets), -1)
    return {"mse": (error**2).mean(1), "mae": jnp.abs(error).mean(1)}


class Functions(NamedTuple):
    """The functions of a task."""

    init: Callable[..., Any]
    loss: Callable[..., Any]
    evaluate: Callable[..., Any]


def _supervised(
    how: tuple[Any, str | None],
    splits: dict[str, Any],
    *,
    measure: Measuring,
    metrics: tuple[tuple[str, str], ...],
    batch_size: int,
    shuffle: bool,
    optimizer: Callable[..., Any],
) -> Task:
    model, precision = how
    _check_precision(precision)
    objective = next(name for name, mode in metrics if mode == "min")
    inputs = np.asarray(_at_hand(splits["train"])["x"])
    dtype = jnp.int32 if inputs.dtype.kind in "iu" else jnp.float32
    if _is_ours(model):
        functions = _shared(how, measure, objective, inputs.shape[1:], dtype)
    else:
        example = jnp.asarray(inputs[:1].astype(dtype))
        functions = _functions(_as_model(how), measure, objective, example)
    return check_data(
        Task(
            **functions._asdict(),
            optimizer=optimizer,
            batch_size=batch_size,
            shuffle=shuffle,
            metrics=metrics,
            stateful=True,
            limits=tuple(getattr(model, "limits", {}).items()),
            padding=tuple(getattr(model, "padding", {}).items()),
            **splits,
        )
    )


def _functions(
    model: Model, measuring: Measuring, objective: str, example: Array
) -> Functions:
    """Build the functions of a task; ``example [1, ...]`` has the shape of an input."""
    measure = partial(measuring[0], measuring[1])

    def init(key: Key, hparams: Mapping[str, Any]) -> tuple[PyTree, PyTree]:
        return model.init(key, example, hparams)

    def loss(
        params: PyTree,
        state: PyTree,
        batch: PyTree,
        key: Key,
        hparams: Mapping[str, Any],
    ) -> tuple[Array, PyTree]:
        outputs, state = model.apply(params, state, batch["x"], key, hparams, True)
        return measure(outputs, batch["y"])[objective].mean(), state

    def evaluate(
        params: PyTree, state: PyTree, split: PyTree, hparams: Mapping[str, Any]
    ) -> dict[str, Array]:
        return _evaluate(model, measure, params, state, split, hparams)

    return Functions(init, loss, evaluate)


@lru_cache(maxsize=64)
def _shared(
    how: tuple[Any, str | None],
    measure: Measuring,
    objective: str,
    shape: tuple[int, ...],
    dtype: Any,
) -> Functions:
    """Return the same functions for the same model, so a new task compiles nothing."""
    # our models look at no more than the shape and dtype of their input
    example = jnp.zeros((1, *shape), dtype)
    return _functions(_as_model(how), measure, objective, example)


def _as_model(how: tuple[Any, str | None]) -> Model:
    """Return a model as functions, which compute in ``how``'s precision if any."""
    model = as_model(how[0])
    if how[1] is None:
        return model
    dtype = jnp.dtype(how[1])

    def cast(tree: PyTree) -> PyTree:
        return jax.tree.map(
            lambda a: a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a,
            tree,
        )

    def apply(
        params: PyTree, state: PyTree, x: Array, *rest: Any
    ) -> tuple[Array, PyTree]:
        outputs, new = model.apply(cast(params), state, cast(x), *rest)
        # statistics keep their dtype, as everything must that a loop carries
        new = jax.tree.map(lambda a, old: a.astype(old.dtype), new, state)
        return outputs.astype(jnp.float32), new

    return Model(model.init, apply)


def _check_precision(precision: Any) -> None:
    if precision not in (None, *PRECISIONS):
        raise ValueError(
            f"precision: got {precision!r}. Use one of {', '.join(PRECISIONS)}, or "
            "None for float32."
        )


def _is_ours(model: Any) -> bool:
    return type(model).__module__.startswith("jaxtune.models.")


def _recipe(name: str, how: tuple[Any, str | None], task: Task) -> Recipe | None:
    """Return the recipe that makes the task from its data, if all of it is ours."""
    model, precision = how
    ours = _is_ours(model) and task.optimizer is optimizers.standard
    if not ours or task.stream is not None:
        return None
    fields = [f.name for f in dataclasses.fields(model) if f.init]
    own = tuple((n, getattr(model, n)) for n in fields if n not in ("parent", "name"))
    arguments = (("model", Recipe(type(model).__name__, own)),)
    rest = (("batch_size", task.batch_size), ("shuffle", task.shuffle))
    return Recipe(name, (*arguments, *rest, ("precision", precision)))


def _evaluate(
    model: Model,
    measure: Measure,
    params: PyTree,
    state: PyTree,
    split: PyTree,
    hparams: Mapping[str, Any],
) -> dict[str, Array]:
    """Return means over a split, in chunks; the last one is filled up and masked."""
    examples = split["y"].shape[0]
    chunks = -(-examples // CHUNK)
    size = -(-examples // chunks)

    def add(chunk: Array | int, totals: Mapping[str, Array]) -> dict[str, Array]:
        ids = chunk * size + jnp.arange(size)
        rows = jax.tree.map(lambda a: a[jnp.minimum(ids, examples - 1)], split)
        outputs, _ = model.apply(params, state, rows["x"], None, hparams, False)
        values = measure(outputs, rows["y"])
        real = ids < examples
        return {k: totals[k] + jnp.where(real, v, 0).sum() for k, v in values.items()}

    # most splits fit one chunk, and need no loop
    if chunks == 1:
        outputs, _ = model.apply(params, state, split["x"], None, hparams, False)
        return {k: v.mean() for k, v in measure(outputs, split["y"]).items()}
    # the names and dtypes of the metrics are known only after one abstract call
    shapes = jax.eval_shape(lambda: add(0, _Zeros()))
    zeros = {name: jnp.zeros(s.shape, s.dtype) for name, s in shapes.items()}
    totals = jax.lax.fori_loop(0, chunks, add, zeros)
    return {name: total / examples for name, total in totals.items()}


class _Zeros(dict[str, Any]):
    def __missing__(self, name: str) -> float:
        return 0.0


def _at_hand(split: PyTree | Stream) -> PyTree:
    """Return the arrays of a split; of a stream the first rows."""
    return split.head if isinstance(split, Stream) else split


def _named_splits(train: Any, valid: Any, test: Any) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for name, split in (("train", train), ("valid", valid), ("test", test)):
        if split is None:
            named[name] = None
            continue
        if isinstance(split, Stream) and name == "train":
            named[name] = split.through(_pair)
            continue
        if not isinstance(split, tuple | list) or len(split) != 2:
            raise ValueError(f"{name}: got {type(split).__name__}. Use a pair (x, y).")
        named[name] = {"x": split[0], "y": split[1]}
    if named["train"] is None:
        raise ValueError("train: a task needs data, got None. Use a pair (x, y).")
    return named


def _pair(name: str, batch: Any) -> PyTree:
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise ValueError(f"{name} is a {type(batch).__name__}. Use pairs (x, y).")
    return {"x": batch[0], "y": batch[1]}


def _check_labels(name: str, labels: Any) -> tuple[int, str]:
    array = np.asarray(labels)
    if array.ndim != 1:
        raise ValueError(
            f"{name} has shape {array.shape}. Use labels of shape (N,), not one-hot."
        )
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name} has dtype {array.dtype}. Use integer labels from 0.")
    if array.size == 0:
        raise ValueError(f"{name} is empty. Every split needs examples.")
    if array.min() < 0:
        row = int(array.argmin())
        raise ValueError(f"{name}: row {row} has the label {array[row]}. Count from 0.")
    row = int(array.argmax())
    return int(array[row]), f"{name} in row {row}"
