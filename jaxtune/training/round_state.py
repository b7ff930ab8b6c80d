"""The lanes of one round in training: sent to an epoch, advanced in waves, scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from jaxtune.executors.streamed import local
from jaxtune.executors.workers import MakePool
from jaxtune.planning.layout import groups
from jaxtune.planning.workload import Workload
from jaxtune.programs import block as blocks
from jaxtune.programs.block import Block, Static
from jaxtune.programs.job import Finished, Job, run
from jaxtune.programs.lane import FAILED, RUNNING, Lane
from jaxtune.space import Space
from jaxtune.tasks import Task, without_stream
from jaxtune.training.journal import BlockAssignment, Journal
from jaxtune.training.packing import Segment, pack, pack_in_lockstep
from jaxtune.training.runner import BlockRunner, FinishedBlock
from jaxtune.training.state_store import StateStore
from jaxtune.training.widths import WidthOverrides, narrowed
from jaxtune.types import HparamArrays


class BlockEvent(NamedTuple):
    """What a finished block tells: a row for each lane that was scored, or failed.

    Args:
      trial: ``[m]`` int.
      seed: ``[m]`` int.
      epochs: ``[m]`` int, trained until then; 0 for plain functions.
      metrics: name to ``[m]`` float32; NaN if failed.
      failed: how many failed.
      trainings: how many whole trainings the block was worth.
    """

    trial: np.ndarray
    seed: np.ndarray
    epochs: np.ndarray
    metrics: dict[str, np.ndarray]
    failed: int
    trainings: float


OnBlock = Callable[[BlockEvent], None]


class LaneEpochs(NamedTuple):
    """Lane-epochs.

    Args:
      live: trained by lanes that were wanted.
      computed: all that blocks computed, padding and diverged lanes included.
    """

    live: int = 0
    computed: int = 0


class RoundMetrics(NamedTuple):
    """What came back, for ``n`` trials and ``s`` seeds.

    Args:
      metrics: name to ``[n, s]`` float32, as last measured; NaN if failed.
      status: ``[n, s]`` int32.
      epochs: ``[n]`` int32, how long each trial trained; 0 for plain functions.
      spent: lane-epochs.
      narrow: blocks that were narrower than the workload's.
      devices: kind of device to the trials that trained on it.
    """

    metrics: dict[str, np.ndarray]
    status: np.ndarray
    epochs: np.ndarray
    spent: LaneEpochs = LaneEpochs()
    narrow: WidthOverrides = narrowed()
    devices: Mapping[str, np.ndarray] = MappingProxyType({})


class RoundState:
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
      journal: told of every block; it may know what some of them measured.
      hire: who runs blocks.
    """

    def __init__(
        self,
        workload: Workload,
        space: Space,
        trials: np.ndarray,
        hparams: HparamArrays,
        seeds: np.ndarray,
        journal: Journal | None = None,
        hire: MakePool = local,
    ):
        assert isinstance(workload.subject, Task), "a plain function is not trained"
        # programs of a stream get its rows beside the task
        self._stream = workload.subject.stream
        self._workload, self._task = workload, without_stream(workload.subject)
        self._space, self._trials, self._seeds = space, trials, seeds
        self._journal = journal or Journal()
        hands = hire((self._task, workload.key), self._stream)
        own = (workload.width, self._journal, workload.across)
        self._runner = BlockRunner(hands, *own)
        self.hparams = {name: np.array(values) for name, values in hparams.items()}
        lanes = len(trials) * len(seeds)
        self.epochs = np.zeros(lanes, np.int32)
        self.target = np.zeros(lanes, np.int32)
        self.status = np.full(lanes, RUNNING, np.int32)
        self.metrics: dict[str, np.ndarray] = {}
        self.spent = LaneEpochs()
        self._statics: list[Static] = []
        self._pools: list[StateStore] = []
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
        taken = {g: self._pools[g].share(out[was == g]) for g in np.unique(was)}
        for group in np.unique(self._group[into]):
            self._pools[group].drop(into[self._group[into] == group])
        self.hparams = {name: np.array(values) for name, values in hparams.items()}
        self._regroup(rows)
        if not np.array_equal(self._group[into], was):
            raise ValueError(
                "gather: a trial cannot take over a state of another shape. Static "
                "hyperparameters and sizes must come with it."
            )
        for group, states in taken.items():
            self._pools[group].give(into[was == group], states)
        self.epochs[into] = self.epochs[out]
        self.status[into] = self.status[out]

    def wave(self, on_block: OnBlock = lambda _: None) -> None:
        """Train the blocks that can be filled, or what is left; commit in order."""
        for ran in self._runner.each(run, self._segments(), self._work, self._job):
            on_block(self._commit(ran))

    def _segments(self) -> list[Segment]:
        width = self._journal.packed(self._workload.width)
        if self._stream is not None:
            return pack_in_lockstep(self.waiting, self.epochs, self._group, width)
        state = (self.epochs, self.target, self._group)
        return pack(self.waiting, *state, width, self._workload.epochs)

    def outcome(self) -> RoundMetrics:
        """What is known of all trials."""
        shape = (len(self._trials), len(self._seeds))
        return RoundMetrics(
            {name: values.reshape(shape) for name, values in self._known().items()},
            self.status.reshape(shape),
            self.epochs.reshape(shape).min(axis=1),
            self.spent,
            self._runner.narrow,
            self._runner.devices,
        )

    def _known(self) -> dict[str, np.ndarray]:
        """Metrics by lane; all NaN as long as no lane has lived to be scored."""
        if self.metrics:
            return self.metrics
        unknown = np.full(len(self.epochs), np.nan, np.float32)
        return dict.fromkeys(self._metric_names(), unknown)

    def _metric_names(self) -> list[str]:
        """Found by tracing."""
        static = self._statics[self._group[0]]
        block = self._block(np.arange(1), static, 1)
        shape, split = self._shape(static), self._workload.split
        call = (self._task, block, shape, split, static)
        return list(blocks.score.eval_shape(*call)[0])

    def _shape(self, static: Static) -> Lane:
        """The abstract states of a block of one lane of a group."""
        block = self._block(np.flatnonzero(self._group_of(static))[:1], static, 1)
        return blocks.shape(self._task, self._workload.key, block, static)

    def _group_of(self, static: Static) -> np.ndarray:
        """``[L]`` bool: the lanes of a group."""
        return self._group == self._statics.index(static)

    def _regroup(self, rows: np.ndarray) -> None:
        """Find the programs of trials."""
        part = {name: values[rows] for name, values in self.hparams.items()}
        for group in groups(self._workload.layout, self._space, part, len(self._seeds)):
            if group.static not in self._statics:
                self._statics.append(group.static)
                shape = partial(self._shape, group.static)
                self._pools.append(StateStore(shape, self._journal.state))
            number = self._statics.index(group.static)
            self._group[self.lanes(rows).ravel()[group.lanes]] = number

    def _work(self, segment: Segment) -> BlockAssignment:
        lanes, seeds = segment.lanes, len(self._seeds)
        after = self.epochs[lanes] + segment.epochs
        trial, seed = self._trials[lanes // seeds], self._seeds[lanes % seeds]
        return BlockAssignment(
            trial, seed, after, after == self.target[lanes], segment.epochs
        )

    def _block(self, lanes: np.ndarray, static: Static, width: int) -> Block:
        own = (self._trials, self.hparams, self._seeds)
        return blocks.fill(lanes, *own, static, width)

    def _job(self, segment: Segment, work: BlockAssignment, width: int) -> Job:
        """A segment as something that any device can run."""
        pool, static = self._pools[segment.group], self._statics[segment.group]
        lanes = segment.lanes
        padded = lanes[np.minimum(np.arange(width), len(lanes) - 1)]
        fresh, state = self.epochs[padded] == 0, None
        if not fresh.all():
            state = pool.take(np.where(fresh, padded[~fresh][0], padded))
        split = self._workload.split if work.arrives.any() else None
        going = work.epochs < self._workload.epochs
        block = self._block(lanes, static, width)
        return Job(block, static, fresh, state, segment.epochs, split, going)

    def _commit(self, ran: FinishedBlock) -> BlockEvent:
        """Take in what a segment brought, and let the journal keep it."""
        segment, work = ran.piece, ran.work
        lanes, count = segment.lanes, len(segment.lanes)
        pool = self._pools[segment.group]
        finished, kept = ran.done
        on = (finished.status == RUNNING) & (work.epochs < self._workload.epochs)
        pool.drop(lanes)
        if ran.new:
            unneeded = [block for each in self._pools for block in each.unneeded()]
            self._runner.keep(ran, unneeded)
        if on.any():
            pool.put(lanes[on], ran.number, kept)
        self._note(lanes, work, finished)
        self.spent = LaneEpochs(
            self.spent.live + segment.epochs * count,
            self.spent.computed + segment.epochs * ran.width,
        )
        failed = np.isin(finished.status, FAILED)
        told = work.arrives | failed
        return BlockEvent(
            *(work.trial[told], work.seed[told], work.epochs[told]),
            {name: values[lanes[told]] for name, values in self._known().items()},
            int(failed.sum()),
            segment.epochs * count / self._workload.epochs,
        )

    def _note(
        self, lanes: np.ndarray, work: BlockAssignment, finished: Finished
    ) -> None:
        self.epochs[lanes] = work.epochs
        self.status[lanes] = finished.status
        for name, values in finished.metrics.items():
            empty = np.full(len(self.epochs), np.nan, np.float32)
            kept = self.metrics.setdefault(name, empty)
            kept[lanes[work.arrives]] = values[work.arrives]
        for kept in self.metrics.values():
            kept[lanes[np.isin(finished.status, FAILED)]] = np.nan
