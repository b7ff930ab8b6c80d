"""The way of an input to the model: prepared in every split, varied in training."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.checks import warn
from jaxtune.random import AUGMENT
from jaxtune.tasks.hparams import own_copy
from jaxtune.tasks.measuring import call, traceable
from jaxtune.types import Array, Key, PyTree

ROWS = 256  # rows that are looked at for a warning
WIDE = 64  # columns from which rows of whole numbers up to 255 count as images


def check_parameters(
    where: str, function: Callable[..., Any] | None, given: tuple[str, ...]
) -> None:
    """Raise ``ValueError`` for a function that cannot be called with what it gets.

    Args:
      where: its name in the message.
      function: of the user; ``None`` for none.
      given: names of the arguments that it gets, the hyperparameters aside.
    """
    if function is None:
        return
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions have none
        return
    for count in (len(given), len(given) + 1):
        try:
            signature.bind(*range(count))
        except TypeError:
            continue
        return
    if _binds_by_name(signature, len(given)):
        return
    usual = ", ".join(given)
    raise ValueError(
        f"{where}: the function takes {signature}. Use ({usual}) or ({usual}, hparams)."
    )


def _binds_by_name(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count), hparams=None)
    except TypeError:
        return False
    return True


class Inputs(NamedTuple):
    """The functions of the user that stand before a model.

    Args:
      preprocess: ``(x) -> x`` or ``(x, hparams) -> x``, of every split.
      augment: ``(key, x) -> x`` or ``(key, x, hparams) -> x``, in training only.
    """

    preprocess: Callable[..., PyTree] | None = None
    augment: Callable[..., PyTree] | None = None

    def prepared(self, x: PyTree, hparams: Mapping[str, Any]) -> PyTree:
        """Return inputs as the model gets them in evaluation."""
        if self.preprocess is None:
            return x
        return _traced("preprocess", self.preprocess, (x,), hparams)

    def varied(self, x: PyTree, key: Key, hparams: Mapping[str, Any]) -> PyTree:
        """Return inputs as the model gets them in training; the key is of one step."""
        x = self.prepared(x, hparams)
        if self.augment is None:
            return x
        stream = jax.random.fold_in(key, AUGMENT)
        new = _traced("augment", self.augment, (stream, x), hparams)
        if _shapes(new) != _shapes(x):
            raise ValueError(
                f"augment: it got {_shown(x)} and returned {_shown(new)}. Return the "
                "same shapes; what every split needs, such as a crop of the middle, "
                "belongs into preprocess=."
            )
        return new


def input_functions(preprocess: Any, augment: Any) -> Inputs:
    """Return what stands before a model; ``ValueError`` for other parameters."""
    check_parameters("preprocess", preprocess, ("x",))
    check_parameters("augment", augment, ("key", "x"))
    return Inputs(preprocess, augment)


def _traced(
    where: str,
    function: Callable[..., PyTree],
    given: tuple[Any, ...],
    hparams: Mapping[str, Any],
) -> PyTree:
    """Call a function of the user while a program is compiled, once for all steps."""
    before = _drawn_so_far()
    made = traceable(where, partial(call, function, given, hparams=own_copy(hparams)))
    if _drawn_so_far() != before:
        raise ValueError(
            f"{where}: it draws from numpy.random or random, once for all steps, while "
            "it is compiled. Use jax.random and the key that augment= gets."
        )
    return made


def _drawn_so_far() -> Any:
    state: Any = np.random.get_state()  # noqa: NPY002
    return state[1].tobytes(), state[2:], random.getstate()


def example_of(x: PyTree, exact: bool) -> PyTree:
    """Return the first row ``[1, ...]`` of every input, for the shapes of parameters.

    Args:
      x: inputs of the training data.
      exact: whether to keep dtypes, for ``preprocess``; otherwise a model is
        initialised with int32 for integers and float32 for the rest.
    """

    def first(leaf: Array | np.ndarray) -> Array:
        row = np.asarray(leaf[:1])
        return jnp.asarray(row if exact else row.astype(example_dtype(leaf)))

    return jax.tree.map(first, x)


def example_dtype(leaf: Array | np.ndarray) -> Any:
    """Return the dtype of the input that a model is initialised with."""
    return jnp.int32 if leaf.dtype.kind in "iu" else jnp.float32


def warn_about_bytes(x: PyTree) -> None:
    """Warn once if inputs look like images whose values go up to 255."""
    for leaf in jax.tree.leaves(x):
        rows = np.asarray(leaf[:ROWS])
        if rows.dtype.kind not in "fu" or rows.ndim < 2 or not _are_bytes(rows):
            continue
        warn(
            f"train x has whole numbers up to {rows.max():g}, as images have. Networks "
            "learn badly from such large inputs. Use preprocess=lambda x: x / 255.",
        )
        return


def _are_bytes(rows: np.ndarray) -> bool:
    # unsigned rows without a second axis may be text, which is read by an embedding
    image = rows.ndim > 2
    if not image and (rows.dtype.kind != "f" or rows.shape[1] < WIDE):
        return False
    low, high = rows.min(), rows.max()
    return bool(low >= 0 and 128 <= high <= 255 and (rows == np.round(rows)).all())


def _shapes(x: PyTree) -> Any:
    leaves, tree = jax.tree.flatten(x)
    return tree, [jnp.shape(leaf) for leaf in leaves]


def _shown(x: PyTree) -> str:
    shapes = [str(jnp.shape(leaf)) for leaf in jax.tree.leaves(x)]
    return f"{type(x).__name__} of {', '.join(shapes)}" if shapes[1:] else shapes[0]
