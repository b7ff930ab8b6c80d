"""One segment of one block: a pure function of its job, for any device."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxtune.hardware import hardware_of
from jaxtune.programs import block as block_program
from jaxtune.programs.block import Block, Static
from jaxtune.programs.kept import KeptStates, Source, assembled, keep
from jaxtune.programs.lane import DIVERGED, RUNNING, Lane, Subset
from jaxtune.tasks import Task
from jaxtune.tasks.outputs import prediction
from jaxtune.threads import one_thread
from jaxtune.types import Key, PyTree


class Job(NamedTuple):
    """The input of a device for one segment, besides the task and the root key.

    Args:
      block: ``W`` lanes, padded.
      static: values that its program is compiled for.
      trained: ``[W]`` int, epochs of each lane so far; one of 0 starts now.
      sources: the states of the others.
      like: the abstract form of a state; ``None`` if all start.
      epochs: epochs to train; 0 for a task that is not trained.
      split: the split to score on; ``None`` to score nothing.
      going: ``[m]`` bool, lanes that will train on, so their states are needed unless
        they diverge; the rest of the block is padding.
      each_epoch: whether to score after every epoch; then there is a split.
      predicts: whether to return the outputs for the split too.
      subset: of the training data; ``None`` for all of them.
    """

    block: Block
    static: Static
    trained: np.ndarray
    sources: tuple[Source, ...]
    like: PyTree
    epochs: int
    split: str | None
    going: np.ndarray
    each_epoch: bool = False
    predicts: bool = False
    subset: Subset | None = None

    @property
    def fresh(self) -> np.ndarray:
        """``[W]`` bool, the lanes that start."""
        return self.trained == 0


class BlockResult(NamedTuple):
    """The result of a segment of a block, without the padding.

    Args:
      metrics: name to ``[m]`` float32; only those of lanes that arrived count.
      status: ``[m]`` int32.
      states: of the lanes that will train on, in their order, in one part or several.
      device: the kind of device that ran it; empty if that is not known.
      error: why the block was given up; empty if it ran.
      curves: name to ``[m, e]`` float32, after each epoch, if that was asked for.
      outputs: ``[m, N, ...]`` for the split, if that was asked for.
    """

    metrics: dict[str, np.ndarray]
    status: np.ndarray
    states: tuple[KeptStates, ...] = ()
    device: str = ""
    error: str = ""
    curves: dict[str, np.ndarray] | None = None
    outputs: np.ndarray | None = None


def failed_block(error: str) -> BlockResult:
    """Return the result of a block that ended every process which ran it."""
    return BlockResult({}, np.zeros(0, np.int32), error=error)


@one_thread()  # until the results are on the host
def run(shared: tuple[Task, Key], job: Job) -> BlockResult:
    """Train a block, score it, and bring the results to the host."""
    task, root = shared
    if job.epochs == 0:
        # start and score in one program: many a plain function takes less time than the
        # dispatch of a second one
        assert job.split is not None, "a task that is not trained is scored"
        measured = block_program.measure(task, root, job.block, job.split, job.static)
        metrics, status = jax.device_get(measured)
        return _untrained(_result(metrics, status, len(job.going)))
    state = begin(task, root, job)
    if job.each_epoch:
        return _epoch_by_epoch(task, root, job, state)
    state = _advanced(task, root, job, state, job.epochs)
    return end(task, job, state)


def _advanced(task: Task, root: Key, job: Job, state: Lane, epochs: int) -> Lane:
    block, static, subset = job.block, job.static, job.subset
    if subset is None:
        return block_program.advance(task, root, block, state, epochs, static)
    return block_program.advance_on_subset(
        task, root, block, state, epochs, subset, static
    )


def _epoch_by_epoch(task: Task, root: Key, job: Job, state: Lane) -> BlockResult:
    """Train a block, scored after every epoch."""
    # the two programs of every search, so that its bits are the same by construction.
    # The host sends them and waits for none: numbers come from the device at the end
    scored = []
    for _ in range(job.epochs):
        state = _advanced(task, root, job, state, 1)
        scored.append(_scored(task, job, state))
    return end(task, job, state, scored)


def _scored(task: Task, job: Job, state: Lane) -> dict[str, Any]:
    assert job.split is not None, "what is scored has a split"
    return block_program.score(task, job.block, state, job.split, job.static)[0]


def begin(task: Task, root: Key, job: Job) -> Lane:
    """Return the states of a block's lanes: started, kept from before, or both."""
    started = None
    if job.fresh.any():
        started = block_program.start(task, root, job.block, job.static)
    # a block may hold both, as packing fills it with whatever lanes wait
    (device,) = root.devices()
    gather = partial(block_program.gather, task)
    return assembled(job.sources, started, job.like, gather, device)


def end(
    task: Task, job: Job, state: Lane, scored: Sequence[dict[str, Any]] = ()
) -> BlockResult:
    """Score a block, and bring the results to the host.

    Args:
      task: the task.
      job: of the block.
      state: of its lanes.
      scored: metrics after each epoch so far, if they were scored.
    """
    if job.split is not None and not scored:
        scored = [_scored(task, job, state)]
    scored, status = jax.device_get((list(scored), state.status))
    result = _result(scored[-1] if scored else {}, status, len(job.going))
    if job.each_epoch:
        plain = [_result(metrics, status, len(job.going)).metrics for metrics in scored]
        curves = {n: np.stack([one[n] for one in plain], axis=1) for n in plain[0]}
        result = result._replace(curves=curves)
    if job.predicts:
        assert job.split is not None, "predictions are for a split"
        found = block_program.predict(task, job.block, state, job.split, job.static)
        result = result._replace(outputs=_outputs(found, len(job.going)))
    going = np.flatnonzero(job.going & (result.status == RUNNING))
    if not going.size:
        return result
    stays = hardware_of().has_own_memory
    return result._replace(states=(keep(state, going, stays),))


def _outputs(found: PyTree, count: int) -> np.ndarray:
    """Return the outputs of the first lanes, ``[m, N, ...]``."""
    return np.asarray(jax.vmap(prediction)(found))[:count]


def _result(metrics: dict[str, Any], status: Any, count: int) -> BlockResult:
    """Return the results of the first lanes, without those of the padding."""
    # NaN has many bit patterns; with one of them, records compare bit by bit
    plain = {
        name: np.where(np.isnan(values), np.float32(np.nan), values)[:count]
        for name, values in metrics.items()
    }
    return BlockResult(plain, np.asarray(status)[:count])


def _untrained(result: BlockResult) -> BlockResult:
    """Return a result in which lanes with a metric that is not finite have failed."""
    # training finds this out by the loss, but here there was no step
    fine = np.all([np.isfinite(v) for v in result.metrics.values()], axis=0)
    return result._replace(status=np.where(fine, RUNNING, DIVERGED).astype(np.int32))
