"""The lanes of one round in training: sent to an epoch, advanced in waves, scored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxtune.population import block as blocks
from jaxtune.population.block import Block, Static
from jaxtune.population.lane import DIVERGED, RUNNING, Lane
from jaxtune.population.packing import Segment, pack
from jaxtune.population.planner import groups
from jaxtune.population.pool import Pool
from jaxtune.population.workload import Workload
from jaxtune.space import Space
from jaxtune.tasks import Task
from jaxtune.types import HparamArrays


class Measured(NamedTuple):
    """What a finished block tells.

    Args:
      metrics: name to ``[m]``, of lanes that arrived.
      failed: how many diverged.
      trainings: how many whole trainings the block was worth.
    """

    metrics: dict[str, np.ndarray]
    failed: int
    trainings: float


OnBlock = Callable[[Measured], None]


class Spent(NamedTuple):
    """Lane-epochs.

    Args:
      live: trained by lanes that were wanted.
      computed: all that blocks computed, padding and diverged lanes included.
    """

    live: int = 0
    computed: int = 0


class Outcome(NamedTuple):
    """What came back, for ``n`` trials and ``s`` seeds.

    Args:
      metrics: name to ``[n, s]`` float32, as last measured; NaN if failed.
      status: ``[n, s]`` int32.
      epochs: ``[n]`` int32, how long each trial trained; 0 for plain functions.
      spent: lane-epochs.
    """

    metrics: dict[str, np.ndarray]
    status: np.ndarray
    epochs: np.ndarray
    spent: Spent = Spent()


class Cohort:
    """``n`` trials times ``s`` seeds in training; lane ``row * s + seed``.

    Mutable: it lives as long as one round. Which lanes share a block changes none of
    their bits.

    Args:
      workload: the task, root key, width and budget; a lane that has trained the whole
        budget is done for good.
      space: the space that the trials come from, for its static dimensions.
      trials: ``[n]`` trial ids.
      hparams: name to ``[n]`` decoded values.
      seeds: ``[s]`` seed ids.
    """

    def __init__(
        self,
        workload: Workload,
        space: Space,
        trials: np.ndarray,
        hparams: HparamArrays,
        seeds: np.ndarray,
    ):
        assert isinstance(workload.subject, Task), "a plain function is not trained"
        self._workload, self._task = workload, workload.subject
        self._space, self._trials, self._seeds = space, trials, seeds
        self.hparams = {name: np.array(values) for name, values in hparams.items()}
        lanes = len(trials) * len(seeds)
        self.epochs = np.zeros(lanes, np.int32)
        self.target = np.zeros(lanes, np.int32)
        self.status = np.full(lanes, RUNNING, np.int32)
        self.metrics: dict[str, np.ndarray] = {}
        self.spent = Spent()
        self._statics: list[Static] = []
        self._pools: list[Pool] = []
        self._group = np.zeros(lanes, np.int32)
        self._regroup(np.arange(len(trials)))

    @property
    def waiting(self) -> np.ndarray:
        """Lanes that have not arrived and have not diverged."""
        return np.flatnonzero((self.epochs < self.target) & (self.status == RUNNING))

    def lanes(self, rows: np.ndarray) -> np.ndarray:
        """``[m, s]`` the lanes of some trials."""
        seeds = np.arange(len(self._seeds))
        return np.asarray(rows)[:, None] * len(self._seeds) + seeds

    def send(self, rows: np.ndarray, epochs: np.ndarray) -> None:
        """Let trials ``[m]`` train until they have trained ``[m]`` epochs."""
        self.target[self.lanes(rows)] = np.asarray(epochs)[:, None]

    def halt(self, rows: np.ndarray) -> None:
        """Let trials go no further than they are."""
        lanes = self.lanes(rows)
        self.target[lanes] = np.minimum(self.target[lanes], self.epochs[lanes])

    def become(self, trials: np.ndarray, hparams: HparamArrays) -> None:
        """Go on under other ids ``[n]``, with other hyperparameters ``{name: [n]}``."""
        self._trials = trials
        self.hparams = {name: np.array(values) for name, values in hparams.items()}
        self._regroup(np.arange(len(trials)))

    def gather(
        self, rows: np.ndarray, source: np.ndarray, hparams: HparamArrays
    ) -> None:
        """Let trials go on from the states of others, all at once.

        Args:
          rows: ``[m]`` which.
          source: ``[m]`` whose state each takes over.
          hparams: name to ``[n]`` values of all trials from now on.
        """
        into, out = self.lanes(rows).ravel(), self.lanes(source).ravel()
        gone = (self.status[out] != RUNNING) | (self.epochs[out] == 0)
        if gone.any():
            lane = out[gone][0] // len(self._seeds)
            raise ValueError(
                f"gather: trial {self._trials[lane]} has no state to go on from: it "
                "has not begun, or has diverged."
            )
        was = self._group[out]
        taken = {g: self._pools[g].take(out[was == g]) for g in np.unique(was)}
        for group in np.unique(self._group[into]):
            self._pools[group].drop(into[self._group[into] == group])
        self.hparams = {name: np.array(values) for name, values in hparams.items()}
        self._regroup(rows)
        if not np.array_equal(self._group[into], was):
            raise ValueError(
                "gather: a trial cannot take over a state of another shape. Static "
                "hyperparameters and sizes must come with it."
            )
        for group, state in taken.items():
            lanes = into[was == group]
            self._pools[group].put(lanes, state, np.arange(len(lanes)))
        self.epochs[into] = self.epochs[out]
        self.status[into] = self.status[out]

    def wave(self, on_block: OnBlock = lambda _: None) -> None:
        """Train the blocks that can be filled, or what is left; commit in order."""
        segments = pack(
            self.waiting,
            self.epochs,
            self.target,
            self._group,
            self._workload.width,
            self._workload.epochs,
        )
        for pair in blocks.in_turn(segments, self._dispatch):
            on_block(self._commit(*pair))

    def outcome(self) -> Outcome:
        """What is known of all trials."""
        shape = (len(self._trials), len(self._seeds))
        names = self.metrics or self._metric_names()
        unknown = np.full(shape, np.nan, np.float32)
        return Outcome(
            {n: self.metrics.get(n, unknown).reshape(shape) for n in names},
            self.status.reshape(shape),
            self.epochs.reshape(shape).min(axis=1),
            self.spent,
        )

    def _metric_names(self) -> list[str]:
        """Found by tracing: no lane has lived to be scored."""
        lanes = np.arange(1)
        static = self._statics[self._group[0]]
        block = self._block(lanes, static)

        def scored():
            state = blocks.start(self._task, self._workload.key, block, static)
            return blocks.score(self._task, block, state, split, static)

        split = self._workload.split
        return list(jax.eval_shape(scored)[0])

    def _regroup(self, rows: np.ndarray) -> None:
        """Find the programs of trials."""
        part = {name: values[rows] for name, values in self.hparams.items()}
        for group in groups(self._workload.layout, self._space, part, len(self._seeds)):
            if group.static not in self._statics:
                self._statics.append(group.static)
                self._pools.append(Pool())
            number = self._statics.index(group.static)
            self._group[self.lanes(rows).ravel()[group.lanes]] = number

    def _dispatch(self, segment: Segment) -> Any:
        """Start one segment; nothing is waited for."""
        static, lanes = self._statics[segment.group], segment.lanes
        task, root, split = self._task, self._workload.key, self._workload.split
        block = self._block(lanes, static)
        state = self._state(segment, block)
        state = blocks.advance(task, root, block, state, segment.epochs, static)
        after, metrics, status = self.epochs[lanes] + segment.epochs, {}, state.status
        if (after == self.target[lanes]).any():
            metrics, status = blocks.score(task, block, state, split, static)
        done = (after >= self._workload.epochs).all()
        return None if done else state, metrics, status

    def _block(self, lanes: np.ndarray, static: Static) -> Block:
        own = (self._trials, self.hparams, self._seeds)
        return blocks.fill(lanes, *own, static, self._workload.width)

    def _state(self, segment: Segment, block: Block) -> Lane:
        """States of a block's lanes: started, kept from before, or some of each."""
        pool, width = self._pools[segment.group], self._workload.width
        lanes = segment.lanes[np.minimum(np.arange(width), len(segment.lanes) - 1)]
        fresh = self.epochs[lanes] == 0
        if not fresh.any():
            return pool.take(lanes)
        static = self._statics[segment.group]
        started = blocks.start(self._task, self._workload.key, block, static)
        if fresh.all():
            return started
        kept = pool.take(np.where(fresh, lanes[~fresh][0], lanes))
        source = np.where(fresh, -1, np.arange(width)).astype(np.int32)
        return blocks.gather(kept, started, source)

    def _commit(self, segment: Segment, result: Any) -> Measured:
        state, metrics, status = result
        lanes, count = segment.lanes, len(segment.lanes)
        pool = self._pools[segment.group]
        metrics, status = jax.device_get((metrics, status))
        failed = status[:count] == DIVERGED
        self.epochs[lanes] += segment.epochs
        self.status[lanes] = np.where(failed, DIVERGED, RUNNING)
        arrived = self.epochs[lanes] == self.target[lanes]
        for name, values in metrics.items():
            empty = np.full(len(self.epochs), np.nan, np.float32)
            kept = self.metrics.setdefault(name, empty)
            kept[lanes[arrived]] = values[:count][arrived]
        for kept in self.metrics.values():
            kept[lanes[failed]] = np.nan
        on = ~failed & (self.epochs[lanes] < self._workload.epochs)
        pool.drop(lanes[~on])
        if on.any():
            pool.put(lanes[on], state, np.flatnonzero(on))
        self.spent = Spent(
            self.spent.live + segment.epochs * count,
            self.spent.computed + segment.epochs * self._workload.width,
        )
        told = lanes[arrived]
        return Measured(
            {name: kept[told] for name, kept in self.metrics.items()},
            int(failed.sum()),
            segment.epochs * count / self._workload.epochs,
        )
