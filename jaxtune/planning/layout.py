"""The layout of a search: batches, static values, and buckets of padded shapes.

Planned on the host, from the task and the whole space. The number of trials and the box
of a round are not looked at, so a trial's bits do not depend on them; on an accelerator
`planning.batches` adds groups that depend on the number of trials.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.brevity import brief
from jaxtune.checks import is_whole, warn
from jaxtune.environment import on_host
from jaxtune.forms import AS_WRITTEN
from jaxtune.hardware import CPU, Hardware
from jaxtune.planning import flops
from jaxtune.programs.block import Group, Listed, Static
from jaxtune.programs.lane import Batching
from jaxtune.space import Dimension, Space
from jaxtune.space.arrival import exact_type, is_mixed, table_of
from jaxtune.tasks import Hparams, Task
from jaxtune.tasks.measuring import OneForABatch
from jaxtune.types import HparamArrays

SMALL = 4  # micro-batches below this size are slow
MOST_PROGRAMS = 16  # for padded shapes, static values not counted
USUAL = 64 * 20  # lanes times epochs of the search that a plan is made for


class Bucket(NamedTuple):
    """A hyperparameter that is data in a padded model, and the sizes of its padding."""

    name: str  # of the hyperparameter
    field: str  # of the model, which it bounds
    tops: tuple[int, ...]  # ascending; a lane is padded to the first that holds it


@brief
class Layout(NamedTuple):
    """The layout of a search: how shapes become programs, the same for all rounds."""

    batching: Batching | None = None
    buckets: tuple[Bucket, ...] = ()
    forms: str = AS_WRITTEN  # the table of rules for operations
    as_places: bool = False  # choices and fixed numbers as in version 0.1.0
    # of searched batch sizes in groups, by micro-batch, ascending; see planning.batches
    by_size: tuple[Batching, ...] = ()

    def batching_of(self, size: int) -> Batching | None:
        """Return the batching of a lane: of those that divide its batch, the last."""
        fitting = [one for one in self.by_size if size % one.micro == 0]
        return fitting[-1] if fitting else self.batching


def with_examples(layout: Layout, task: Task, epochs: int) -> Layout:
    """Return the layout of a training on other data, or for other epochs.

    Args:
      layout: of a search.
      task: with the training data.
      epochs: of a whole training.
    """

    if layout.batching is None:
        return layout
    # groups of batch sizes take as many as all: a group changes no trial's epochs
    count = _in_an_epoch(task, layout.batching.micro)

    def cut(batching: Batching) -> Batching:
        # epochs are known to the programs of some optimisers only
        return batching._replace(examples=count, epochs=batching.epochs and epochs)

    groups = tuple(map(cut, layout.by_size))
    return layout._replace(batching=cut(layout.batching), by_size=groups)


def lay_out(
    task: Task,
    space: Space,
    programs: int | None = None,
    device: Hardware = CPU,
) -> Layout:
    """Lay out a search.

    Args:
      task: the task; one that is not trained needs no layout.
      space: the whole space, before any zooming.
      programs: at most so many for padded shapes; chosen if not given.
      device: that programs run on, which sets what another one is worth.

    Returns:
      The layout.

    Raises:
      ValueError: batch sizes that are not whole numbers or larger than the data.
    """
    if not task.trains:
        return Layout()
    worth = 0.0 if programs else device.worth_a_program / USUAL
    buckets = _buckets(task, space, programs, worth)
    return Layout(_batching(task, space), buckets)


def _batching(task: Task, space: Space) -> Batching:
    examples = task.examples_of_a_lane
    if "batch_size" not in space.names:
        size = task.batch_size
        if size > examples:
            raise ValueError(
                f"batch_size={size} is larger than {_train(task)}, which has {examples}"
                " examples. Use a smaller batch."
            )
        return Batching(size, _in_an_epoch(task, size), whole=True)
    dimension, sizes = space["batch_size"], _whole_numbers(space, "batch_size")
    if max(sizes) > examples:
        raise ValueError(
            f"dimension 'batch_size': the space goes up to {max(sizes)}, but "
            f"{_train(task)} has {examples} examples. Use a smaller range, such as "
            "space.restrict(batch_size=...)."
        )
    micro, whole = math.gcd(*sizes), len(sizes) == 1
    if not (whole or dimension.static):
        _warn_about(task, space, micro)
    return Batching(micro, _in_an_epoch(task, micro), whole)


def _in_an_epoch(task: Task, micro: int) -> int:
    """Return how many examples every lane trains on in an epoch."""
    examples = task.examples_of_a_lane
    return examples // micro * micro if task.drop_last else examples


def _train(task: Task) -> str:
    return "train" if task.folds is None else "the training part of a fold"


def _warn_about(task: Task, space: Space, micro: int) -> None:
    """Warn where accumulating micro-batches is slow, or changes statistics."""
    where = "dimension 'batch_size': "
    if micro < SMALL:
        warn(
            f"{where}its values share no divisor above {micro}, so gradients are "
            f"computed for {micro} example(s) at a time, which is slow. Use "
            "power_of_two(16, 256), or an ordinal of multiples of 16.",
        )
    if task.stateful and _has_statistics(task, space):
        warn(
            f"{where}the model keeps running statistics, and takes them over "
            f"micro-batches of {micro}. Use static=True for those of whole batches.",
        )
    if task.stateful and _is_one_for_a_batch(task, space, micro):
        warn(
            f"{where}loss= gives one number for a batch, which is computed for {micro} "
            "example(s) at a time and averaged. That is the loss of the batch only if "
            "it is a mean over its examples. Return one number for each example, or "
            "use static=True for batch_size.",
        )


def _is_one_for_a_batch(task: Task, space: Space, rows: int) -> bool:
    """Return whether a loss of the user has no number for each example."""
    if not (isinstance(task.held, dict) and {"x", "y"} == set(task.held)):
        return False
    key, lane = jax.eval_shape(lambda: jax.random.key(0)), _middle(space)
    batch = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct((rows, *a.shape[1:]), a.dtype), task.held
    )
    weights = jax.ShapeDtypeStruct((rows,), jnp.float32)

    def weighted(key: Any, batch: Any, weights: Any) -> Any:
        start = task.init(key, lane)
        return task.loss(*start, {**batch, "weights": weights}, key, lane)

    try:
        jax.eval_shape(weighted, key, batch, weights)
    except OneForABatch:
        return True
    except Exception:  # tracing raises it again, and says which dimension is to blame
        return False
    return False


def _has_statistics(task: Task, space: Space) -> bool:
    """Return whether training changes real numbers without gradients."""
    key, lane = jax.eval_shape(lambda: jax.random.key(0)), _middle(space)
    try:
        made = jax.eval_shape(lambda k: task.init(k, lane), key)
    except Exception:  # tracing raises it again, and says which dimension is to blame
        return False
    return any(
        jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(made[1])
    )


@on_host()
def _middle(space: Space) -> Hparams:
    """Return the hyperparameters of a lane in the middle of the space."""
    point = np.full((1, space.dim), 0.5, np.float32)
    middle = {name: np.asarray(v) for name, v in space.decode(point).items()}
    known = constants(Layout(), space)
    values = tuple((name, values_of(space[name], middle[name])[0]) for name in known)
    traced = {name: v[0] for name, v in middle.items() if name not in known}
    return Static(values, in_places(space, known)).hparams(traced)


def _whole_numbers(space: Space, name: str) -> tuple[int, ...]:
    """Return all values of a dimension that sets a shape."""
    dimension = space[name]
    if dimension.by_index and table_of(dimension.choices) is None:
        raise ValueError(
            f"dimension {name!r}: its values are not numbers. Use ordinal or "
            "power_of_two."
        )
    values = ("a real number",) if dimension.kind == "continuous" else dimension.members
    for value in values:
        if not is_whole(value, 1):
            raise ValueError(
                f"dimension {name!r}: got {value!r}, needs whole numbers from 1. Use "
                "integer, power_of_two or ordinal."
            )
    return values


def _buckets(
    task: Task, space: Space, programs: int | None, worth: float
) -> tuple[Bucket, ...]:
    """Return sizes of padding: exact if static, split if that saves more than worth."""
    fields = {n: f for n, f in task.padding if n in space.names}
    fields = {n: f for n, f in fields.items() if f not in space.names}
    members = {name: _whole_numbers(space, name) for name in fields}
    tops = {
        name: sorted(values) if space[name].static else [max(values)]
        for name, values in members.items()
    }
    open_to = [n for n in fields if not space[n].static and len(members[n]) > 1]
    if open_to and programs != 1:
        some = {n: tops[n] for n in open_to}
        tops |= _split(task, space, fields, some, programs or MOST_PROGRAMS, worth)
    return tuple(Bucket(n, fields[n], tuple(tops[n])) for n in fields)


def _split(
    task: Task,
    space: Space,
    fields: dict[str, str],
    tops: dict[str, list[int]],
    limit: int,
    worth: float,
) -> dict[str, list[int]]:
    """Add sizes one by one, each time the one that saves most work per program.

    It stops at the limit, or where one more program saves too little: less than it
    costs to compile, in a search of usual size. The trials and epochs of this search
    are not looked at, so they change no lane's bits.
    """
    cost = _cost_of(task, space, fields)
    shares = {name: size_shares(space[name]) for name in tops}

    def expected(tops: dict[str, list[int]]) -> float:
        total = 0.0
        for sizes in itertools.product(*tops.values()):
            share = 1.0
            for (name, every), size in zip(tops.items(), sizes, strict=True):
                below = max([top for top in every if top < size], default=-1)
                share *= sum(p for v, p in shares[name].items() if below < v <= size)
            total += share * cost(dict(zip(tops, sizes, strict=True)))
        return total

    while True:
        have, now = _count(tops), expected(tops)
        if now <= worth:
            return tops
        options = [
            {**tops, name: sorted([*tops[name], size])}
            for name in tops
            for size in _candidates(space[name])
            if size not in tops[name]
        ]
        options = [option for option in options if _count(option) <= limit]
        gains = [(now - expected(o)) / (_count(o) - have) for o in options]
        if not gains or max(gains) <= worth:
            return tops
        tops = options[int(np.argmax(gains))]


def _count(tops: dict[str, list[int]]) -> int:
    return math.prod(map(len, tops.values()))


def _candidates(dimension: Dimension) -> list[int]:
    """Return every value of a short range, and the powers of two of a long one."""
    members = dimension.members
    if len(members) <= 4:
        return list(members)
    return [value for value in members if value & (value - 1) == 0]


@on_host()
def shares_of(dimension: Dimension) -> dict[int, float]:
    """Return each decoded value of a dimension with its share of the range."""
    middles: Any = (np.arange(4096) + np.float32(0.5)) / np.float32(4096)
    values, counts = np.unique(
        np.asarray(dimension.decode(middles)), return_counts=True
    )
    return dict(zip(values.tolist(), (counts / 4096).tolist(), strict=True))


def size_shares(dimension: Dimension) -> dict[int, float]:
    """Return each size with its share; of a choice, not the place in its list."""
    shares = shares_of(dimension)
    return dict(zip(values_of(dimension, list(shares)), shares.values(), strict=True))


def _cost_of(
    task: Task, space: Space, fields: dict[str, str]
) -> Callable[[dict[str, int]], float]:
    """Return a function from sizes of padding to operations of one lane and epoch."""
    middle = _middle(space)
    known: dict[tuple, float] = {}

    def cost(sizes: dict[str, int]) -> float:
        at = tuple(sizes.items())
        if at not in known:
            padded = {fields[name]: size for name, size in sizes.items()}
            hparams = Hparams({**middle, **padded}, middle.choices)
            each = flops.per_example(task, hparams)
            known[at] = flops.PASSES * task.examples_of_a_lane * each
        return known[at]

    return cost


def groups(
    layout: Layout, space: Space, hparams: HparamArrays, seeds: int
) -> list[Group]:
    """Partition lanes by static values and buckets.

    Args:
      layout: how shapes become programs.
      space: the space, for its static dimensions.
      hparams: name to ``[n]`` decoded values.
      seeds: lanes of each trial.

    Returns:
      One group per program, in order of first appearance.
    """
    known = constants(layout, space)
    choices = in_places(space, known)
    columns = {n: values_of(space[n], hparams[n]) for n in known}
    for bucket in layout.buckets:
        sizes = values_of(space[bucket.name], hparams[bucket.name])
        columns[bucket.field] = _padded(bucket, sizes)
    # what is fixed is the same in all trials, of which there may be very many
    varying = [n for n in columns if n not in space.names or space[n].searched]
    count = len(next(iter(hparams.values())))
    own: list[Any] = [layout.batching] * count
    if layout.by_size:
        sizes = values_of(space["batch_size"], hparams["batch_size"])
        own = list(map(layout.batching_of, sizes))
    compared = [own] if layout.by_size else []
    members = _alike([*(columns[name] for name in varying), *compared], count)

    def static(trial: int) -> Static:
        values = {name: column[trial] for name, column in columns.items()}
        return Static(
            tuple(values.items()),
            choices,
            _batches(own[trial], values),
            layout.forms,
            layout.as_places,
            tuple(map(exact_type, values.values())),
        )

    return [
        Group(static(trials[0]), (trials[:, None] * seeds + np.arange(seeds)).ravel())
        for trials in members
    ]


def _alike(columns: list[list[Any]], count: int) -> list[np.ndarray]:
    """Return the rows of each combination of values, in order of first appearance."""
    code = np.zeros(count, np.int64)
    for column in columns:
        known: dict[Any, int] = {}
        place = [known.setdefault(value, len(known)) for value in column]
        # numbered anew after each column, since a product of many would overflow
        code = np.unique(code * len(known) + place, return_inverse=True)[1]
    first = np.unique(code, return_index=True)[1]
    return [np.flatnonzero(code == number) for number in np.argsort(first)]


def constants(layout: Layout, space: Space) -> list[str]:
    """Return the dimensions whose values are known when a program is compiled.

    Args:
      layout: of the search.
      space: the whole space; the boxes of later rounds fix some of it, as data.

    Returns:
      Static and fixed dimensions, and choices of which a test other than a comparison
      is to be expected, such as ``is None``.
    """
    if layout.as_places:
        return [name for name in space.names if space[name].static]
    return [name for name in space.names if _is_constant(space[name])]


def _is_constant(dimension: Dimension) -> bool:
    mixed = dimension.by_index and is_mixed(dimension.choices)
    return dimension.static or not dimension.searched or mixed


def in_places(space: Space, known: Sequence[str]) -> tuple[Listed, ...]:
    """Return the dimensions that are places in a list inside programs."""
    dimensions = {name: space[name] for name in space.names if name not in known}
    return tuple(
        Listed(
            name,
            dimension.choices,
            dimension.kind != "choice",
            exact_type(dimension.choices),
        )
        for name, dimension in dimensions.items()
        if dimension.by_index
    )


def values_of(dimension: Dimension, decoded: Any) -> list[Any]:
    """Return decoded values as Python values; a fixed one as the user gave it."""
    if not dimension.searched:
        return [dimension.default] * len(decoded)
    return [dimension.value(value) for value in np.asarray(decoded)]


def _padded(bucket: Bucket, values: Any) -> list[int]:
    tops = np.asarray(bucket.tops)
    if np.max(values, initial=0) > tops[-1]:
        raise ValueError(
            f"dimension {bucket.name!r}: a trial has {np.max(values)}, but the space "
            f"goes to {tops[-1]}. Give it a default inside."
        )
    return tops[np.searchsorted(tops, np.asarray(values))].tolist()


def _batches(batching: Batching | None, static: dict[str, Any]) -> Batching | None:
    """Return the batching of a group, where a static batch size is the micro-batch."""
    if batching is None or "batch_size" not in static:
        return batching
    # known to the compiler, so a whole batch is one gradient and none is accumulated
    return batching._replace(micro=static["batch_size"], whole=True)
