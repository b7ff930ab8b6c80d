"""One trial in training: start, one epoch, score. No batching in sight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxtune.tasks import batches
from jaxtune.tasks.task import Task
from jaxtune.types import Array, Key, PyTree

TRAIN = 1  # stream of the root key that training draws from
INIT, ORDER, NOISE = 0, 1, 2  # streams of a lane's key

RUNNING, DIVERGED = 0, 1
STATUS = ("ok", "diverged")


class Lane(NamedTuple):
    """All that one trial needs to go on training."""

    params: PyTree
    state: PyTree  # batch statistics and the like
    moments: PyTree  # of the optimiser
    epoch: Array  # [] int32, epochs finished
    status: Array  # [] int32, an index of STATUS
    stopped: Array  # [] int32, the step whose loss was not finite, or -1


def lane_key(root: Key, trial: Array, seed: Array) -> Key:
    """The key of one trial and seed: it depends on nothing else."""
    stream = jax.random.fold_in(root, TRAIN)
    return jax.random.fold_in(jax.random.fold_in(stream, trial), seed)


def start(task: Task, key: Key, hparams: Mapping[str, Any]) -> Lane:
    """Fresh parameters and a fresh optimiser."""
    params, state = _stateful_init(task, jax.random.fold_in(key, INIT), hparams)
    moments = task.optimizer(hparams).init(params)
    zero = jnp.int32(0)
    return Lane(params, state, moments, zero, jnp.int32(RUNNING), jnp.int32(-1))


def advance(task: Task, key: Key, hparams: Mapping[str, Any], lane: Lane) -> Lane:
    """Train one epoch: every batch of a fresh order of the data.

    A lane whose loss is not finite keeps its last parameters and is marked; its later
    steps change nothing.
    """
    optimizer = optax.with_extra_args_support(task.optimizer(hparams))
    steps = task.steps_per_epoch
    order_key = jax.random.fold_in(jax.random.fold_in(key, ORDER), lane.epoch)
    order = batches.order(order_key, task.examples)
    noise = jax.random.fold_in(key, NOISE)

    def objective(params, state, batch, key):
        loss, state = _stateful_loss(task, params, state, batch, key, hparams)
        return loss, state

    def step(lane: Lane, index: Array) -> tuple[Lane, None]:
        first = (index * task.batch_size,)
        rows = jax.lax.dynamic_slice(order, first, (task.batch_size,))
        batch = batches.take(task.train, rows)
        done = lane.epoch * steps + index
        (loss, state), gradients = jax.value_and_grad(objective, has_aux=True)(
            lane.params, lane.state, batch, jax.random.fold_in(noise, done)
        )
        updates, moments = optimizer.update(
            gradients, lane.moments, lane.params, epoch=lane.epoch
        )
        fine = (lane.status == RUNNING) & jnp.isfinite(loss)
        # where, not a product: 0 * nan is nan
        updates = jax.tree.map(lambda u: jnp.where(fine, u, jnp.zeros_like(u)), updates)
        failed = (lane.status == RUNNING) & ~fine
        lane = lane._replace(
            params=optax.apply_updates(lane.params, updates),
            state=state,
            moments=moments,
            status=jnp.where(fine, lane.status, DIVERGED),
            stopped=jnp.where(failed, done, lane.stopped),
        )
        return lane, None

    lane, _ = jax.lax.scan(step, lane, jnp.arange(steps))
    return lane._replace(epoch=lane.epoch + 1)


def score(
    task: Task, hparams: Mapping[str, Any], lane: Lane, split: PyTree
) -> dict[str, Array]:
    """Metrics on a split; NaN for a lane that diverged."""
    if task.stateful:
        metrics = task.evaluate(lane.params, lane.state, split, hparams)
    else:
        metrics = task.evaluate(lane.params, split, hparams)
    if not isinstance(metrics, Mapping):
        raise ValueError(
            f"evaluate: got {type(metrics).__name__}. Return a dict of scalars."
        )
    for name, value in metrics.items():
        if jnp.shape(value) != ():
            raise ValueError(
                f"evaluate: metric {name!r} has shape {jnp.shape(value)}. "
                "Return scalars, such as the mean over the split."
            )
    running = lane.status == RUNNING
    return {
        name: jnp.where(running, jnp.asarray(value, jnp.float32), jnp.nan)
        for name, value in metrics.items()
    }


def _stateful_init(task: Task, key: Key, hparams: Mapping[str, Any]) -> Any:
    made = task.init(key, hparams)
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
        loss, state = task.loss(params, state, batch, key, hparams)
    else:
        loss = task.loss(params, batch, key, hparams)
    if jnp.shape(loss) != ():
        raise ValueError(
            f"loss: got shape {jnp.shape(loss)}. Return a scalar, the mean over the "
            "batch."
        )
    return loss, state
