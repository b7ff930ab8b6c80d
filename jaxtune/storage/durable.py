"""A journal in a run directory, where every finished block is one transaction."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from jaxtune.checks import RunError, warn
from jaxtune.programs.job import BlockResult
from jaxtune.programs.kept import KeptStates
from jaxtune.reading import decoding
from jaxtune.space import Space
from jaxtune.space.points import Points
from jaxtune.storage import sums, writer
from jaxtune.storage.arrays import from_bytes, to_bytes
from jaxtune.storage.bounds import MOST
from jaxtune.storage.documents import (
    box_document,
    box_of,
    hparams_documents,
    hparams_of,
)
from jaxtune.storage.forms import check_training
from jaxtune.storage.rows import insert_rows, new_rows, rows_on_record
from jaxtune.storage.store import Store
from jaxtune.storage.sums import seal, seal_last
from jaxtune.storage.writer import Change, Writer
from jaxtune.tasks import Stream
from jaxtune.training.journal import BlockAssignment, FinishedBlock, Journal
from jaxtune.training.ledger import Rungs
from jaxtune.training.round import Training
from jaxtune.training.round_state import LaneEpochs, RoundMetrics
from jaxtune.training.state_store import MissingStates, RecordedStates, StateStore
from jaxtune.training.trajectory import Lineage
from jaxtune.training.widths import WidthOverrides

AT_ONCE = 1  # transactions that may wait for the disk while the search goes on
LAST_BLOCK = "SELECT coalesce(max(block) + 1, 0) FROM blocks"
SOONEST = 1.0  # seconds between two notes of the time, and at least 2 % of the session
PLACES = "places"  # in a blob of states: of the states that the block left, these


class Durable(Journal):
    """The journal of one search; see `jaxtune.training.journal.Journal`.

    Mutable: it stands at a block of a round. It returns what is recorded in the order
    in which it happened, and raises if the search requests something else.

    Args:
      store: the open file.
      space: the space that the user gave.
      budgets: epochs of a whole training in each round; 0 for plain functions.
      with_curves: whether blocks are scored after every epoch.
      stream: of the training data, if there is one.
    """

    def __init__(
        self,
        store: Store,
        space: Space,
        budgets: Sequence[int],
        with_curves: bool = False,
        stream: Stream | None = None,
    ):
        super().__init__()
        self._store, self._space, self._budgets = store, space, budgets
        self._with_curves, self._stream = with_curves, stream
        self._epochs_read = set(rows_on_record(store))
        self._round = self._variation = self._trials = 0
        # what the file knew when it was opened: all after it is known here
        self._recorded = store.one(LAST_BLOCK)
        self._recorded_variations = 0
        last = "SELECT width FROM blocks ORDER BY block DESC LIMIT 1"
        self._last_width = _as_width(store, store.one(last))
        self._writer = Writer(store)
        # seconds of this session after which the time is noted next
        self._began, self._next_time = time.monotonic(), SOONEST
        self._waiting: list[Change | PendingBlock] = []
        self._states: StateStore | None = None
        # what waits is handed over by this thread, or by a timer if no block follows
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None
        self._closed = False

    def begin(self, number: int, make: Callable[[], Points]) -> Points:
        """Begin a round; return its recorded points, or make and record them now."""
        # blocks are numbered through all rounds, also when ended rounds are skipped
        self.flush()
        # of a repaired record, blocks may be missing
        self._round, self._variation, self._states = number, 0, None
        self._block = self._store.one(f"{LAST_BLOCK} WHERE round < ?", number)
        variations = "SELECT count(*) FROM variations WHERE round = ?"
        self._recorded_variations = self._store.one(variations, number)
        # counted here from now on: rows that wait for the disk are not in the table
        self._trials = self._store.one("SELECT count(*) FROM trials")
        with decoding(self._store.path):
            known = started(self._store, self._space, number)
        return known or self._begun(number, make())

    def _begun(self, number: int, start: Points) -> Points:
        rows, box = self._rows(number, start), json.dumps(box_document(start.space))
        with self._store.change() as db:
            db.execute("INSERT INTO rounds VALUES (?, ?, NULL)", (number, box))
            seal(db, "round", number)
            _insert_trials(rows, db)
            note(db, "round", f"{number}: {len(rows)} trials")
        return start

    def add(self, number: int, more: Points) -> None:
        """Record more points of a round, with the blocks before them."""
        insert = partial(_insert_trials, self._rows(number, more))
        with self._lock:
            self._waiting.append(insert)

    def _rows(self, number: int, points: Points) -> list[tuple[int, int, bytes, str]]:
        """Return the rows of new trials, which get the next ids."""
        first, self._trials = self._trials, self._trials + len(points.points)
        documents = hparams_documents(self._space, points.hparams)
        for row, document in enumerate(documents):  # no hyperparameter has such a name
            document |= {name: v[row].item() for name, v in points.sizes.items()}
        return [
            (first + i, number, point.tobytes(), json.dumps(documents[i]))
            for i, point in enumerate(np.asarray(points.points, np.float32))
        ]

    def ended(self, number: int) -> tuple[Points, Training] | None:
        """Return a recorded round that has ended, or ``None``."""
        blob = self._store.one("SELECT ended FROM rounds WHERE round = ?", number)
        if blob is None:
            return None
        with decoding(self._store.path):
            start = started(self._store, self._space, number)
            if start is None:
                raise ValueError(f"round {number} has no points")
            training = training_of(from_bytes(blob), start, self._budgets[number])
            first = "SELECT min(trial) FROM trials WHERE round = ?"
            count, repeats = len(start.points), training.outcome.status.shape[1]
            check_training(training, count, self._store.one(first, number), repeats)
        return start, training

    def begun(self, number: int) -> bool:
        """Return whether the beginning of a round is recorded."""
        query = "SELECT count(*) FROM rounds WHERE round = ?"
        return bool(self._store.one(query, number))

    @property
    def remembered(self) -> int:  # type: ignore[override]
        """Blocks that the file held when it was opened."""
        return self._recorded

    def end(self, number: int, training: Training) -> None:
        """Record how a round ended, and drop the states of its blocks."""
        blob, curves = to_bytes(_training_tree(training)), self._with_curves

        def ends(db: sqlite3.Connection) -> None:
            db.execute("UPDATE rounds SET ended = ? WHERE round = ?", (blob, number))
            db.execute("UPDATE blocks SET state = NULL WHERE round = ?", (number,))
            if curves:  # what they make is in the blob, and a history too
                of_round = "SELECT block FROM blocks WHERE round = ?"
                db.execute(f"DELETE FROM curves WHERE block IN ({of_round})", (number,))
            if training.outcome.predictions:
                of_round = "SELECT block FROM blocks WHERE round = ?"
                forget = f"DELETE FROM predictions WHERE block IN ({of_round})"
                db.execute(forget, (number,))
            seal(db, "end", number)
            note(db, "round", f"{number}: ended")

        with self._lock:
            self._waiting.append(ends)
            self._states = None  # the states of blocks that still wait are not written
        self.flush()

    def explore(
        self, make: Callable[[], tuple[Points, Lineage]]
    ) -> tuple[Points, Lineage]:
        """Return what trials train with after they took over states, or make it now."""
        number, self._variation = self._variation, self._variation + 1
        if number < self._recorded_variations:
            with decoding(self._store.path):
                known = variation(self._store, self._space, self._round, number)
                if known is None:
                    raise ValueError(f"there is no change {number} of its trials")
            return known
        made = make()
        varied, lineage = made
        tree = {"final": _points_tree(varied), "lineage": lineage._asdict()}
        row = (self._round, number, to_bytes(tree))
        with self._lock:
            self._waiting.append(partial(_insert_variation, row))
        return made

    def width(self, usual: int) -> int:
        """Return the width of the next block: the recorded one, if there is one."""
        recorded = None
        if self._block < self._recorded:
            query = "SELECT width FROM blocks WHERE block = ?"
            recorded = _as_width(self._store, self._store.one(query, self._block))
        return recorded or self._chosen or self._last(usual)

    def packing_width(self, usual: int) -> int:
        """Return the width for which the next blocks are packed."""
        # a narrower block was cut because it did not fit into memory, after it had been
        # packed for the width of the blocks before
        return max(self._last(usual), self.width(usual))

    def _last(self, usual: int) -> int:
        # of the last one that is recorded: the block before may still be running
        if self._block >= self._recorded:
            return self._last_width or usual
        query = "SELECT width FROM blocks WHERE block < ? ORDER BY block DESC LIMIT 1"
        return _as_width(self._store, self._store.one(query, self._block)) or usual

    def lookup_block(
        self, assignment: BlockAssignment
    ) -> tuple[int, BlockResult | None]:
        """Return the number of the next block, and its result if it is recorded."""
        number, self._block = self._block, self._block + 1
        if number >= self._recorded:
            return number, None
        lanes = self._store.ask(
            "SELECT trial, seed, epochs, arrived, status FROM lanes WHERE block = ? "
            "ORDER BY place",
            number,
        )
        if not lanes:  # a repaired record has none of a block that was damaged
            return number, None
        with decoding(self._store.path):
            columns = np.asarray(lanes, np.int64).reshape(-1, 5).T
            trial, seed, epochs, arrives, status = columns
            known = self._result_of(number, status)
        pairs = (
            (trial, assignment.trial),
            (seed, assignment.seed),
            (epochs, assignment.epochs),
            (arrives, assignment.arrives),
        )
        same = all(np.array_equal(old, new) for old, new in pairs)
        if not same:
            raise RunError(
                f"block {number} of {self._store.path} trained trials "
                f"{sorted(set(trial.tolist()))}, but the search now requests "
                f"{sorted(set(assignment.trial.tolist()))}: its scheduler decides "
                "differently than before. Use the scheduler that the run began with."
            )
        return number, known

    def _result_of(self, number: int, status: np.ndarray) -> BlockResult:
        """Return the result of a recorded block."""
        return BlockResult(
            metrics=self._metrics(number, len(status)),
            status=status.astype("i4"),
            states=(),  # they stay on the disk until a lane goes on from them
            device=self._device(number),
            curves=self._curves(number),
            outputs=self._outputs(number),
        )

    def _metrics(self, block: int, lanes: int) -> dict[str, np.ndarray]:
        query = "SELECT name, place, value FROM metrics WHERE block = ?"
        rows = self._store.ask(query, block)
        metrics: dict[str, np.ndarray] = {}
        for name, place, value in rows:
            empty = np.full(lanes, np.nan, np.float32)  # unscored lanes have no rows
            metrics.setdefault(name, empty)[place] = np.nan if value is None else value
        return metrics

    def _curves(self, block: int) -> dict[str, np.ndarray] | None:
        """Return the metrics of a block after each epoch, if they were measured."""
        if not self._store.has("curves"):
            return None
        blob = self._store.one("SELECT value FROM curves WHERE block = ?", block)
        return None if blob is None else from_bytes(blob)

    def _outputs(self, block: int) -> np.ndarray | None:
        """Return the predictions of a block, if they were kept."""
        if not self._store.has("predictions"):
            return None
        blob = self._store.one("SELECT value FROM predictions WHERE block = ?", block)
        return None if blob is None else from_bytes(blob)["outputs"]

    def _device(self, block: int) -> str:
        """Return the kind of device that ran a block; none did if it crashed."""
        return self._store.one("SELECT kind FROM devices WHERE block = ?", block) or ""

    def keep(self, block: FinishedBlock, states: StateStore) -> None:
        """Record a block and the states of lanes that go on; drop older states.

        It is written behind the search, see `jaxtune.storage.writer`.
        """
        self._writer.wait(AT_ONCE)
        # without its states, which the store frees as soon as it can
        result = block.result._replace(states=())
        pending = PendingBlock(self._round, block._replace(result=result))
        with self._lock:
            self._last_width, self._states = block.width, states
            self._waiting.append(pending)
            trained = int(block.assignment.epochs.max())
            rows = new_rows(self._stream, self._epochs_read, trained)
            if rows:
                self._waiting.append(partial(insert_rows, rows))
            states.settle()
            if self._writer.due:
                self._hand_over()
            elif self._timer is None:
                self._timer = threading.Timer(writer.PATIENCE, self._hand_over)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Return when all that happened is on the disk."""
        self._hand_over()
        self._writer.wait()

    def close(self) -> None:
        """Write what happened, and end the thread that writes."""
        try:
            self.flush()
        finally:
            with self._lock:
                self._closed = True
            self._writer.close()

    def _hand_over(self) -> None:
        """Hand over what waits, with the states that are needed at this moment."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._closed:  # the timer had begun to wait for the lock
                return
            # taken first: Ctrl-C on the way may lose the last blocks, never write twice
            waiting, self._waiting = self._waiting, []
            states, changes = self._states, list[Change]()
            for each in waiting:
                if isinstance(each, PendingBlock):
                    needed = states.needed(each.block.number) if states else None
                    each = partial(_insert, each, needed)
                changes.append(each)
            unneeded = states.pop_unneeded() if states else []
            if unneeded:
                changes.append(partial(_forget, unneeded))
            self._writer.write([*changes, *self._time(changes)])

    def _time(self, changes: list[Change]) -> list[Change]:
        """Return what notes the time of changes, now and then: a kill notes no end."""
        spent = time.monotonic() - self._began
        if not changes or spent < self._next_time:
            return []
        self._next_time = spent + max(SOONEST, spent / 50)
        return [partial(note, kind="kept", detail=f"{self._block} blocks")]

    def forget(self, block: int) -> None:
        """Forget a block, so that it is trained again."""
        warn(
            f"{self._store.path.parent}: states of block {block} are missing or "
            "damaged, so that it is trained again."
        )
        self.flush()
        with self._store.change() as db:
            for table in sums.OF_BLOCKS:
                db.execute(f"DELETE FROM {table} WHERE block = ?", (block,))
            seal(db, "forgotten", block)
        self._recorded = self._store.one(LAST_BLOCK)

    def states(self, block: int) -> RecordedStates:
        """Return the states that were recorded with a block."""
        blob = self._store.one("SELECT state FROM blocks WHERE block = ?", block)
        with self._store.query() as db:
            fine = blob is not None and sums.is_state(db, block, blob)
        if not fine:
            raise MissingStates(block)
        with decoding(self._store.path):
            tree = from_bytes(blob)
            places = tree.pop(PLACES, None)
            leaves = [tree[str(i)] for i in range(len(tree))]
            count = len(leaves[0])
        if places is None:  # of version 0.1, which kept all of them
            places = np.arange(count)
        return RecordedStates(places, (KeptStates(leaves, np.arange(count)),))


def _as_width(store: Store, recorded: Any) -> int | None:
    """Return a recorded width; ``RunError`` for one that no block has."""
    if recorded is None:
        return None
    if not isinstance(recorded, int) or not 1 <= recorded <= MOST["block"]:
        raise RunError(
            f"{store.path} is damaged (a block of {recorded} lanes). Use a copy of the "
            "run."
        )
    return recorded


class PendingBlock(NamedTuple):
    """A block that is not written yet, and the number of its round."""

    round: int
    block: FinishedBlock


def _insert(
    pending: PendingBlock, needed: RecordedStates | None, db: sqlite3.Connection
) -> None:
    """Insert a block, with the states from which lanes go on."""
    block = pending.block
    number, assignment, result = block.number, block.assignment, block.result
    columns = zip(
        assignment.trial,
        assignment.seed,
        assignment.epochs,
        result.status,
        assignment.arrives,
        strict=True,
    )
    lanes = [(number, at, *map(int, row)) for at, row in enumerate(columns)]
    # only of lanes that were scored: the others paused in this block. SQLite has no
    # NaN: it stores NULL, which `_metrics` turns back
    metrics = [
        (number, at, name, None if np.isnan(value) else float(value))
        for name, values in result.metrics.items()
        for at, value in enumerate(values)
        if assignment.arrives[at]
    ]
    kept = None if needed is None else _states_blob(needed)
    row = (number, pending.round, block.width, assignment.trains, kept)
    db.execute("INSERT INTO blocks VALUES (?, ?, ?, ?, ?)", row)
    if result.device:  # a block that crashed ran on none
        db.execute("INSERT INTO devices VALUES (?, ?)", (number, result.device))
    if result.curves:
        blob = to_bytes(result.curves)
        db.execute("INSERT INTO curves VALUES (?, ?)", (number, blob))
    if result.outputs is not None:
        blob = to_bytes({"outputs": result.outputs})
        db.execute("INSERT INTO predictions VALUES (?, ?)", (number, blob))
    db.executemany("INSERT INTO lanes VALUES (?, ?, ?, ?, ?, ?, ?)", lanes)
    db.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?)", metrics)
    seal(db, "block", number)


def _insert_trials(rows: list[tuple], db: sqlite3.Connection) -> None:
    db.executemany("INSERT INTO trials VALUES (?, ?, ?, ?)", rows)
    if rows:
        seal(db, "trials", rows[0][0])


def _insert_variation(row: tuple, db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO variations VALUES (?, ?, ?)", row)
    seal_last(db, "variation", "variations")


def _forget(blocks: list[int], db: sqlite3.Connection) -> None:
    """Drop the states of blocks that nothing needs any more."""
    forget = "UPDATE blocks SET state = NULL WHERE block = ?"
    db.executemany(forget, [(block,) for block in blocks])


def _states_blob(states: RecordedStates) -> bytes:
    parts = [part.on_host().leaves for part in states.parts]
    leaves = map(np.concatenate, zip(*parts, strict=True))
    tree = {str(i): leaf for i, leaf in enumerate(leaves)}
    return to_bytes({**tree, PLACES: states.places})


def note(db: Any, kind: str, detail: str) -> None:
    """Add an event to the run's log."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    db.execute("INSERT INTO events VALUES (?, ?, ?)", (now, kind, detail))
    seal_last(db, "event", "events")


def started(store: Store, space: Space, number: int) -> Points | None:
    """Return the points that a round began with, or ``None`` if it has not begun."""
    box = store.one("SELECT box FROM rounds WHERE round = ?", number)
    if box is None:
        return None
    query = "SELECT point, hparams FROM trials WHERE round = ? ORDER BY trial"
    rows = store.ask(query, number)
    points = np.stack([np.frombuffer(point, np.float32) for point, _ in rows])
    documents = [json.loads(document) for _, document in rows]
    hparams = hparams_of(space, documents)
    sizes = {
        name: np.asarray([document[name] for document in documents])
        for name in documents[0]
        if name not in space.names
    }
    within = box_of(space, json.loads(box))
    if points.shape[1] != len(within.searched):
        raise ValueError(f"points {points.shape} of {len(within.searched)} dimensions")
    return Points(within, points, hparams, sizes)


def variation(
    store: Store, space: Space, number: int, which: int
) -> tuple[Points, Lineage] | None:
    """Return what trials trained with after they took over states, if recorded."""
    query = "SELECT value FROM variations WHERE round = ? AND number = ?"
    blob = store.one(query, number, which)
    if blob is None:
        return None
    tree = from_bytes(blob)
    box = store.one("SELECT box FROM rounds WHERE round = ?", number)
    points = Points(box_of(space, json.loads(box)), **tree["final"])
    return points, Lineage(**tree["lineage"])


def training_of(tree: dict[str, Any], start: Points, budget: int) -> Training:
    """Return the outcome of a round from its tree, see `Durable.end`."""
    outcome, spent = tree["outcome"], LaneEpochs(*tree["spent"].tolist())
    return Training(
        RoundMetrics(
            **outcome,
            spent=spent,
            # the key of version 0.1, whose records are still read
            width_overrides=WidthOverrides(**tree["narrow"]),
        ),
        Points(start.space, **tree["final"]),
        Rungs(**tree["rungs"]),
        Lineage(**tree["lineage"]),
        budget,
        own_pace=bool(tree.get("own_pace", False)),
    )


def _training_tree(training: Training) -> dict[str, Any]:
    # named tuples and ints as dicts and arrays, which is all that `to_bytes` holds
    outcome = training.outcome._asdict()
    for name in ("history", "predictions"):
        outcome[name] = dict(outcome[name])
    # only where it holds, so that the trees of others are as they were
    own_pace = {"own_pace": np.asarray(True)} if training.own_pace else {}
    return {
        **own_pace,
        "spent": np.asarray(outcome.pop("spent")),
        # the key of version 0.1, see `training_of`
        "narrow": outcome.pop("width_overrides")._asdict(),
        "outcome": outcome,
        "final": _points_tree(training.final),
        "rungs": training.rungs._asdict(),
        "lineage": training.lineage._asdict(),
    }


def _points_tree(points: Points) -> dict[str, Any]:
    tree = {"points": points.points, "hparams": points.hparams}
    # a run without sizes is as it was before there were any
    return {**tree, "sizes": dict(points.sizes)} if points.sizes else tree
