"""The loss of a batch and the metrics of a split, ours and the user's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtune.tasks.labels import weights_of
from jaxtune.tasks.outputs import prediction
from jaxtune.tasks.pairs import check_pairs
from jaxtune.tasks.scalars import TAKEN_OUT
from jaxtune.types import Array, PyTree

CHUNK = 2048  # examples evaluated at once, to bound the memory of activations

UNTRACED = (*TAKEN_OUT, jax.errors.NonConcreteBooleanIndexError)


class OneForABatch(ValueError):
    """A loss of the user that has no number for each example."""


Forward = Callable[[PyTree], PyTree]
"""``x -> outputs``: a model with its parameters, in evaluation."""


class Measures(NamedTuple):
    """The loss and the metrics of a task.

    It holds functions with their first arguments apart: partials and closures would be
    compared by identity, and no second task would find what the first has compiled.

    Args:
      each: ``(known, outputs, y) -> {metric: [batch]}``, of this kind of task.
      known: the first argument of ``each``: the classes, if there are some.
      objective: name of the metric that is the loss, unless ``loss`` is given.
      loss: the user's ``(outputs, y) -> [batch] or []``.
      metrics: names and functions ``(outputs, y) -> []`` of the user.
      class_weights: one weight for each class, in training only.
    """

    each: Callable[[Any, Array, Array], dict[str, Array]]
    known: Any
    objective: str
    loss: Callable[..., Any] | None = None
    metrics: tuple[tuple[str, Callable[..., Any]], ...] = ()
    class_weights: tuple[float, ...] | None = None

    @property
    def own(self) -> bool:
        """Tell whether the user gave functions, which see a whole split at once."""
        return self.loss is not None or bool(self.metrics)


def takes(function: Callable[..., Any], count: int, name: str) -> bool:
    """Return whether a function wants one more argument than ``count``.

    Args:
      function: of the user.
      count: how many arguments it gets in any case.
      name: of the further one; a parameter of this name, or a further one without a
        default, asks for it.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # built-in functions may have no signature
        return False
    if any(parameter.name == name for parameter in parameters):
        return True
    places = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    further = [p for p in parameters if p.kind in places][count : count + 1]
    return any(p.default is inspect.Parameter.empty for p in further)


def call(function: Callable[..., Any], given: tuple[Any, ...], **more: Any) -> Any:
    """Call a function of the user with the one further argument, if it wants it."""
    ((name, value),) = more.items()
    if not takes(function, len(given), name):
        return function(*given)
    named = inspect.signature(function).parameters.get(name)
    if named is not None and named.kind is not inspect.Parameter.POSITIONAL_ONLY:
        return function(*given, **more)
    return function(*given, value)


def loss_of(measures: Measures, outputs: PyTree, batch: PyTree) -> Array:
    """Return the loss of a batch, the mean over its examples of weight times loss."""
    y = batch["y"]
    if measures.loss is None:
        found = measures.each(measures.known, prediction(outputs), y)
        each = found[measures.objective]
    else:
        each = _own_loss(measures.loss, outputs, y)
    weights = batch.get("weights")
    if measures.class_weights is not None:
        of_class = weights_of(measures.known, measures.class_weights, y)
        weights = of_class if weights is None else weights * of_class
    if weights is None:
        return each.mean()
    return (_by_example(each) * weights).mean()


def metrics_of(measures: Measures, forward: Forward, split: PyTree) -> dict[str, Array]:
    """Return the metrics of a split.

    Args:
      measures: of the task.
      forward: the model in evaluation.
      split: ``x``, ``y`` and perhaps ``weights``, of ``N`` examples.

    Returns:
      Metrics ``[]``: means over the examples, weighted if the split has weights, and
      what the user's functions return for all outputs of the split together.
    """
    if split.get("weights") is None and not measures.own:
        return _means(measures, forward, split)
    return metrics_of_outputs(measures, all_outputs(forward, split["x"]), split)


def metrics_of_outputs(
    measures: Measures, outputs: PyTree, split: PyTree
) -> dict[str, Array]:
    """Return the metrics of a split from its outputs, see `metrics_of`.

    Args:
      measures: of the task.
      outputs: of all ``N`` examples.
      split: their ``y`` and perhaps ``weights``.
    """
    weights, y = split.get("weights"), split["y"]
    found = dict(_each_if_possible(measures, outputs, y))
    if measures.loss is not None:
        each = _own_loss(measures.loss, outputs, y)
        found["loss"] = each if weights is None else _by_example(each)
    values = {name: _mean(each, weights) for name, each in found.items()}
    for name, function in measures.metrics:
        measure, given = _own_metric(name, function, y, weights)
        value = jnp.asarray(_called(f"metrics: {name!r}", measure, outputs, *given))
        if value.shape != ():
            raise ValueError(
                f"metrics: {name!r} has shape {value.shape}. Return one number for the "
                "whole split, such as the mean."
            )
        # a lane that diverged has no ranks and no counts, though they can be computed
        values[name] = jnp.where(_is_nan(outputs), jnp.nan, value)
    return values


def _own_loss(function: Callable[..., Any], outputs: PyTree, y: Array) -> Array:
    if takes(function, 2, "hparams"):
        raise ValueError(
            "loss: it gets (outputs, y). A loss that reads hyperparameters belongs to "
            "a jt.Task, or its numbers to the outputs of the model."
        )
    each = jnp.asarray(_called("loss", function, outputs, y))
    if each.shape not in ((), y.shape[:1]):
        raise ValueError(
            f"loss: got shape {each.shape} for a batch of {y.shape[0]}. Return one "
            "number for each example, [batch], or one for the batch."
        )
    return each


def _by_example(each: Array) -> Array:
    if each.ndim == 0:
        raise OneForABatch(
            "loss: got one number for a batch, and weights belong to examples. Return "
            "one number for each example, [batch]."
        )
    return each


def _own_metric(
    name: str, function: Callable[..., Any], y: Array, weights: Array | None
) -> tuple[Callable[..., Any], tuple[Array, ...]]:
    """Return a metric and what follows the outputs: weights, if it takes them."""
    if takes(function, 2, "weights"):
        weights = jnp.ones(y.shape[:1], jnp.float32) if weights is None else weights

        def weighted(outputs: PyTree, y: Array, weights: Array) -> Any:
            return call(function, (outputs, y), weights=weights)

        return weighted, (y, weights)
    if weights is not None:
        raise ValueError(
            f"metrics: {name!r} takes (outputs, y), and the split has weights. Use a "
            "function (outputs, y, weights)."
        )
    return function, (y,)


def traceable(where: str, function: Callable[[], Any]) -> Any:
    """Call a function of the user, and say what is wrong if it cannot be traced."""
    try:
        return function()
    except UNTRACED as error:
        raise ValueError(
            f"{where} looks at the values of its arguments, or passes them to NumPy or "
            "scikit-learn, while it is compiled. Use jax.numpy and jnp.where, or "
            "jax.pure_callback around what is not JAX."
        ) from error


def _called(
    where: str, function: Callable[..., Any], outputs: PyTree, *rest: Array
) -> Any:
    """Call a loss or a metric, which must not combine a column with a row."""
    check_pairs(where, function, outputs, rest)
    return traceable(where, partial(function, outputs, *rest))


def _each_if_possible(
    measures: Measures, outputs: PyTree, y: Array
) -> Mapping[str, Array]:
    """Return our own metrics, if the outputs have the form for which they are made."""
    try:
        return measures.each(measures.known, prediction(outputs), y)
    except ValueError:
        if measures.loss is None:
            raise
        return {}  # the user's loss may need outputs of any form


def _mean(each: Array, weights: Array | None) -> Array:
    if weights is None:
        return each.mean()
    return (each * weights).sum() / weights.sum()


def _is_nan(outputs: PyTree) -> Array:
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(outputs)]
    real = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.asarray([jnp.isnan(leaf).any() for leaf in real] or [False]).any()


def _cut(examples: int) -> tuple[int, int]:
    """Return how many chunks a split is evaluated in, and their size."""
    chunks = -(-examples // CHUNK)
    return chunks, -(-examples // chunks)


def all_outputs(forward: Forward, x: PyTree) -> PyTree:
    """Return the outputs for all inputs ``[N, ...]``, computed in chunks."""
    examples = jax.tree.leaves(x)[0].shape[0]
    chunks, size = _cut(examples)
    if chunks == 1:
        return forward(x)

    def of(chunk: Array) -> PyTree:
        ids = jnp.minimum(chunk * size + jnp.arange(size), examples - 1)
        return forward(jax.tree.map(lambda a: a[ids], x))

    def joined(parts: Array) -> Array:
        if parts.ndim > 1 and parts.shape[1] == size:
            return parts.reshape(chunks * size, *parts.shape[2:])[:examples]
        return parts.mean(0)  # such as a loss of the model's own

    return jax.tree.map(joined, jax.lax.map(of, jnp.arange(chunks)))


def _means(measures: Measures, forward: Forward, split: PyTree) -> dict[str, Array]:
    """Return means over a split, in chunks; the last one is filled up and masked."""
    examples = split["y"].shape[0]
    chunks, size = _cut(examples)
    measure = partial(measures.each, measures.known)

    def add(chunk: Array | int, totals: Mapping[str, Array]) -> dict[str, Array]:
        ids = chunk * size + jnp.arange(size)
        rows = jax.tree.map(lambda a: a[jnp.minimum(ids, examples - 1)], split)
        values = measure(prediction(forward(rows["x"])), rows["y"])
        real = ids < examples
        return {k: totals[k] + jnp.where(real, v, 0).sum() for k, v in values.items()}

    # most splits fit one chunk, and need no loop
    if chunks == 1:
        values = measure(prediction(forward(split["x"])), split["y"])
        return {k: v.mean() for k, v in values.items()}
    # the names and dtypes of the metrics are known only after one abstract call
    shapes = jax.eval_shape(lambda: add(0, _Zeros()))
    zeros = {name: jnp.zeros(s.shape, s.dtype) for name, s in shapes.items()}
    totals = jax.lax.fori_loop(0, chunks, add, zeros)
    return {name: total / examples for name, total in totals.items()}


class _Zeros(dict[str, Any]):
    def __missing__(self, name: str) -> float:
        return 0.0
