"""Labels of a classification, and the outputs that they belong to.

Labels reach the device as whole numbers: integers as they are, strings as places in the
sorted classes, booleans as 0 and 1. If a model has as many outputs as there are
different labels, each label has the place of its rank. Otherwise a label is a place
itself, and must be a whole number from 0. For labels 0 ... K-1 and K outputs both are
the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxtune.types import Array

BALANCED = "balanced"
SHOWN = 10  # labels in a message


class Classes(NamedTuple):
    """The labels of a classification.

    Args:
      labels: all different ones, ascending, as the user wrote them.
      codes: the same as the whole numbers that are on the device.
      lowest: the smallest code, and the place where it was found.
      highest: the same of the largest.
    """

    labels: tuple[Any, ...]
    codes: tuple[int, ...]
    lowest: tuple[int, str]
    highest: tuple[int, str]

    @property
    def plain(self) -> bool:
        """Tell whether labels are whole numbers from 0, as up to version 0.2.0."""
        whole = all(type(label) is int for label in self.labels)
        return whole and self.lowest[0] >= 0

    def shown(self) -> str:
        """Return the labels for a message."""
        more = ", ..." if len(self.labels) > SHOWN else ""
        return ", ".join(map(repr, self.labels[:SHOWN])) + more


def find_classes(named: Mapping[str, np.ndarray], fill: bool) -> Classes:
    """Return the classes of all splits together.

    Args:
      named: name of an array in messages to its labels, checked by `check_labels`.
      fill: whether numbers from 0 up to the highest are classes, seen or not; for a
        stream, most of whose rows are not known yet.

    Raises:
      ValueError: strings in one array and numbers in another.
    """
    kinds = {name: _kind(labels) for name, labels in named.items()}
    (first, kind), *others = kinds.items()
    for name, other in others:
        if other != kind:
            raise ValueError(f"{first} has {kind}, but {name} has {other}. Use one.")
    found = np.unique(np.concatenate([np.unique(v) for v in named.values()]))
    low, high = (_where(named, found[i]) for i in (0, -1))
    if kind == "strings":
        labels = tuple(str(label) for label in found)
        codes: tuple[int, ...] = tuple(range(len(labels)))
        return Classes(labels, codes, (0, low), (codes[-1], high))
    if kind == "booleans":
        return Classes((False, True), (0, 1), (0, low), (1, high))
    codes = tuple(int(label) for label in found)
    if fill and codes[0] == 0:
        codes = tuple(range(codes[-1] + 1))
    return Classes(codes, codes, (codes[0], low), (codes[-1], high))


def check_labels(name: str, labels: Any) -> np.ndarray:
    """Return labels as a NumPy array ``[N]``; see `jaxtune.classification`.

    Args:
      name: name of the array in messages.
      labels: an array of `containers.as_array`.

    Raises:
      ValueError: another shape, no rows, or labels of another type.
    """
    array = np.asarray(labels)
    if array.ndim != 1:
        raise ValueError(
            f"{name} has shape {array.shape}. Use labels of shape (N,), not one-hot."
        )
    if array.size == 0:
        raise ValueError(f"{name} is empty. Every split needs examples.")
    if array.dtype.kind not in "iubU":
        raise ValueError(
            f"{name} has dtype {array.dtype}. Use integer labels, strings or booleans."
        )
    return array


def coded(name: str, labels: np.ndarray, classes: Classes) -> np.ndarray:
    """Return labels as the numbers for the device.

    Args:
      name: name of the array in messages.
      labels: from `check_labels`.
      classes: all classes.

    Raises:
      ValueError: a label that was not known at the start, in a batch of a stream.
    """
    text = labels.dtype.kind == "U"
    known = np.asarray(classes.labels if text else classes.codes)
    if text != isinstance(classes.labels[0], str):
        raise ValueError(
            f"{name} has {_kind(labels)}, but other splits do not. Use one type."
        )
    new = ~np.isin(labels, known)
    if new.any():
        row = max(np.flatnonzero(new), key=lambda place: labels[place])
        raise ValueError(
            f"{name} in row {row}: the label is {labels[row].item()!r}, but those in "
            "valid and in the first rows of the stream are "
            f"{classes.shown()}. Put every class into valid."
        )
    if text:
        return np.searchsorted(known, labels).astype(np.int32)
    return labels.astype(np.int32) if labels.dtype == bool else labels


def are_looked_up(classes: Classes, outputs: int, batch: Any = "batch") -> bool:
    """Return whether labels have to be looked up among the classes, or are places.

    Args:
      classes: all classes.
      outputs: how many outputs the model has; 1 for one logit of two classes.
      batch: rows in a batch, for the message.

    Raises:
      ValueError: numbers of outputs and classes that do not belong together.
    """
    count = max(outputs, 2)
    if classes.lowest[0] >= 0 and classes.highest[0] < count:
        return False
    if len(classes.codes) == count:
        return True
    different = f"{len(classes.codes)} different labels ({classes.shown()})"
    if outputs == 1:
        raise ValueError(
            f"labels: there are {different}, but the model's outputs have one number "
            "for each row, a logit of two classes. They must be (batch, classes)."
        )
    code, where = classes.lowest if classes.lowest[0] < 0 else classes.highest
    raise ValueError(
        f"labels: {where} is {classes.labels[classes.codes.index(code)]!r}, but the "
        f"model's outputs have shape ({batch}, {outputs}). It must be (batch, classes) "
        f"with one output for each of the {different}, or for each number from 0."
    )


def places(classes: Classes, outputs: int, labels: Array) -> Array:
    """Return the places ``[batch]`` of labels among the outputs of a model.

    Labels that are places are returned as they are; of others, -1 is none of the
    classes. The arguments and the error are those of `are_looked_up`.
    """
    if not are_looked_up(classes, outputs, labels.shape[0]):
        return labels
    place, found = _looked_up(classes, labels)
    return jnp.where(found, place, -1)


def class_weights(
    given: Any, classes: Classes, train: np.ndarray | None
) -> tuple[float, ...] | None:
    """Return one weight for each class, in their order.

    Args:
      given: ``None``, ``"balanced"``, or label to weight; labels left out have 1.
      classes: all classes.
      train: labels of the training data; ``None`` for a stream.

    Raises:
      ValueError: anything else, unknown labels, or weights that are no numbers from 0.
    """
    if given is None:
        return None
    if isinstance(given, str) and given == BALANCED:
        if train is None:
            raise ValueError(
                "class_weight='balanced' counts the labels, and those of a stream are "
                "not known. Use {label: weight}."
            )
        return _balanced(classes, train)
    if not isinstance(given, Mapping):
        raise ValueError(
            f"class_weight: got {given!r}. Use 'balanced', or {{label: weight}}."
        )
    # 1 == True == np.int64(1), which have one hash
    unknown = [label for label in given if label not in classes.labels]
    if unknown:
        raise ValueError(
            f"class_weight: {unknown[0]!r} is none of the labels {classes.shown()}."
        )
    weights = [given.get(label, 1.0) for label in classes.labels]
    for label, weight in zip(classes.labels, weights, strict=True):
        number = isinstance(weight, int | float | np.integer | np.floating)
        if not number or not 0 <= weight < np.inf:
            raise ValueError(
                f"class_weight: {label!r} has {weight!r}. Use finite numbers from 0."
            )
    return tuple(float(weight) for weight in weights)


def weights_of(classes: Classes, weights: tuple[float, ...], labels: Array) -> Array:
    """Return the weight ``[batch]`` of each label; NaN for a label that is no class."""
    place, found = _looked_up(classes, labels)
    each = jnp.asarray(weights, jnp.float32)[place]
    return jnp.where(found, each, jnp.nan)


def _looked_up(classes: Classes, labels: Array) -> tuple[Array, Array]:
    """Return the rank of each label, and whether it is a class at all."""
    known = jnp.asarray(classes.codes, jnp.int32)  # small labels may have small types
    place = jnp.minimum(jnp.searchsorted(known, labels), len(classes.codes) - 1)
    return place, known[place] == labels


def _balanced(classes: Classes, train: np.ndarray) -> tuple[float, ...]:
    """Return ``N / (K * count)``, as scikit-learn's ``"balanced"``."""
    counts = [int((train == code).sum()) for code in classes.codes]
    seen = sum(count > 0 for count in counts)
    # a class that only other splits have is never trained on
    return tuple(len(train) / (seen * n) if n else 1.0 for n in counts)


def _kind(labels: np.ndarray) -> str:
    return {"U": "strings", "b": "booleans"}.get(labels.dtype.kind, "integers")


def _where(named: Mapping[str, np.ndarray], label: Any) -> str:
    """Return where a label was found first, in the last array that has it."""
    rows = {name: np.flatnonzero(labels == label) for name, labels in named.items()}
    name, found = [(name, found) for name, found in rows.items() if found.size][-1]
    return f"{name} in row {int(found[0])}"
