"""One lane (one trial with one seed) in training: start, one epoch, score. No vmap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxtune.environment import promoting
from jaxtune.programs.stepping import (
    first_state,
    known_in_step,
    no_batch_at_hand,
    optimizer_of,
    reads_value,
    updated,
)
from jaxtune.random import INIT, NOISE, ORDER, permutation
from jaxtune.tasks import batches
from jaxtune.tasks.averages import seen_params
from jaxtune.tasks.folding import on_split
from jaxtune.tasks.hparams import own_copy
from jaxtune.tasks.scalars import real_scalar
from jaxtune.tasks.task import Task
from jaxtune.types import Array, Key, PyTree

# a lane that trains is RUNNING or DIVERGED; the runner notes CRASHED for the lanes of a
# block that was given up; STOPPED and WAITING are statuses of trials, in the table
RUNNING, DIVERGED, STOPPED, WAITING, CRASHED = range(5)
STATUS = ("ok", "diverged", "stopped", "waiting", "crashed")
FAILED = (DIVERGED, CRASHED)


class Lane(NamedTuple):
    """The state of one trial in training; nothing else is needed to train on."""

    params: PyTree
    state: PyTree  # batch statistics and the like
    opt_state: PyTree  # of the optimiser
    epoch: Array  # [] int32, epochs finished
    status: Array  # [] int32, an index of STATUS
    # [] int32, the first micro-batch of the training whose loss was not finite, or -1;
    # for tests and debugging
    stopped: Array


def start(
    task: Task, key: Key, hparams: Mapping[str, Any], batching: Batching | None
) -> Lane:
    """Return a lane with fresh parameters and a fresh optimiser."""
    # a plain function owns its lane's key, and no other stream is drawn from it
    init_key = jax.random.fold_in(key, INIT) if task.trains else key
    params, state = _stateful_init(task, init_key, hparams)
    opt_state = first_state(optimizer_of(task, hparams, batching), params)
    zero = jnp.int32(0)
    return Lane(params, state, opt_state, zero, jnp.int32(RUNNING), jnp.int32(-1))


class Batching(NamedTuple):
    """The cut of an epoch into batches; static, so known when a program is compiled.

    An epoch has the same number of examples for every lane of a search, whatever its
    batch size, and a lane's last batch of an epoch holds what is left.
    """

    micro: int  # examples in one gradient computation
    examples: int  # in one epoch
    whole: bool  # true: micro-batches are batches; false: each lane adds up some
    # of a whole training, if the optimiser asks for its length; other programs serve
    # any number of epochs
    epochs: int | None = None
    # of an epoch on a subset, if the optimiser asks for lengths: others get the number
    # as data, which optax's own schedules cannot take
    told: int | None = None


class Subset(NamedTuple):
    """A subset of the training data; all its numbers may be traced.

    Args:
      rows: ``[k]`` int32, rows of it in each fold, one number without folds; in a
        lane, ``[]``.
      examples: ``[]`` int32, in one epoch; the same for all folds.
    """

    rows: Any
    examples: Any

    def of_lane(self, repeat: Array) -> Subset:
        """Return the subset of one lane, see `as_lane`."""
        return self._replace(rows=self.rows[repeat % self.rows.shape[0]])


class OpenBatch(NamedTuple):
    """A batch that is not full yet."""

    gradients: PyTree  # sum over its examples
    examples: Array  # [] int32
    value: PyTree = ()  # [] sum of their losses, if the optimiser reads it


def advance(
    task: Task,
    key: Key,
    hparams: Mapping[str, Any],
    lane: Lane,
    batching: Batching,
    subset: Subset | None = None,
) -> Lane:
    """Train one epoch: the first rows of this epoch's order, in micro-batches.

    An epoch has ``batching.examples`` rows. With ``drop_last`` up to ``micro - 1`` rows
    of the data are left out; with ``shuffle``, others in each epoch. After a loss that
    is not finite, a lane is marked and keeps its last parameters: later steps change
    nothing.

    Of a ``subset``, the rows and the epoch are those of a task that has no other rows.
    """
    # computed once an epoch, in a loop (see `permutation`): unrolled into the training
    # step, it took XLA minutes to compile (docs/decisions.md)
    if subset is None:
        order = _order(task, key, lane.epoch)
    else:
        order = _order_of_subset(task, key, lane.epoch, subset, batching.examples)

    def take(begin: Array, size: int) -> PyTree:
        return batches.take(task.train, jax.lax.dynamic_slice(order, (begin,), (size,)))

    trained, _ = _train(
        task,
        key,
        hparams,
        batching,
        lane=lane,
        open_batch=empty_batch(task, hparams, batching, lane),
        take=take,
        rows=RowRange(0, batching.examples),
        subset=subset,
    )
    return trained._replace(epoch=lane.epoch + 1)


def advance_part(
    task: Task,
    key: Key,
    hparams: Mapping[str, Any],
    lane: Lane,
    open_batch: OpenBatch,
    rows: PyTree,
    begin: Array,
    batching: Batching,
) -> tuple[Lane, OpenBatch]:
    """Train a part of a streamed epoch, on rows ``[r, ...]`` in their order.

    Args:
      task: without its training data.
      key: of the lane.
      hparams: of the lane.
      lane: its state.
      open_batch: the batch that the part before left open; `empty_batch` at first.
      rows: ``[r, ...]``; ``r`` is a multiple of ``batching.micro``, except in the
        epoch's last part.
      begin: ``[]`` int32, the first row's place in the epoch.
      batching: the cut of an epoch into batches.

    Returns:
      The lane's state, an epoch older after the last part, and the batch that is open.
    """
    count = jax.tree.leaves(rows)[0].shape[0]

    def take(start: Array, size: int) -> PyTree:
        return jax.tree.map(
            lambda a: jax.lax.dynamic_slice_in_dim(a, start, size), rows
        )

    trained, open_batch = _train(
        task,
        key,
        hparams,
        batching,
        lane=lane,
        open_batch=open_batch,
        take=take,
        rows=RowRange(begin, count),
    )
    # begin is traced, so that all parts of an epoch share one program
    over = (begin + count >= batching.examples).astype(jnp.int32)
    return trained._replace(epoch=lane.epoch + over), open_batch


class RowRange(NamedTuple):
    """Some rows of an epoch."""

    begin: Array | int  # place of the first one in the epoch
    size: int


def _order(task: Task, key: Key, epoch: Array) -> Array:
    """Return the order ``[N]`` of the examples in an epoch; of a fold, its rows."""
    if task.folds is not None:
        return _order_of_a_fold(task, key, epoch)
    if not task.shuffle:
        return jnp.arange(task.examples)
    return permutation(_order_key(key, epoch), task.examples)


def _order_of_a_fold(task: Task, key: Key, epoch: Array) -> Array:
    assert task.folds is not None
    rows = task.folds.train
    # no epoch has more than the smallest fold: behind these are the fillings of others
    least = rows.sizes[0]
    if not task.shuffle:
        return rows.first(least)
    count = least if len(rows.sizes) == 1 else rows.count
    return rows.at(permutation(_order_key(key, epoch), count, least))


def _order_of_subset(
    task: Task, key: Key, epoch: Array, subset: Subset, places: int
) -> Array:
    """Return the order ``[places]`` of the rows of a subset; what is behind is void."""
    rows = None if task.folds is None else task.folds.train
    if not task.shuffle:
        return jnp.arange(places) if rows is None else rows.first(places)
    within = permutation(_order_key(key, epoch), subset.rows, places)
    within = jnp.minimum(within, subset.rows.astype(jnp.uint32) - 1)
    # all the data are in the order that they have in a search without subsets
    whole = subset.rows == task.order.count
    within = jnp.where(whole, within, task.order.at(within))
    return within if rows is None else rows.at(within)


def _order_key(key: Key, epoch: Array) -> Key:
    return jax.random.fold_in(jax.random.fold_in(key, ORDER), epoch)


def _train(
    task: Task,
    key: Key,
    hparams: Mapping[str, Any],
    batching: Batching,
    lane: Lane,
    open_batch: OpenBatch,
    take: Callable[[Array, int], PyTree],
    rows: RowRange,
    subset: Subset | None = None,
) -> tuple[Lane, OpenBatch]:
    """Train on rows of an epoch; ``take(begin, size)`` gives them."""
    if subset is not None:
        own = batching._replace(examples=subset.examples)
        step = _step_of(task, key, hparams, own, take, rows)
        return _train_on_subset(step, (lane, open_batch), batching, subset)
    step = _step_of(task, key, hparams, batching, take, rows)

    def micro_batch(
        carry: tuple[Lane, OpenBatch], index: Array
    ) -> tuple[tuple[Lane, OpenBatch], None]:
        return step(carry, index, batching.micro), None

    # a scan's steps have one shape, so the rest, which is smaller, is a step after it
    steps, rest = divmod(rows.size, batching.micro)
    carry = lane, open_batch
    if steps:
        # also under x64: a lane counts its steps in int32
        carry, _ = jax.lax.scan(micro_batch, carry, jnp.arange(steps, dtype=jnp.int32))
    return step(carry, jnp.int32(steps), rest) if rest else carry


Step = Callable[[tuple[Lane, OpenBatch], Array, int], tuple[Lane, OpenBatch]]
"""``(carry, index, size) -> carry``: trains on one micro-batch."""


def _train_on_subset(
    step: Step, carry: tuple[Lane, OpenBatch], batching: Batching, subset: Subset
) -> tuple[Lane, OpenBatch]:
    """Train an epoch of a subset: as many steps as it has whole micro-batches."""
    count = subset.examples // batching.micro
    carry = jax.lax.fori_loop(
        0, count, lambda index, carry: step(carry, index, batching.micro), carry
    )
    steps, rest = divmod(batching.examples, batching.micro)
    if not rest:
        return carry
    # only an epoch of all the data has a last batch of another size, which has a
    # program of its own
    return jax.lax.cond(
        subset.examples == batching.examples,
        lambda carry: step(carry, jnp.int32(steps), rest),
        lambda carry: carry,
        carry,
    )


def _step_of(
    task: Task,
    key: Key,
    hparams: Mapping[str, Any],
    batching: Batching,
    take: Callable[[Array, int], PyTree],
    rows: RowRange,
) -> Step:
    """Return the function that trains a lane on one micro-batch."""
    optimizer = optimizer_of(task, hparams, batching)
    total = -(-batching.examples // batching.micro)
    first = rows.begin // batching.micro
    noise = jax.random.fold_in(key, NOISE)

    def objective(
        params: PyTree, state: PyTree, batch: PyTree, key: Key
    ) -> tuple[Array, PyTree]:
        return _stateful_loss(task, params, state, batch, key, hparams)

    def step(
        carry: tuple[Lane, OpenBatch], index: Array, size: int
    ) -> tuple[Lane, OpenBatch]:
        lane, open_batch = carry
        batch = take(index * batching.micro, size)
        in_epoch = first + index
        done = lane.epoch * total + in_epoch
        state, key = lane.state, jax.random.fold_in(noise, done)
        (loss, after), gradients = jax.value_and_grad(objective, has_aux=True)(
            lane.params, state, batch, key
        )
        lane = _mark(lane._replace(state=after), loss, done)
        if batching.whole:
            again = lambda params: objective(params, state, batch, key)[0]  # noqa: E731
            return _update(optimizer, lane, gradients, loss, again), open_batch
        # lanes of one program differ in their batch sizes, so every lane computes the
        # update at every step, and only the lanes with a full batch keep it
        open_batch = _add(open_batch, gradients, loss, size)
        full = (open_batch.examples >= hparams["batch_size"]) | (in_epoch == total - 1)
        mean, value = _mean(open_batch, gradients)
        stepped = _update(optimizer, lane, mean, value, no_batch_at_hand)
        lane = _when(full, stepped, lane)
        return lane, _when(full, _emptied(open_batch), open_batch)

    return step


def _mark(lane: Lane, loss: Array, step: Array) -> Lane:
    """Note a loss that is not finite, and the step of the first one."""
    fine = (lane.status == RUNNING) & jnp.isfinite(loss)
    failed = (lane.status == RUNNING) & ~fine
    return lane._replace(
        status=jnp.where(fine, lane.status, DIVERGED),
        stopped=jnp.where(failed, step, lane.stopped),
    )


@promoting
def _update(
    optimizer: optax.GradientTransformation,
    lane: Lane,
    gradients: PyTree,
    value: Any,
    loss: Callable[[PyTree], Array],
) -> Lane:
    """Return the lane after one step of the optimiser; one that diverged stays."""
    known = known_in_step(lane.epoch, value, gradients, loss)
    updates, opt_state = updated(
        optimizer, gradients, lane.opt_state, lane.params, known
    )
    running = lane.status == RUNNING
    # where() and not a product with a mask, since 0 * nan is nan
    updates = jax.tree.map(lambda u: jnp.where(running, u, jnp.zeros_like(u)), updates)
    params = optax.apply_updates(lane.params, updates)
    return lane._replace(params=params, opt_state=opt_state)


def empty_batch(
    task: Task, hparams: Mapping[str, Any], batching: Batching, lane: Lane
) -> OpenBatch:
    """Return an empty batch; where micro-batches are batches, none is ever open."""
    if batching.whole:
        return OpenBatch((), jnp.int32(0))
    make = partial(optimizer_of, task, hparams, batching)
    value = jnp.zeros((), jnp.float32) if reads_value(make, lane.params) else ()
    return _emptied(OpenBatch(lane.params, jnp.int32(0), value))


def _emptied(like: OpenBatch) -> OpenBatch:
    """Return empty sums, in float32 at least."""

    # a long sum loses its low bits in bfloat16, even where every gradient keeps them
    def zeros(leaf: Array) -> Array:
        return jnp.zeros(leaf.shape, jnp.promote_types(leaf.dtype, jnp.float32))

    gradients, value = jax.tree.map(zeros, (like.gradients, like.value))
    return OpenBatch(gradients, jnp.int32(0), value)


@promoting
def _add(
    open_batch: OpenBatch, gradients: PyTree, loss: Array, examples: int
) -> OpenBatch:
    """Add the mean gradient and the mean loss of some more examples."""
    added = jax.tree.map(lambda s, g: s + g * examples, open_batch.gradients, gradients)
    value = jax.tree.map(
        # a sum in a loop keeps its dtype, also of a float64 loss
        lambda total: total + (loss * examples).astype(total.dtype),
        open_batch.value,
    )
    return OpenBatch(added, open_batch.examples + examples, value)


@promoting
def _mean(open_batch: OpenBatch, like: PyTree) -> tuple[PyTree, PyTree]:
    """Return the means over the batch: the gradient, and the loss if it is kept."""
    gradients = jax.tree.map(
        lambda total, leaf: (total / open_batch.examples).astype(leaf.dtype),
        open_batch.gradients,
        like,
    )
    value = jax.tree.map(lambda total: total / open_batch.examples, open_batch.value)
    return gradients, value


def _when(condition: Array, yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def score(
    task: Task,
    hparams: Mapping[str, Any],
    lane: Lane,
    split: PyTree,
    batching: Batching | None,
) -> dict[str, Array]:
    """Return metrics on a split; NaN for a lane that diverged."""
    params = params_to_evaluate(task, hparams, lane, batching)
    given = (params, lane.state) if task.stateful else (params,)

    def evaluate(split: PyTree) -> Any:
        return task.evaluate(*given, split, own_copy(hparams))

    metrics = on_split(evaluate, split)
    if not isinstance(metrics, Mapping):
        raise ValueError(
            f"evaluate: got {type(metrics).__name__}. Return a dict of scalars."
        )
    way_out = "Return scalars, such as the mean over the split."
    numbers = {
        name: real_scalar(value, f"evaluate: metric {name!r}", way_out)
        for name, value in metrics.items()
    }
    return _if_running(lane, numbers)


def predict(
    task: Task,
    hparams: Mapping[str, Any],
    lane: Lane,
    split: PyTree,
    batching: Batching | None,
) -> PyTree:
    """Return the outputs of a lane for a split, with the parameters that are scored."""
    params = params_to_evaluate(task, hparams, lane, batching)
    return outputs_of(task, params, lane.state, split, hparams)


def outputs_of(
    task: Task, params: PyTree, state: PyTree, split: PyTree, hparams: Mapping[str, Any]
) -> PyTree:
    """Return the outputs for a split, from a task that can predict."""
    assert task.predict is not None, "asked only of tasks that can predict"
    given = (params, state) if task.stateful else (params,)
    return task.predict(*given, split, own_copy(hparams))


@promoting
def _if_running(lane: Lane, numbers: Mapping[str, Array]) -> dict[str, Array]:
    running = lane.status == RUNNING
    return {n: jnp.where(running, value, jnp.nan) for n, value in numbers.items()}


@promoting
def params_to_evaluate(
    task: Task, hparams: Mapping[str, Any], lane: Lane, batching: Batching | None
) -> PyTree:
    """Return the parameters of a lane, or their average if its optimiser keeps one."""
    make = partial(optimizer_of, task, hparams, batching)
    return seen_params(lane.opt_state, lane.params, make)


def _stateful_init(task: Task, key: Key, hparams: Mapping[str, Any]) -> Any:
    made = task.init(key, own_copy(hparams))
    return made if task.stateful else (made, {})


def _stateful_loss(
    task: Task,
    params: PyTree,
    state: PyTree,
    batch: PyTree,
    key: Key,
    hparams: Mapping[str, Any],
) -> tuple[Array, PyTree]:
    if task.stateful:
        loss, state = task.loss(params, state, batch, key, own_copy(hparams))
    else:
        loss = task.loss(params, batch, key, own_copy(hparams))
    real_scalar(loss, "loss", "Return a scalar, the mean over the batch.")
    dtype = jnp.asarray(loss).dtype
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(
            f"loss has dtype {dtype}, which has no gradient. Return a real number, "
            "such as the mean over the batch."
        )
    return loss, state
