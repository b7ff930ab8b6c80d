"""Labels, probabilities and plain values out of what a model returns."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.environment import promoting
from jaxtune.tasks.labels import Classes, are_looked_up
from jaxtune.tasks.outputs import prediction
from jaxtune.types import Array, PyTree


def labels_of(classes: Classes, outputs: PyTree) -> np.ndarray:
    """Return the most likely label ``[N]`` of each example, as the user wrote labels.

    Args:
      classes: of the task.
      outputs: logits ``[N, classes]``, or the one logit ``[N]`` or ``[N, 1]`` of the
        second of two classes.

    Raises:
      ValueError: outputs that are no logits of these classes, or not finite.
    """
    logits = np.asarray(_logits(outputs))
    wrong = ~np.isfinite(logits.reshape(len(logits), -1)).all(axis=1)
    if wrong.any():
        raise ValueError(
            f"model: its outputs for row {int(np.argmax(wrong))} of x are not finite, "
            "so there is no label. Look at the row; a number of a token or category "
            "may be larger than in training."
        )
    single = logits.ndim == 1
    looked_up = are_looked_up(classes, 1 if single else logits.shape[1])
    known = np.asarray(classes.labels)
    if not (single or looked_up) and known.dtype.kind == "U":
        logits = logits[:, : len(known)]  # the others belong to no label
    place = (logits > 0).astype(int) if single else logits.argmax(axis=1)
    # a label that is a whole number from 0 is its own place, seen in the data or not
    if looked_up or known.dtype.kind in "Ub":
        return known[place]
    return place.astype(known.dtype)


@promoting
def probabilities_of(outputs: PyTree) -> Array:
    """Return probabilities ``[N, classes]`` of logits; two columns for one logit."""
    logits = _logits(outputs)
    if logits.ndim == 1:
        second = jax.nn.sigmoid(logits)
        return jnp.stack([1 - second, second], axis=1)
    return jax.nn.softmax(logits, axis=1)


def _logits(outputs: PyTree) -> Array:
    """Return logits ``[N, classes]``, or ``[N]`` of the second of two classes."""
    logits = prediction(outputs)
    if logits.ndim not in (1, 2):
        raise ValueError(
            f"model: its outputs have shape {logits.shape}, which are no logits of "
            "classes. Use apply(x), which returns them as they are."
        )
    single = logits.ndim == 2 and logits.shape[1] == 1
    return logits[:, 0] if single else logits
