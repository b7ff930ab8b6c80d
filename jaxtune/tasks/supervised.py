"""Classification and regression from arrays, all of which are checked first."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxtune.door import FLAG, FUNCTION, guarded, optional
from jaxtune.registry import Recipe
from jaxtune.tasks import optimizers
from jaxtune.tasks._stream import Stream
from jaxtune.tasks.arrays import check_numbers
from jaxtune.tasks.inputs import Inputs, input_functions, warn_about_bytes
from jaxtune.tasks.labels import (
    Classes,
    are_looked_up,
    check_labels,
    class_weights,
    coded,
    find_classes,
)
from jaxtune.tasks.measuring import Measures
from jaxtune.tasks.metrics_argument import check_loss, read_metrics
from jaxtune.tasks.networks import Network, functions_of, is_ours
from jaxtune.tasks.outputs import classified, guessed, regressed
from jaxtune.tasks.splits import at_hand, columns_of, named_arrays, named_splits
from jaxtune.tasks.task import Task, check_data, with_recipe
from jaxtune.types import ArrayLike, PyTree

Split = tuple[Any, ArrayLike] | tuple[Any, ArrayLike, ArrayLike]


@guarded(
    shuffle=FLAG,
    drop_last=FLAG,
    loss=optional(FUNCTION),
    preprocess=optional(FUNCTION),
    augment=optional(FUNCTION),
)
def classification(
    model: Any,
    *,
    train: Split | Stream,
    valid: Split | None = None,
    test: Split | None = None,
    batch_size: int = 64,
    shuffle: bool = True,
    drop_last: bool = True,
    optimizer: Callable[..., Any] = optimizers.standard,
    precision: str | None = None,
    loss: Callable[..., Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    class_weight: str | Mapping[Any, float] | None = None,
    preprocess: Callable[..., PyTree] | None = None,
    augment: Callable[..., PyTree] | None = None,
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
        Its outputs are logits ``[batch, classes]``, or the one logit ``[batch]`` or
        ``[batch, 1]`` of the second of two classes.
      train: ``(x [N, ...], y [N])``, or ``(x, y, weights [N])``; for data that do not
        fit on a device, a stream of them, see `jaxtune.data.stream`. ``x`` may be a
        tuple or a dict of arrays, which the model gets as it is. ``y`` are integers,
        strings or booleans. If the model has as many outputs as there are different
        labels, they stand for the sorted labels; otherwise labels count from 0. The
        loss of a batch is the mean of weight times loss.
      valid: the split that trials are scored on; with weights, by weighted means. A
        search with folds needs none.
      test: the split that the chosen trial is scored on once.
      batch_size: examples per step if the space has no ``batch_size``.
      shuffle: whether every lane trains on its own random order in every epoch; if not,
        all lanes train on the rows as they are, as with a stream.
      drop_last: whether an epoch has whole batches only; with ``shuffle`` it leaves out
        other rows each time. If not, the last batch of an epoch has what is left.
      optimizer: ``hparams -> optax.GradientTransformation``; it may ask for ``steps``,
        ``epochs``, ``examples`` and the model's ``multipliers`` by name. Or a name such
        as ``"adamw"``, or a transformation.
      precision: ``"bfloat16"`` or ``"float16"`` computes the model in it, with
        parameters, optimiser and loss in float32. On a CPU this is slower.
      loss: ``(outputs, y) -> [batch]``, or one number for a batch, in place of the
        cross-entropy. It gets the outputs as the model returns them, in any form, and
        ``y`` as numbers: integers as they are, strings as places in ``task.classes``.
      metrics: more metrics: name to a function ``(outputs, y)``, or ``(outputs, y,
        weights)``, that gets the outputs of a whole split and returns one number; or to
        a pair of one and ``"max"`` or ``"min"``. Without it, names with a word such as
        ``loss`` or ``error`` are ``"min"``, and others ``"max"``.
      class_weight: weights of the training loss by label; ``"balanced"`` for
        ``N / (classes * rows of the class)``.
      preprocess: ``x -> x`` or ``(x, hparams) -> x``, applied to a batch of any split
        before the model, on the device. So images stay bytes in memory.
      augment: ``(key, x) -> x`` or ``(key, x, hparams) -> x``, applied after it, in
        training only.

    Returns:
      A task with the metrics ``accuracy`` (max) and ``loss`` (min), and the labels in
      ``task.classes``.

    Raises:
      ValueError: data that cannot be trained on; the message names the array and row.
    """
    splits = named_splits(train, valid, test)
    classes, splits = _coded_splits(splits)
    own, modes = read_metrics(metrics, ("accuracy", "loss"))
    check_loss(loss)
    known = None if isinstance(train, Stream) else splits["train"]["y"]
    weights = class_weights(class_weight, classes, known)
    each = classified if loss is None else guessed
    measures = Measures(each, classes, "loss", loss, own, weights)
    network = Network(model, precision, input_functions(preprocess, augment))
    task = _supervised(
        network,
        splits,
        measures=measures,
        metrics=(("accuracy", "max"), ("loss", "min"), *modes),
        batch_size=batch_size,
        shuffle=shuffle,
        drop_last=drop_last,
        optimizer=optimizer,
    )
    task = dataclasses.replace(task, classes=classes.labels, columns=columns_of(train))
    recipe = _recipe("classification", network, measures, task)
    looked_up = is_ours(model) and are_looked_up(classes, model.classes)
    if recipe is not None and (looked_up or not classes.plain):
        # a directory keeps the numbers of labels: these are what they stand for
        labels: tuple[str, Any] = ("labels", classes.labels)
        recipe = recipe._replace(arguments=(*recipe.arguments, labels))
    return with_recipe(task, recipe)


@guarded(
    shuffle=FLAG,
    drop_last=FLAG,
    loss=optional(FUNCTION),
    preprocess=optional(FUNCTION),
    augment=optional(FUNCTION),
)
def regression(
    model: Any,
    *,
    train: Split | Stream,
    valid: Split | None = None,
    test: Split | None = None,
    batch_size: int = 64,
    shuffle: bool = True,
    drop_last: bool = True,
    optimizer: Callable[..., Any] = optimizers.standard,
    precision: str | None = None,
    loss: Callable[..., Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    preprocess: Callable[..., PyTree] | None = None,
    augment: Callable[..., PyTree] | None = None,
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
        ``[batch]``: `jaxtune.models.MLP` with ``classes=1``.
      train: ``(x [N, ...], y [N] or [N, k])``, targets as real numbers, and weights
        ``[N]`` if there are some; or, for data that do not fit on a device, a stream
        of them, see `jaxtune.data.stream`. ``x`` may be a tuple or a dict of arrays.
      valid: the split that trials are scored on; a search with folds needs none.
      test: the split that the chosen trial is scored on once.
      batch_size: examples per step if the space has no ``batch_size``.
      shuffle: whether every lane trains on its own random order in every epoch; if not,
        all lanes train on the rows as they are, as with a stream.
      drop_last: whether an epoch has whole batches only; with ``shuffle`` it leaves out
        other rows each time. If not, the last batch of an epoch has what is left.
      optimizer: ``hparams -> optax.GradientTransformation``; it may ask for ``steps``,
        ``epochs``, ``examples`` and the model's ``multipliers`` by name. Or a name such
        as ``"adamw"``, or a transformation.
      precision: ``"bfloat16"`` or ``"float16"`` computes the model in it, with
        parameters, optimiser and loss in float32. On a CPU this is slower.
      loss: ``(outputs, y) -> [batch]``, or one number for a batch, in place of the
        squared error; ``loss`` is then the first metric. It gets the outputs as the
        model returns them, in any form.
      metrics: as in `classification`.
      preprocess: ``x -> x`` or ``(x, hparams) -> x``, applied to a batch of any split
        before the model, on the device. So images stay bytes in memory.
      augment: ``(key, x) -> x`` or ``(key, x, hparams) -> x``, applied after it, in
        training only.

    Returns:
      A task with the metrics ``mse`` (min) and ``mae`` (min).

    Raises:
      ValueError: data that cannot be trained on; the message names the array and row.
    """
    splits = _through(named_splits(train, valid, test), _real)
    _check_targets(splits)
    own, modes = read_metrics(metrics, ("mse", "mae", "loss"))
    check_loss(loss)
    first = () if loss is None else (("loss", "min"),)
    measures = Measures(regressed, None, "mse", loss, own)
    network = Network(model, precision, input_functions(preprocess, augment))
    task = _supervised(
        network,
        splits,
        measures=measures,
        metrics=(*first, ("mse", "min"), ("mae", "min"), *modes),
        batch_size=batch_size,
        shuffle=shuffle,
        drop_last=drop_last,
        optimizer=optimizer,
    )
    task = dataclasses.replace(task, columns=columns_of(train))
    return with_recipe(task, _recipe("regression", network, measures, task))


def _coded_splits(splits: dict[str, Any]) -> tuple[Classes, dict[str, Any]]:
    """Return the classes of all splits, and the splits with labels as numbers."""
    parts = {n: _first_rows(n, split) for n, split in splits.items() if split}
    named = {f"{n} y": check_labels(f"{n} y", part["y"]) for n, part in parts.items()}
    streamed = isinstance(splits["train"], Stream)
    classes = find_classes(named, fill=streamed)

    def code(name: str, batch: PyTree) -> PyTree:
        labels = check_labels(f"{name} y", batch["y"])
        codes = coded(f"{name} y", labels, classes)
        # what is on the device already stays there
        return batch if codes is labels else batch | {"y": codes}

    return classes, _through(splits, code)


def _check_targets(splits: dict[str, Any]) -> None:
    """Refuse targets of another width than those that are trained on."""
    wanted = at_hand(splits["train"])["y"].shape[1:]
    for name in ("valid", "test"):
        found = wanted if splits[name] is None else splits[name]["y"].shape[1:]
        if math.prod(found) != math.prod(wanted):
            raise ValueError(
                f"{name}['y'] has rows of shape {found}, but train['y'] has {wanted}. "
                "Every split needs the same targets."
            )


def _through(
    splits: dict[str, Any], change: Callable[[str, PyTree], PyTree]
) -> dict[str, Any]:
    """Apply a function to every split, and to every batch of a stream."""

    def of_batch(name: str, batch: Any) -> PyTree:
        return change(name, named_arrays(name, batch, "pairs (x, y)"))

    changed = dict(splits)
    for name, split in splits.items():
        if isinstance(split, Stream):
            changed[name] = split.through(of_batch)
        elif split is not None:
            changed[name] = change(name, split)
    return changed


def _first_rows(name: str, split: Any) -> PyTree:
    return named_arrays(name, split.head) if isinstance(split, Stream) else split


def _real(name: str, batch: PyTree) -> PyTree:
    targets = np.asarray(batch["y"])
    check_numbers(f"{name} y", targets)
    # whole numbers are targets too; to_32_bits makes float32 of all that fits
    return batch | {"y": targets.astype(np.float64)}


def _supervised(
    network: Network,
    splits: dict[str, Any],
    *,
    measures: Measures,
    metrics: tuple[tuple[str, str], ...],
    batch_size: int,
    shuffle: bool,
    drop_last: bool,
    optimizer: Callable[..., Any],
) -> Task:
    model, x = network.model, at_hand(splits["train"])["x"]
    if network.inputs.preprocess is None:
        warn_about_bytes(x)
    functions = functions_of(network, measures, x)
    return check_data(
        Task(
            **functions._asdict(),
            optimizer=optimizer,
            batch_size=batch_size,
            shuffle=shuffle,
            drop_last=drop_last,
            metrics=metrics,
            stateful=True,
            limits=tuple(getattr(model, "limits", {}).items()),
            padding=tuple(getattr(model, "padding", {}).items()),
            **splits,
        )
    )


def _recipe(
    name: str, network: Network, measures: Measures, task: Task
) -> Recipe | None:
    """Return the recipe that makes the task from its data, if all of it is ours."""
    model = network.model
    ours = is_ours(model) and task.optimizer is optimizers.standard
    changed = measures.own or measures.class_weights or network.inputs != Inputs()
    if not ours or changed or task.stream is not None:
        return None
    fields = [f.name for f in dataclasses.fields(model) if f.init]
    own = tuple((n, getattr(model, n)) for n in fields if n not in ("parent", "name"))
    arguments = (("model", Recipe(type(model).__name__, own)),)
    rest: tuple[tuple[str, Any], ...]
    rest = (("batch_size", task.batch_size), ("shuffle", task.shuffle))
    if not task.drop_last:  # recipes on disk are older than it
        rest = (*rest, ("drop_last", False))
    return Recipe(name, (*arguments, *rest, ("precision", network.precision)))
