"""The task: functions and data of one training, and how it is scored."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxtune.brevity import brief
from jaxtune.checks import is_whole
from jaxtune.door import (
    FLAG,
    FUNCTION,
    Argument,
    an,
    as_plain,
    check_each,
    optional,
    shown,
)
from jaxtune.registry import Recipe
from jaxtune.tasks import optimizers
from jaxtune.tasks._stream import Stream
from jaxtune.tasks.arrays import to_device
from jaxtune.tasks.containers import as_array, is_one_array
from jaxtune.tasks.folding import HeldOut
from jaxtune.tasks.optimizer_argument import as_optimizer
from jaxtune.types import Array, PyTree


@brief
@partial(
    jax.tree_util.register_dataclass,
    data_fields=["train", "valid", "test", "folds", "order"],
    meta_fields=[
        "init",
        "loss",
        "evaluate",
        "optimizer",
        "batch_size",
        "shuffle",
        "drop_last",
        "metrics",
        "stateful",
        "limits",
        "padding",
        "recipe",
        "made",
        "trains",
        "classes",
        "predict",
        "columns",
        "multipliers",
    ],
)
@dataclasses.dataclass(frozen=True)
class Task:
    """The training of one trial: functions (static) and data (array leaves).

    Another data set of the same shapes compiles nothing. Functions are compared by
    identity, so build a task once and use it often. ``hparams`` is an `Hparams`, the
    trial's hyperparameters by name.

    >>> import jax.numpy as jnp
    >>> import jaxtune as jt
    >>> x = jnp.linspace(-1.0, 1.0, 64)
    >>> data = {"x": x, "y": 3 * x}
    >>> def error(params, batch):
    ...     return jnp.mean((params["w"] * batch["x"] - batch["y"]) ** 2)
    >>> task = jt.Task(
    ...     init=lambda key, hparams: {"w": jnp.zeros(())},
    ...     loss=lambda params, batch, key, hparams: error(params, batch),
    ...     evaluate=lambda params, split, hparams: {"mse": error(params, split)},
    ...     train=data,
    ...     valid=data,
    ...     metrics=(("mse", "min"),),
    ... )
    >>> task.examples
    64

    Args:
      init: ``(key, hparams) -> params``, any pytree of arrays.
      loss: ``(params, batch, key, hparams) -> scalar``, the mean over the batch.
      evaluate: ``(params, split, hparams) -> {metric: scalar}`` over a whole split; a
        metric cannot have the name of a hyperparameter or of another column of the
        table, such as ``score``.
      train: pytree of arrays with a common first axis ``N``; a batch has the same tree.
        Or a stream of batches, see `jaxtune.data.stream`.
      valid: the split that trials are scored on, as arrays like those of ``train``; not
        needed for a search with folds.
      test: the split that the chosen trial is scored on once, or ``None``.
      optimizer: ``hparams -> optax.GradientTransformation``; the default reads the
        standard names, see `jaxtune.optimizers.standard`. It may ask for ``steps``,
        ``epochs`` and ``examples`` by these names: the optimiser's steps and the epochs
        of a whole training, and the examples of an epoch; and for ``multipliers``. Or a
        name such as ``"adamw"``, or a transformation that is the same in all trials.
      batch_size: examples per step if the space has no ``batch_size``.
      shuffle: whether every lane trains on its own random order in every epoch; if not,
        all lanes train on the rows as they are, as with a stream.
      drop_last: whether an epoch has whole batches only; with ``shuffle`` it leaves out
        other rows each time. If not, the last batch of an epoch has what is left.
      metrics: pairs of a metric's name and ``"max"`` or ``"min"``; `jaxtune.search`
        uses the first one unless given another.
      stateful: for batch statistics and the like: ``init`` returns ``(params, state)``,
        ``loss(params, state, batch, key, hparams)`` returns ``(scalar, state)``, and
        ``evaluate(params, state, split, hparams)`` gets the state too.
      limits: pairs of a hyperparameter's name and the smallest and largest value that
        the model can take; a search refuses a space that goes beyond.
      padding: pairs of a hyperparameter that is data inside a padded model and the
        model's static field that bounds it, such as ``("hidden_units", "max_units")``.
      recipe: the call that makes the task from its data, if all its functions are
        jaxtune's; such a run is resumed from its directory alone.
      made: everything but the data as the recipe makes it, see `with_recipe`; a task
        that was changed since has no recipe.
      trains: false for a plain function as a task of zero epochs: ``init`` computes its
        value from the key of the lane itself, and nothing is trained.
      classes: the labels of a classification, in ascending order.
      predict: ``(params, split, hparams) -> outputs`` of a model that `Result.train`
        returns, or ``(params, state, split, hparams) -> outputs`` if ``stateful``; a
        search does not need it.
      folds: of the training data, as `jaxtune.search` cuts them.
      columns: names of the columns of a data frame as ``x``.
      order: in which rows join a growing subset, as `jaxtune.search` draws it.
      multipliers: ``hparams -> (gradients, updates)``, factors for the parts of the
        parameters, which the optimiser applies by `jaxtune.optimizers.scaled`; or
        ``hparams -> None``.
    """

    init: Callable[..., Any]
    loss: Callable[..., Any]
    evaluate: Callable[..., Any]
    train: PyTree
    valid: PyTree = None
    test: PyTree = None
    optimizer: Any = optimizers.standard
    batch_size: int = 64
    shuffle: bool = True
    # pairs, not dicts: static fields are hashed to find a compiled program
    metrics: tuple[tuple[str, str], ...] = ()
    stateful: bool = False
    limits: tuple[tuple[str, tuple[float, float]], ...] = ()
    padding: tuple[tuple[str, str], ...] = ()
    recipe: Recipe | None = dataclasses.field(default=None, repr=False)
    made: tuple[Any, ...] = dataclasses.field(default=(), repr=False)
    trains: bool = True
    classes: tuple[Any, ...] = ()
    predict: Callable[..., Any] | None = None
    # a `Folds`; in a program, the `LaneFold` of one lane
    folds: Any = None
    columns: tuple[str, ...] = ()
    # `Rows`; in a program, the `FoldRows` of one lane
    order: Any = None
    multipliers: Callable[..., Any] | None = None
    drop_last: bool = True

    def __post_init__(self) -> None:
        # dataclasses.replace(task, evaluate=...) copies the recipe of the old functions
        if self.recipe is not None and self.made != _besides_data(self):
            object.__setattr__(self, "recipe", None)

    @property
    def without_data(self) -> Task:
        """The task without its arrays: its functions, and its stream if it has one."""
        return dataclasses.replace(
            self, train=self.stream, valid=None, test=None, folds=None, order=None
        )

    @property
    def examples(self) -> int:
        """Number of training examples, ``N``."""
        if isinstance(self.train, Stream):
            return self.train.examples
        return int(jax.tree.leaves(self.train)[0].shape[0])

    @property
    def examples_of_a_lane(self) -> int:
        """Number of examples that every lane can train on: of the smallest fold."""
        return self.examples if self.folds is None else self.folds.train.sizes[0]

    @property
    def stream(self) -> Stream | None:
        """The stream of training examples; ``None`` if they are on the device."""
        return self.train if isinstance(self.train, Stream) else None

    @property
    def held(self) -> PyTree:
        """The training examples in memory: all of them, or the first of a stream."""
        return self.train.head if isinstance(self.train, Stream) else self.train


A_TASK = an("a task", Task, "Use classification(...), regression(...) or Task(...).")


def with_recipe(task: Task, recipe: Recipe | None) -> Task:
    """Return the task with the recipe that makes it, for as long as it is unchanged.

    Args:
      task: any task.
      recipe: the call that makes it from its data; ``None`` if there is none.

    Returns:
      The same task. ``dataclasses.replace`` of its data keeps the recipe, and that of
      anything else drops it.
    """
    return dataclasses.replace(task, recipe=recipe, made=_besides_data(task))


def repeats_of(task: Task, seeds: int) -> int:
    """Return the trainings of every trial: one for each seed and fold."""
    return seeds * (1 if task.folds is None else task.folds.number)


def as_lane(task: Task, repeat: Any) -> tuple[Task, Array]:
    """Return the task of one lane, with its fold alone, and the seed of the lane.

    Args:
      task: any task.
      repeat: ``[]``, number of one of the trial's trainings; with ``k`` folds it is
        ``seed * k + fold``, and otherwise the seed.
    """
    number = repeats_of(task, 1)
    if task.order is not None:
        task = dataclasses.replace(task, order=task.order.of(repeat % number))
    if task.folds is None:
        return task, repeat
    own = task.folds.of(repeat % number)
    valid = HeldOut(task.train, own.valid)
    return dataclasses.replace(task, valid=valid, folds=own), repeat // number


def split_of(task: Task, name: str) -> PyTree:
    """Return a split of the task of one lane, from `as_lane`."""
    if name == "train" and task.folds is not None:
        return HeldOut(task.train, task.folds.train)
    return getattr(task, name)


_DATA = ("train", "valid", "test", "folds", "order")


def _besides_data(task: Task) -> tuple[Any, ...]:
    names = [field.name for field in dataclasses.fields(task)]
    others = [
        n for n in names if n not in (*_DATA, "recipe", "made", "classes", "columns")
    ]
    return tuple(getattr(task, name) for name in others)


def without_stream(task: Task) -> Task:
    """Return the task as programs get it: without a stream, whose rows come apart."""
    return task if task.stream is None else dataclasses.replace(task, train=None)


def check_data(task: Task) -> Task:
    """Check the data once, with NumPy, and put it on the device.

    Args:
      task: any task.

    Returns:
      The same task, its data as JAX arrays (float64 as float32, int64 as int32).

    Raises:
      ValueError: a split that is empty or ragged, a value that is not finite or does
        not fit 32 bits, or a batch size that is no whole number. The message names the
        array and the row.
    """
    if task.trains:
        _check_fields(task)
    splits = {"train": task.held, "valid": task.valid, "test": task.test}
    checked = {name: _check_split(name, split) for name, split in splits.items()}
    if task.stream is not None:
        checked["train"] = task.train  # each batch is checked when it is read
    optimizer = as_optimizer(task.optimizer)
    task = dataclasses.replace(task, **checked, optimizer=optimizer)
    # the space may have a batch size of its own, so the rows are compared with it there
    size = task.batch_size
    size = as_plain(size)
    if not is_whole(size, 1):
        raise ValueError(f"batch_size must be an int of at least 1, got {size!r}.")
    return (
        task if size is task.batch_size else dataclasses.replace(task, batch_size=size)
    )


def _are_modes(pairs: Any) -> bool:
    """Return whether a value is a tuple of pairs of a name and ``max`` or ``min``."""
    return isinstance(pairs, tuple) and all(
        isinstance(pair, tuple)
        and len(pair) == 2
        and isinstance(pair[0], str | int)
        and pair[1] in ("max", "min")
        for pair in pairs
    )


MODES = Argument(
    "a tuple of pairs of a name and 'max' or 'min'",
    _are_modes,
    "Use pairs such as (('accuracy', 'max'),).",
)


def _check_fields(task: Task) -> None:
    """Check what is no data; not in ``__init__``, which JAX calls with tracers."""
    fields = (
        ("init", task.init, FUNCTION),
        ("loss", task.loss, FUNCTION),
        ("evaluate", task.evaluate, FUNCTION),
        ("predict", task.predict, optional(FUNCTION)),
        ("multipliers", task.multipliers, optional(FUNCTION)),
        ("shuffle", task.shuffle, FLAG),
        ("drop_last", task.drop_last, FLAG),
        ("stateful", task.stateful, FLAG),
        ("metrics", task.metrics, MODES),
    )
    check_each("Task", fields)
    if not hasattr(task.predict, "measures"):  # a task with functions of the user
        return
    for name in ("train", "valid", "test"):
        split = getattr(task, name)
        if split is not None and not isinstance(split, Mapping | Stream):
            raise ValueError(
                f"{name}: got {type(split).__name__}. A task that is made already has "
                f"named arrays: use replace(task, {name}={{'x': x, 'y': y}})."
            )


def _check_split(split: str, data: PyTree) -> PyTree:
    if data is None:
        if split != "train":
            return None
        raise ValueError(f"{split}: a task needs data, got None.")
    leaves, tree = jax.tree_util.tree_flatten_with_path(data, is_leaf=is_one_array)
    names = [f"{split}{jax.tree_util.keystr(path)}" for path, _ in leaves]
    arrays = [
        as_array(name, leaf) for name, (_, leaf) in zip(names, leaves, strict=True)
    ]
    if not arrays:
        raise ValueError(f"{split}: a task needs arrays, got {data!r}.")
    for name, array in zip(names, arrays, strict=True):
        if np.ndim(array) == 0:
            raise ValueError(
                f"{name} is one value, {shown(array)}, and has no rows. Use arrays, "
                "such as numpy.asarray(...) of a tuple."
            )
    lengths = [np.shape(array)[0] for array in arrays]
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
