"""Outputs of a model: the array that predicts, and the metrics of each example."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxtune.environment import promoting
from jaxtune.tasks.labels import Classes, places
from jaxtune.types import Array, PyTree

NAMES = ("logits", "outputs", "output")


def prediction(outputs: PyTree) -> Array:
    """Return the one array that a model returns, whatever it is wrapped in.

    Args:
      outputs: an array, a tuple of one, or a dict or dataclass that has only one entry,
        or one called ``logits``, ``outputs`` or ``output``.

    Raises:
      ValueError: anything else.
    """
    if isinstance(outputs, jax.Array | np.ndarray):
        return jnp.asarray(outputs)
    named = _entries(outputs)
    if named is not None:
        obvious = [name for name in NAMES if name in named]
        # a loss of the model's own, which would be dropped here, is meant to count
        own = [name for name in named if "loss" in str(name)]
        if len(named) == 1 or (obvious and not own):
            return prediction(named[obvious[0] if obvious else next(iter(named))])
    elif isinstance(outputs, tuple | list) and len(outputs) == 1:
        return prediction(outputs[0])
    raise ValueError(
        f"model: it returns {_described(outputs, named)}. Return one array, or a dict "
        "with the key 'logits'; or give loss= and metrics=, functions (outputs, y) "
        "that get all of it."
    )


@promoting
def classified(classes: Classes, outputs: Array, labels: Array) -> dict[str, Array]:
    """Return the metrics of each example, from logits or the one logit of class 1."""
    logits, place = _matched(classes, outputs, labels)
    if logits.ndim == 1:
        loss = optax.sigmoid_binary_cross_entropy(logits, place.astype(logits.dtype))
    else:
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, place)
    if place is not labels:
        loss = jnp.where(place < 0, jnp.nan, loss)
    return {"accuracy": _right(logits, place, place is not labels), "loss": loss}


@promoting
def guessed(classes: Classes, outputs: Array, labels: Array) -> dict[str, Array]:
    """Return the accuracy alone of each example, where the loss is the user's."""
    logits, place = _matched(classes, outputs, labels)
    return {"accuracy": _right(logits, place, place is not labels)}


def _matched(classes: Classes, outputs: Array, labels: Array) -> tuple[Array, Array]:
    """Return logits ``[batch, classes]`` or ``[batch]``, and the places of labels."""
    single = outputs.ndim == 1 or (outputs.ndim == 2 and outputs.shape[1] == 1)
    if outputs.ndim not in (1, 2) or outputs.shape[0] != labels.shape[0]:
        raise ValueError(
            f"labels: y has shape {labels.shape} in a batch, but the model's outputs "
            f"have {outputs.shape}. It must be (batch, classes), or (batch,) or "
            "(batch, 1) for two classes."
        )
    place = places(classes, 1 if single else outputs.shape[1], labels)
    return outputs.reshape(len(outputs)) if single else outputs, place


def _right(logits: Array, place: Array, looked_up: bool) -> Array:
    # a lane that diverged has no prediction: argmax of NaN would be class 0
    if logits.ndim == 1:
        known, guess = jnp.isfinite(logits), (logits > 0).astype(place.dtype)
    else:
        known, guess = jnp.isfinite(logits).all(1), jnp.argmax(logits, 1)
    if looked_up:  # data exchanged since may have a label that is no class
        known = known & (place >= 0)
    return jnp.where(known, guess == place, jnp.nan)


@promoting
def regressed(classes: None, outputs: Array, targets: Array) -> dict[str, Array]:
    """Return the metrics of each example."""
    del classes
    if outputs.shape == (*targets.shape, 1):
        outputs = outputs[..., 0]
    if outputs.shape != targets.shape:
        raise ValueError(
            f"targets: y has shape {targets.shape} in a batch, but the model's "
            f"outputs have {outputs.shape}. Make them the same."
        )
    error = (outputs - targets).reshape(len(targets), -1)
    return {"mse": (error**2).mean(1), "mae": jnp.abs(error).mean(1)}


def _entries(outputs: Any) -> Mapping[Any, Any] | None:
    """Return what has names: of a dict, a named tuple or a dataclass."""
    if isinstance(outputs, Mapping):
        return {name: v for name, v in outputs.items() if v is not None}
    if hasattr(outputs, "_fields"):
        return {n: getattr(outputs, n) for n in outputs._fields}
    if dataclasses.is_dataclass(outputs):
        return {f.name: getattr(outputs, f.name) for f in dataclasses.fields(outputs)}
    return None


def _described(outputs: Any, named: Mapping[Any, Any] | None) -> str:
    kind = type(outputs).__name__
    if named is not None:
        return f"a {kind} of {', '.join(map(str, named)) or 'nothing'}"
    if isinstance(outputs, tuple | list):
        return f"a {kind} of {len(outputs)}"
    return f"a {kind}"
