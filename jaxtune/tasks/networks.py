"""The functions of a task of supervised learning, from any model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.recent import MOST
from jaxtune.tasks.adapters import as_model
from jaxtune.tasks.arrays import check_told_apart
from jaxtune.tasks.calling import Model
from jaxtune.tasks.inputs import Inputs, example_dtype, example_of
from jaxtune.tasks.measuring import Measures, all_outputs, loss_of, metrics_of
from jaxtune.types import Array, Key, PyTree

PRECISIONS = ("bfloat16", "float16")


class Network(NamedTuple):
    """The model of a task as the user gave it, and what stands before it.

    Args:
      model: see `adapters.as_model`.
      precision: it is computed in, or ``None``.
      inputs: the functions that its inputs pass.
    """

    model: Any
    precision: str | None
    inputs: Inputs


@dataclasses.dataclass(frozen=True, eq=False)
class Predict:
    """The ``predict`` of a task of supervised learning: outputs of a whole split.

    Args:
      network: the model, and what stands before it.
      measures: the loss and the metrics of its outputs.
      apply: ``(params, state, x, hparams) -> outputs``, in evaluation.
    """

    network: Network
    measures: Measures
    apply: Callable[..., PyTree]

    def __call__(
        self, params: PyTree, state: PyTree, split: PyTree, hparams: Mapping[str, Any]
    ) -> PyTree:
        """Return the outputs as the model returns them, for ``split["x"]``."""

        def forward(x: PyTree) -> PyTree:
            return self.apply(params, state, x, hparams)

        return all_outputs(forward, split["x"])


class Functions(NamedTuple):
    """The functions of a task."""

    init: Callable[..., Any]
    loss: Callable[..., Any]
    evaluate: Callable[..., Any]
    predict: Predict
    multipliers: Callable[..., Any] | None


def functions_of(network: Network, measures: Measures, x: PyTree) -> Functions:
    """Return the functions of a task.

    Args:
      network: the model and what stands before it.
      measures: its loss and its metrics.
      x: inputs of the training data.

    Returns:
      The same functions for the same model of ours, so that a new task compiles
      nothing.

    Raises:
      ValueError: an unknown precision, or inputs that the model cannot take.
    """
    _check_precision(network.precision)
    exact = network.inputs.preprocess is not None
    if not is_ours(network.model):
        return _functions(network, measures, example_of(x, exact))
    _check_one_array(network, x)
    dtype = jnp.dtype(x.dtype if exact else example_dtype(x))
    # our models look at no more than the shape and dtype of their input
    if _is_hashable(network, measures):
        return _shared(network, measures, x.shape[1:], dtype)
    return _functions(network, measures, jnp.zeros((1, *x.shape[1:]), dtype))


def _functions(network: Network, measures: Measures, example: PyTree) -> Functions:
    """Build the functions of a task; ``example [1, ...]`` has the shape of an input."""
    model, inputs = _as_model(network), network.inputs
    predict = predict_of(network, measures)

    def init(key: Key, hparams: Mapping[str, Any]) -> tuple[PyTree, PyTree]:
        return model.init(key, inputs.prepared(example, hparams), hparams)

    def loss(
        params: PyTree,
        state: PyTree,
        batch: PyTree,
        key: Key,
        hparams: Mapping[str, Any],
    ) -> tuple[Array, PyTree]:
        x = inputs.varied(batch["x"], key, hparams)
        outputs, state = model.apply(params, state, x, key, hparams, True)
        return loss_of(measures, outputs, batch), state

    def evaluate(
        params: PyTree, state: PyTree, split: PyTree, hparams: Mapping[str, Any]
    ) -> dict[str, Array]:
        def forward(x: PyTree) -> PyTree:
            return predict.apply(params, state, x, hparams)

        return metrics_of(measures, forward, split)

    return Functions(init, loss, evaluate, predict, model.multipliers)


def predict_of(network: Network, measures: Measures) -> Predict:
    """Return the function that predicts with a network."""
    model, inputs = _as_model(network), network.inputs

    def apply(
        params: PyTree, state: PyTree, x: PyTree, hparams: Mapping[str, Any]
    ) -> PyTree:
        x = inputs.prepared(x, hparams)
        return model.apply(params, state, x, None, hparams, False)[0]

    return Predict(network, measures, apply)


@lru_cache(maxsize=MOST)
def _shared(
    network: Network, measures: Measures, shape: tuple[int, ...], dtype: Any
) -> Functions:
    return _functions(network, measures, jnp.zeros((1, *shape), dtype))


def _as_model(network: Network) -> Model:
    """Return a model as functions, which compute in its precision if there is one."""
    model = as_model(network.model)
    if network.precision is None:
        return model
    dtype = jnp.dtype(network.precision)

    def cast(tree: PyTree, to: Any = dtype) -> PyTree:
        return jax.tree.map(
            lambda a: a.astype(to) if jnp.issubdtype(a.dtype, jnp.floating) else a,
            tree,
        )

    def apply(
        params: PyTree, state: PyTree, x: PyTree, *rest: Any
    ) -> tuple[PyTree, PyTree]:
        outputs, new = model.apply(cast(params), state, cast(x), *rest)
        # statistics keep their dtype, as everything must that a loop carries
        new = jax.tree.map(lambda a, old: a.astype(old.dtype), new, state)
        return cast(outputs, jnp.float32), new

    return model._replace(apply=apply)


def _check_precision(precision: Any) -> None:
    if precision not in (None, *PRECISIONS):
        raise ValueError(
            f"precision: got {precision!r}. Use one of {', '.join(PRECISIONS)}, or "
            "None for float32."
        )


def is_ours(model: Any) -> bool:
    """Return whether a model is one of `jaxtune.models`."""
    return type(model).__module__.startswith("jaxtune.models.")


def _is_hashable(*things: Any) -> bool:
    try:
        hash(things)
    except TypeError:  # such as a user's loss that is an object
        return False
    return True


def _check_one_array(network: Network, x: PyTree) -> None:
    if not hasattr(x, "dtype"):
        name = type(network.model).__name__
        raise ValueError(
            f"train: x is a {type(x).__name__} of arrays, and jaxtune.models.{name} "
            "takes one array. Use a model of your own, or put them side by side."
        )
    wide = x.dtype.kind in "iu" and x.dtype.itemsize >= 4
    if wide and network.inputs.preprocess is None:
        whole = np.asarray(x)
        check_told_apart("train['x']", whole, whole.astype(np.float32))
