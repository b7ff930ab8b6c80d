"""The lanes of one round in training: sent to an epoch, advanced in waves, scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import NamedTuple

import numpy as np
from flax.core import FrozenDict

from jaxtune.brevity import brief
from jaxtune.executors.streamed import local_pool
from jaxtune.executors.workers import MakePool
from jaxtune.planning.layout import groups
from jaxtune.planning.subsets import subset_of, told
from jaxtune.planning.workload import Workload
from jaxtune.programs import block as block_program
from jaxtune.programs.block import Block, Static
from jaxtune.programs.job import BlockResult, Job
from jaxtune.programs.kept import assembled
from jaxtune.programs.lane import FAILED, RUNNING, WAITING, Lane, Subset
from jaxtune.space import Space
from jaxtune.tasks import without_stream
from jaxtune.tasks.subsets import with_subsets
from jaxtune.training.curves import Curves
from jaxtune.training.journal import BlockAssignment, FinishedBlock, Journal
from jaxtune.training.ledger import Ledger
from jaxtune.training.packing import (
    Segment,
    pack_from_scratch,
    pack_in_lockstep,
    pack_lanes,
)
from jaxtune.training.runner import BlockRunner
from jaxtune.training.state_store import StateStore
from jaxtune.training.stopping import Stopping
from jaxtune.training.widths import WidthOverrides, overrides_of
from jaxtune.types import HparamArrays


@brief
class BlockEvent(NamedTuple):
    """A finished block, as callbacks see it: a row for each lane scored or failed.

    Args:
      trial: ``[m]`` int.
      seed: ``[m]`` int.
      epochs: ``[m]`` int, trained until then; 0 for plain functions.
      metrics: name to ``[m]`` float32; NaN if failed.
      failed: number of lanes that failed.
      trainings: number of whole trainings that the block was worth.
    """

    trial: np.ndarray
    seed: np.ndarray
    epochs: np.ndarray
    metrics: dict[str, np.ndarray]
    failed: int
    trainings: float


OnBlock = Callable[[BlockEvent], None]


class TrainedLanes(NamedTuple):
    """Lanes with their states, as the programs of a block take them.

    Args:
      block: their identities.
      static: values that their programs are compiled for.
      state: stacked states, first axis ``[s]``.
    """

    block: Block
    static: Static
    state: Lane


class LaneEpochs(NamedTuple):
    """Epochs of single lanes, or values of a plain function.

    Args:
      live: of all lanes of blocks but the padding, also after they diverged.
      computed: of all lanes of blocks, padding included.
    """

    live: int = 0
    computed: int = 0


@brief
class RoundMetrics(NamedTuple):
    """The results of a round, for ``n`` trials and ``s`` seeds.

    Args:
      metrics: name to ``[n, s]`` float32, as last measured; NaN if failed.
      status: ``[n, s]`` int32.
      epochs: ``[n]`` int32, trained by each trial; 0 for plain functions.
      spent: lane-epochs.
      width_overrides: blocks of another width than was planned.
      devices: kind of device to the trials that trained on it.
      history: name to ``[n, s, epochs]`` float32, after each epoch, if it was asked
        for; NaN where a trial has not been, or failed.
      predictions: ``"outputs"`` to ``[n, s, N, ...]`` for the validation split, if they
        were asked for; NaN where a trial has not trained in full.
    """

    metrics: dict[str, np.ndarray]
    status: np.ndarray
    epochs: np.ndarray
    spent: LaneEpochs = LaneEpochs()
    width_overrides: WidthOverrides = overrides_of()
    devices: Mapping[str, np.ndarray] = FrozenDict()
    history: Mapping[str, np.ndarray] = FrozenDict()
    predictions: Mapping[str, np.ndarray] = FrozenDict()

    def first(self, count: int) -> RoundMetrics:
        """Return the results of the first trials of the round."""
        if count == len(self.epochs):
            return self

        def cut(part: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: values[:count] for name, values in part.items()}

        return self._replace(
            metrics=cut(self.metrics),
            status=self.status[:count],
            epochs=self.epochs[:count],
            history=cut(self.history),
            predictions=cut(self.predictions),
        )


def without_uneven(known: RoundMetrics) -> RoundMetrics:
    """Return what is known of a round that is open, without trials in between.

    A score is the mean over seeds after equal epochs: seeds that were scored after
    different ones have none in common yet.

    Args:
      known: with the epochs ``[n, s]`` of each lane.
    """
    epochs, status = known.epochs.copy(), known.status.copy()
    over = np.isin(status, FAILED).any(axis=1)
    uneven = (epochs != epochs[:, :1]).any(axis=1) & ~over
    epochs[uneven], status[uneven] = 0, WAITING
    metrics = {name: values.copy() for name, values in known.metrics.items()}
    for values in metrics.values():
        values[uneven] = np.nan
    return known._replace(metrics=metrics, status=status, epochs=epochs.min(axis=1))


class RoundState:
    """``n`` trials times ``s`` seeds in training; lane ``row * s + seed``.

    Mutable: it lives as long as one round. A lane's bits depend on the width of its
    blocks, and never on the lanes beside it.

    Args:
      workload: the task, root key, width and budget; a lane that has trained the whole
        budget is done for good.
      space: the space that the trials come from, for its static dimensions.
      trials: ``[n]`` trial ids.
      hparams: name to ``[n]`` decoded values.
      seeds: ``[s]`` seed ids.
      journal: records every block; it may know the results of some.
      make_pool: makes the worker pool.
      stopping: may end the search after a block.
      keeps_last: whether states are also kept of lanes that have trained the budget.
      asked: trials whose configurations are known, the first ones; the others train
        when they are, see `assign`. All if ``None``.
    """

    def __init__(
        self,
        workload: Workload,
        space: Space,
        trials: np.ndarray,
        hparams: HparamArrays,
        seeds: np.ndarray,
        journal: Journal | None = None,
        make_pool: MakePool = local_pool,
        stopping: Stopping | None = None,
        keeps_last: bool = False,
        asked: int | None = None,
    ):
        self._keeps_last = keeps_last
        self._asked = len(trials) if asked is None else asked
        # a stream does not fit on a device: programs get some of its rows at a time
        self._stream = workload.task.stream
        self._workload, self._task = workload, without_stream(workload.task)
        if workload.budget_rows:
            self._task = with_subsets(self._task, workload.key)
        self._space, self._trials, self._seeds = space, trials, seeds
        self._journal = journal or Journal()
        self._runner = BlockRunner(
            make_pool((self._task, workload.key), self._stream),
            workload.width,
            self._journal,
            workload.across,
            stopping,
        )
        # whether the next block is on record
        self.replaying = False
        curves, lanes = None, len(trials) * len(seeds)
        if workload.scoring.each_epoch:
            curves = Curves(workload.scoring, lanes, workload.budget)
        self.ledger = Ledger(len(trials), len(seeds), curves)
        self.hparams = {name: np.array(values) for name, values in hparams.items()}
        self.spent = LaneEpochs()
        self._outputs: np.ndarray | None = None
        self._statics: list[Static] = []
        self._shapes: list[Callable[[], Lane]] = []
        self._states = StateStore(self._journal.states)
        self._group = np.zeros(len(trials) * len(seeds), np.int32)
        self._regroup(np.arange(len(trials)))

    def relabel(self, trials: np.ndarray, hparams: HparamArrays) -> None:
        """Give all trials other ids ``[n]`` and hyperparameters ``{name: [n]}``."""
        self._trials = trials
        self.hparams = {name: np.array(values) for name, values in hparams.items()}
        self._regroup(np.arange(len(trials)))

    @property
    def idle(self) -> bool:
        """True if no lane with a configuration has anything to train."""
        return not self._waiting.size

    def assign(self, asked: int, hparams: HparamArrays) -> None:
        """Give more trials their configurations.

        Args:
          asked: trials that have one from now on, the first of the round.
          hparams: name to ``[n]`` values of all trials.
        """
        rows = np.arange(self._asked, asked)
        self._asked = asked
        self.hparams = {name: np.array(values) for name, values in hparams.items()}
        self._regroup(rows)

    @property
    def _waiting(self) -> np.ndarray:
        waiting = self.ledger.waiting
        return waiting[waiting < self._asked * len(self._seeds)]

    def gather(
        self, rows: np.ndarray, source: np.ndarray, hparams: HparamArrays
    ) -> None:
        """Replace the states of trials by those of others, all at once.

        Args:
          rows: ``[m]`` the trials.
          source: ``[m]`` the trials that the states come from.
          hparams: name to ``[n]`` values of all trials from now on.
        """
        ledger = self.ledger
        into, out = ledger.lanes(rows).ravel(), ledger.lanes(source).ravel()
        gone = (ledger.status[out] != RUNNING) | (ledger.epochs[out] == 0)
        if gone.any():
            lane = out[gone][0] // len(self._seeds)
            raise ValueError(
                f"gather: trial {self._trials[lane]} has no state to go on from: it "
                "has not begun, or has failed."
            )
        was = self._group[out]
        # first share, then drop: the same decision may let a trial lose its state and
        # others take it over, and a state without users is gone
        taken = self._states.share(out)
        self._states.drop(into)
        self.hparams = {name: np.array(values) for name, values in hparams.items()}
        self._regroup(rows)
        if not np.array_equal(self._group[into], was):
            raise ValueError(
                "gather: a trial cannot take over a state of another shape. Static "
                "hyperparameters and sizes must come with it."
            )
        self._states.give(into, taken)
        ledger.copy(into, out)

    def release(self, rows: np.ndarray) -> None:
        """Give up the states of trials ``[m]`` that never train again."""
        self._states.drop(self.ledger.lanes(rows).ravel())
        self._states.settle()

    def trained(self, row: int) -> TrainedLanes:
        """Return the states of a trial, one lane for each seed.

        Raises:
          KeyError: a seed whose state is not kept, such as one that diverged.
        """
        lanes = self.ledger.lanes(np.asarray([row]))[0]
        group = self._group[lanes[0]]
        static = self._statics[group]
        sources = self._states.take(lanes, np.ones(len(lanes), bool))
        (device,) = self._workload.key.devices()
        like, gather = self._shapes[group](), partial(block_program.gather, self._task)
        state = assembled(sources, None, like, gather, device)
        return TrainedLanes(self._block(lanes, static, len(lanes)), static, state)

    def wave(self, on_block: OnBlock = lambda _: None) -> None:
        """Train the blocks that can be filled, or the rest; commit them in order."""
        for block in self._runner.run(
            self._segments(), self._assign, self._job, self._states.leave_devices
        ):
            on_block(self._commit(block))

    def _segments(self) -> list[Segment]:
        # blocks on record must be packed again for the width that they had
        width, ledger = self._journal.packing_width(self._workload.width), self.ledger
        waiting = self._waiting
        if not self._task.trains:
            # nothing waits for another lane: a group is one segment, cut by the runner
            return pack_in_lockstep(waiting, ledger.epochs, self._group, len(waiting))
        if self._stream is not None:
            return pack_in_lockstep(waiting, ledger.epochs, self._group, width)
        if self._workload.budget_rows:
            return pack_from_scratch(waiting, ledger.lane_target, self._group, width)
        return pack_lanes(
            waiting,
            epochs=ledger.epochs,
            target=ledger.lane_target,
            group=self._group,
            width=width,
            budget=self._workload.budget,
        )

    def metrics(self) -> RoundMetrics:
        """Return the last metrics, statuses and epochs of all trials."""
        ledger = self.ledger
        known = {n: v.reshape(ledger.shape) for n, v in self._known().items()}
        return RoundMetrics(
            metrics=known,
            status=ledger.status.reshape(ledger.shape),
            # the ledger counts turns, and a plain function's one turn is no epoch
            epochs=np.minimum(ledger.trial_epochs, self._workload.epochs),
            spent=self.spent,
            width_overrides=self._runner.width_overrides,
            devices=self._runner.devices,
            history=self._history(),
            predictions=self._predictions(),
        )

    def so_far(self) -> RoundMetrics:
        """Return what is known while lanes train: of each, when it was last scored."""
        ledger, budget = self.ledger, self._workload.epochs
        shape, shown = ledger.shape, ledger.shown
        epochs = np.where(shown, np.minimum(ledger.shown_epochs, budget), 0)
        done = np.isin(ledger.shown_status, FAILED) | (epochs >= budget)
        status = np.where(shown & done, ledger.shown_status, WAITING)
        whole = self.metrics()
        unknown = ~shown.reshape(shape)
        known = {n: np.where(unknown, np.nan, v) for n, v in whole.metrics.items()}
        return without_uneven(
            whole._replace(
                metrics={n: v.astype(np.float32) for n, v in known.items()},
                status=status.reshape(shape).astype(np.int32),
                epochs=epochs.reshape(shape),
                history={},  # these are whole once the round has ended
                predictions={},
            )
        )

    def _predictions(self) -> dict[str, np.ndarray]:
        if self._outputs is None:
            return {}
        shape = (*self.ledger.shape, *self._outputs.shape[1:])
        return {"outputs": self._outputs.reshape(shape)}

    def _note_outputs(self, lanes: np.ndarray, outputs: np.ndarray) -> None:
        """Keep the outputs of lanes that have trained the whole budget."""
        if self._outputs is None:
            shape = (len(self._group), *outputs.shape[1:])
            self._outputs = np.full(shape, np.nan, outputs.dtype)
        self._outputs[lanes] = outputs

    def _history(self) -> dict[str, np.ndarray]:
        curves, shape = self.ledger.curves, self.ledger.shape
        known = curves.history() if curves is not None else {}
        return {name: values.reshape(*shape, -1) for name, values in known.items()}

    def _known(self) -> dict[str, np.ndarray]:
        """Return metrics by lane; all NaN as long as no block has been scored."""
        if self.ledger.metrics:
            return self.ledger.metrics
        unknown = np.full(len(self._group), np.nan, np.float32)
        return dict.fromkeys(self._metric_names(), unknown)

    def _metric_names(self) -> list[str]:
        """Find the names of the metrics by tracing."""
        # callbacks get every metric by name from the first block on, whatever failed
        static, split = self._statics[self._group[0]], self._workload.split
        block, state = self._block(np.arange(1), static, 1), self._shape(static)
        scored = block_program.score.eval_shape(self._task, block, state, split, static)
        return [*scored[0], *self._workload.scoring.added]

    def _shape(self, static: Static) -> Lane:
        """Return shapes and dtypes of one lane of a group, as a block of width 1."""
        block = self._block(np.flatnonzero(self._group_of(static))[:1], static, 1)
        return block_program.shape(self._task, self._workload.key, block, static)

    def _group_of(self, static: Static) -> np.ndarray:
        """Return ``[L]`` bool: true for the lanes of a group."""
        return self._group == self._statics.index(static)

    def _regroup(self, rows: np.ndarray) -> None:
        """Find the programs of trials."""
        part = {name: values[rows] for name, values in self.hparams.items()}
        for group in groups(self._workload.layout, self._space, part, len(self._seeds)):
            if group.static not in self._statics:
                # appended and never sorted: lanes keep the numbers of their groups
                self._statics.append(group.static)
                self._shapes.append(cache(partial(self._shape, group.static)))
            number = self._statics.index(group.static)
            self._group[self.ledger.lanes(rows).ravel()[group.lanes]] = number

    def _assign(self, segment: Segment) -> BlockAssignment:
        lanes, seeds = segment.lanes, len(self._seeds)
        after = self._after(segment)
        # a plain function takes one turn, in which it trains zero epochs
        most = self._workload.epochs
        return BlockAssignment(
            trial=self._trials[lanes // seeds],
            seed=self._seeds[lanes % seeds],
            epochs=np.minimum(after, most),
            arrives=after == self.ledger.target[lanes // seeds],
            trains=min(segment.epochs, most),
        )

    def _after(self, segment: Segment) -> np.ndarray:
        """Return the epochs ``[m]`` of lanes when a segment has ended."""
        # a training on a subset of the data begins anew
        began = 0 if self._workload.budget_rows else self.ledger.epochs[segment.lanes]
        return np.full(len(segment.lanes), segment.epochs) + began

    def _block(
        self,
        lanes: np.ndarray,
        static: Static,
        width: int,
        draws: np.ndarray | None = None,
    ) -> Block:
        """Return a block; ``draws`` name the random numbers of the trials, if given."""
        draws = self._trials if draws is None else draws
        return block_program.fill(
            lanes, draws, self.hparams, self._seeds, static, width
        )

    def _job(self, segment: Segment, assignment: BlockAssignment, width: int) -> Job:
        """Return a segment as a job that any device can run."""
        lanes = segment.lanes
        static = self._statics[segment.group]
        # padding repeats the last lane here because fill() repeats it in the block
        padded = lanes[np.minimum(np.arange(width), len(lanes) - 1)]
        draws = self._trials // self._workload.shared
        subset = self._subset(segment)
        trained = self.ledger.epochs[padded] * (subset is None)
        sources = self._states.take(padded, trained > 0)
        each = self._workload.scoring.each_epoch
        return Job(
            block=self._block(lanes, static, width, draws),
            static=static if subset is None else told(static, subset),
            trained=trained,
            sources=sources,
            like=self._shapes[segment.group]() if sources else None,
            epochs=assignment.trains if subset is None else self._workload.epochs,
            split=self._workload.split if each or assignment.arrives.any() else None,
            going=self._goes_on(assignment),
            each_epoch=each,
            predicts=self._predicts(assignment),
            subset=subset,
        )

    def _subset(self, segment: Segment) -> Subset | None:
        """Return the subset of the training data that a segment trains on."""
        batching = self._statics[segment.group].batching
        if batching is None:
            return None
        return subset_of(self._workload, batching, segment.epochs)

    def _predicts(self, assignment: BlockAssignment) -> bool:
        """Return whether a block's predictions are kept: some lanes are done then."""
        done = assignment.epochs == self._workload.epochs
        return self._workload.keep is not None and bool(done.any())

    def _goes_on(self, assignment: BlockAssignment) -> np.ndarray:
        """Return ``[m]`` bool: lanes whose states are kept, unless they diverge."""
        if self._workload.budget_rows:
            goes_on = np.zeros(len(assignment.epochs), bool)
        else:
            # no state leaves the device for a lane that has trained the whole budget
            goes_on = assignment.epochs < self._workload.epochs
        return goes_on | self._keeps_last

    def _commit(self, block: FinishedBlock) -> BlockEvent:
        """Add the result of a segment to the ledger, the states and the journal."""
        block = block._replace(result=self._by_rule(block.segment, block.result))
        segment, assignment, result = block.segment, block.assignment, block.result
        lanes = segment.lanes
        # must select the lanes whose states `job.end` kept: result.states has one row
        # for each of them, in this order
        going = self._goes_on(assignment) & (result.status == RUNNING)
        # the states that this block began with can go in the transaction that keeps it
        self._states.drop(lanes)
        if going.any():
            self._states.put(lanes[going], block.number, result.states)
        self.replaying = block.number + 1 < self._journal.remembered
        if block.new:
            self._journal.keep(block, self._states)
        self._states.settle()
        self.ledger.note(
            lanes,
            self._after(segment),
            assignment.arrives,
            result.metrics,
            result.status,
        )
        if result.outputs is not None:
            done = assignment.epochs == self._workload.epochs
            self._note_outputs(lanes[done], result.outputs[done])
        self.spent = LaneEpochs(
            self.spent.live + segment.epochs * len(lanes),
            self.spent.computed + segment.epochs * block.width,
        )
        return self._event(block)

    def _by_rule(self, segment: Segment, result: BlockResult) -> BlockResult:
        """Return a result whose metrics follow from those after each epoch."""
        curves, lanes = self.ledger.curves, segment.lanes
        if curves is None or not result.curves:
            return result
        begin = self.ledger.epochs[lanes]
        curves.note(lanes, begin, result.curves)
        lost = np.isin(result.status, FAILED)
        metrics = {
            # a lane that failed has no score, however good it was before
            name: np.where(lost, np.float32(np.nan), values)
            for name, values in curves.scores(lanes, begin + segment.epochs).items()
        }
        return result._replace(metrics=metrics)

    def _event(self, block: FinishedBlock) -> BlockEvent:
        lanes, assignment = block.segment.lanes, block.assignment
        failed = np.isin(block.result.status, FAILED)
        shown = assignment.arrives | failed
        return BlockEvent(
            trial=assignment.trial[shown],
            seed=assignment.seed[shown],
            epochs=assignment.epochs[shown],
            metrics={name: v[lanes[shown]] for name, v in self._known().items()},
            failed=int(failed.sum()),
            trainings=block.segment.epochs * len(lanes) / self._workload.budget,
        )
