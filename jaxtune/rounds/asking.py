"""The points of a round, asked for in batches by a sampler that is told the others.

What a sampler knows is a function of the table: each batch is asked from a new one that
is told all trials with a score, and knows which points are still out. So a search that
is resumed asks as before, and a batch depends on the batches before it alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune import ranking
from jaxtune.background import Threads
from jaxtune.checks import warn
from jaxtune.environment import on_host, thread_settings, under, unplaced
from jaxtune.goals.rejection import allowed_only
from jaxtune.goals.scalarisation import asked_in_parts
from jaxtune.programs.lane import WAITING
from jaxtune.random import BATCH, PAST, SAMPLE
from jaxtune.registry import recipe_of
from jaxtune.results.folded import per_seed
from jaxtune.results.trials import Trials
from jaxtune.rounds.aimed import admission, roomy_enough, told_scores, with_sizes
from jaxtune.rounds.budgets import at_one_budget, enough
from jaxtune.rounds.confirm import measured_again
from jaxtune.rounds.known import has_room_for, with_known
from jaxtune.rounds.past import with_past
from jaxtune.rounds.race import before_first_look, next_in_race
from jaxtune.rounds.repeats import distinct, identities, roomy
from jaxtune.rounds.schedule import Stage
from jaxtune.rounds.told import Told, asked, encoded
from jaxtune.samplers import Sampler
from jaxtune.space import Space, check_part
from jaxtune.space.points import Points, joined_points
from jaxtune.training.journal import Journal
from jaxtune.training.round import Training
from jaxtune.types import HparamArrays, Key

if TYPE_CHECKING:
    from jaxtune.rounds.arguments import Search
    from jaxtune.rounds.so_far import SoFar


class Batches:
    """The batches of points of one round; mutable.

    Args:
      search: its arguments.
      number: of the round.
      so_far: the rounds before it.
      journal: remembers the points, and may know some.

    Attributes:
      rehearsed: waits until the programs are compiled that the next batch needs; two
        threads would compile them twice.
    """

    def __init__(self, search: Search, number: int, so_far: SoFar, journal: Journal):
        self._search, self._number, self._so_far = search, number, so_far
        self._journal, self._stage = journal, search.schedule.stages[number]
        ends = np.cumsum(self._stage.batches or (self._stage.trials,))
        self._ends: list[int] = ends.tolist()
        self._recorded = journal.begin(number, self._first)
        if self._stage.races:
            # all that race are in the first batch, and in no fixed number later
            racing = len(set(identities(search.schedule.space, self._recorded.hparams)))
            self._ends = [before_first_look(self._stage, racing)]
        self._points = self._recorded.take(np.arange(self._ends[0]))
        self._coming: Future[Points] | None = None
        self._thread: Threads | None = None
        self.rehearsed: Callable[[], None] = lambda: None

    @property
    def points(self) -> Points:
        """The points that were asked for until now."""
        return self._points

    def more(self, known: Callable[[], Training]) -> Points:
        """Return the points of one more batch, after those until now.

        Args:
          known: returns what is known of the round.
        """
        if self._stage.races:
            return self._look(known())
        begin, end = self._reach()
        if len(self._recorded.points) >= end:
            part = self._recorded.take(np.arange(begin, end))
        else:
            coming, self._coming = self._coming, None
            part = coming.result() if coming else self._next(known())
            self._journal.add(self._number, part)
        self._points = joined_points([self._points, part])
        return self._points

    def _look(self, training: Training) -> Points:
        """Return the points, with those that a race measures next, if it goes on."""
        search, points, begin = self._search, self._points, len(self._points.points)
        rows = self._so_far.plus(search, training).history[-1]
        limits = search.constraints.limits
        part = points.take(next_in_race(self._stage, rows, search.mode, limits))
        if begin + len(part.points) > len(self._recorded.points):
            self._journal.add(self._number, part)
        self._points = joined_points([points, part])
        return self._points

    def look_ahead(self, known: Callable[[], Training]) -> None:
        """Begin to ask for the next batch, beside the one that is about to train."""
        begin, end = self._reach()
        due = self._stage.ahead and begin < end and self._coming is None
        if not due or len(self._recorded.points) >= end:
            return
        training, settings = known(), thread_settings()

        def ask() -> Points:
            with under(settings):
                return self._next(training)

        self._thread = self._thread or Threads(1, "jaxtune-asking")
        self._coming = self._thread.submit(ask)

    def close(self) -> None:
        """End the thread that asks, if there is one."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def _reach(self) -> tuple[int, int]:
        """Return the rows of the next batch; empty if there is none."""
        begin = len(self._points.points)
        return begin, next((end for end in self._ends if end > begin), begin)

    def _first(self) -> Points:
        return first_batch(self._search, self._number, self._so_far, self._ends[0])

    @on_host()
    def _next(self, training: Training) -> Points:
        self.rehearsed()
        search, points = self._search, self._points
        begin, end = self._reach()
        whole = self._so_far.plus(search, training)
        rows, before = whole.history[-1], self._so_far.history
        # without a score, and not failed: it trains, or is about to
        out = ~np.isfinite(rows["score"]) & ~rows.failed
        if not search.by_budget:  # up to 0.2.0 also one that failed at a rung
            waits = (training.outcome.status == WAITING).any(axis=1)
            out |= ~np.isfinite(rows["score"]) & waits
        told = [*_by_batches(search, before), *_parts(self._stage, rows, ~out)]
        told = _comparable(search, told, whole, points.space)
        known = Known(told, whole.history, points.points[out])
        number = len([e for e in self._ends if e <= begin])
        return _batch(search, self._number, number, points.space, known, begin, end)


class Known(NamedTuple):
    """The table of a search, as one of its samplers sees it.

    Args:
      told: the trials with a score, or that failed, of each batch; where some were
        stopped early, those with a score at one budget.
      tried: all trials, of each round.
      pending: ``[p, d]`` the points of the others, in the cube of the round.
    """

    told: Sequence[Trials]
    tried: Sequence[Trials]
    pending: np.ndarray | None = None


def _by_batches(search: Search, history: Sequence[Trials]) -> list[Trials]:
    """Return the trials of rounds that have ended, batch by batch."""
    stages, parts = search.schedule.stages, list[Trials]()
    for stage, rows in zip(stages, history, strict=False):
        parts += _parts(stage, rows, np.ones(len(rows), bool))
    return parts


def _parts(stage: Stage, rows: Trials, kept: np.ndarray) -> list[Trials]:
    """Return the rows ``[n]`` of a round that are kept, batch by batch."""
    cuts = np.cumsum(stage.batches or (stage.trials,))[:-1]
    parts = np.split(np.arange(len(rows)), cuts[cuts < len(rows)])
    return [rows.take(part[kept[part]]) for part in parts if kept[part].any()]


def _comparable(
    search: Search, told: list[Trials], so_far: SoFar, box: Space
) -> list[Trials]:
    """Return the trials that a sampler is told, with scores at one budget.

    With several goals these are all trials: at a rung only the score is on record.
    """
    if not search.by_budget or search.goals:
        return told
    return at_one_budget(told, so_far.rounds, enough(box.dim))


@on_host()
def first_batch(search: Search, number: int, so_far: SoFar, count: int) -> Points:
    """Return the points that a round begins with, in a box refined by those before."""
    schedule, history = search.schedule, so_far.history
    if schedule.stages[number].confirms:
        again = measured_again(schedule, number, history, _standing(search, history))
        limits, goals = search.constraints.limits, search.goals
        return with_sizes(again, search.workload, schedule.space, limits, goals)
    # a round that measured again says too little to refine by
    before = [i for i in range(number) if not schedule.stages[i].confirms]
    last = None
    if before:
        final = so_far.rounds[before[-1]].final
        last = _refined(search, final, [history[i] for i in before])
    box = schedule.opened(last, number)
    whole = functools.partial(schedule.opened, None, number)
    if not has_room_for(box, search.first_of(number)):
        box = whole()
    draw, rules = _key_of(search, number, 0), search.constraints.rules
    box = roomy_enough(draw, box, whole, rules)
    # in an infinite space no configuration comes twice
    if search.distinct and box.size != math.inf:
        tried = set().union(*[identities(box, rows.decoded) for rows in history])
        wanted, admits = (
            schedule.stages[number].trials,
            admission(rules, schedule.space),
        )
        box = roomy(draw, box, whole, tried, wanted, admits)
    told = _comparable(search, _by_batches(search, history), so_far, box)
    known = Known(told, history)
    return _batch(search, number, 0, box, known, 0, count)


def _batch(
    search: Search,
    number: int,
    batch: int,
    box: Space,
    known: Known,
    begin: int,
    end: int,
) -> Points:
    """Return the rows from ``begin`` to ``end`` of a round.

    Args:
      search: its arguments.
      number: of the round.
      batch: its number in the round.
      box: of the round.
      known: the trials until now.
      begin: the first row.
      end: the row after the last one.
    """
    first = search.first_of(number)[begin:end]
    draw, rules = _key_of(search, number, batch), search.constraints.rules
    space, limits = search.schedule.space, search.constraints.limits
    sampler = allowed_only(search.sampler_of(number), rules)
    points = _asked_for(search, sampler, draw, box, known, end - begin)
    if search.prior and box.searched:
        past = key_of_round(search.workload.key, PAST, number)
        past = past if batch == 0 else _of_batch(past, batch)
        told, pasts, out = _told(search, known.told), search.prior, known.pending
        points = with_past(points, sampler, past, box, told, pasts, out)
    begun = Points(box, points, jax.device_get(box.decode(points)))
    begun = with_known(begun, first)
    if search.distinct and box.size != math.inf:
        tried = set().union(*[identities(box, rows.decoded) for rows in known.tried])
        begun = distinct(draw, begun, tried, len(first), admission(rules, space))
    return with_sizes(begun, search.workload, space, limits, search.goals)


@on_host()
def key_of_round(key: Key, constant: int, number: int) -> Key:
    """Return the key of one round for one purpose."""
    return jax.random.fold_in(jax.random.fold_in(unplaced(key), constant), number)


def _key_of(search: Search, number: int, batch: int) -> Key:
    draw = key_of_round(search.workload.key, SAMPLE, number)
    return draw if batch == 0 else _of_batch(draw, batch)


def _of_batch(key: Key, batch: int) -> Key:
    return jax.random.fold_in(jax.random.fold_in(key, BATCH), batch)


def _asked_for(
    search: Search, sampler: Sampler, key: Key, box: Space, known: Known, count: int
) -> np.ndarray:
    """Return new points of this round's cube, from a sampler that knows all trials."""
    if not box.searched:  # one configuration, at the only point of no dimension
        return np.empty((count, 0), np.float32)
    history = known.told

    def ask(key: Key, weights: np.ndarray | None, count: int) -> np.ndarray:
        told = _told(search, history, weights)
        return asked(sampler, key, box, told, count, known.pending)

    if not search.goals or not _learns(search.sampler, key, box, history):
        return ask(key, None, count)
    return asked_in_parts(key, count, ask, len(search.goals))


def _learns(sampler: Sampler, key: Key, box: Space, history: Sequence[Trials]) -> bool:
    """Return whether a sampler takes in what it is told; a sequence does not."""
    if not history:
        return False
    state, rows = sampler.init(key, box), history[0]
    points = box.encode(rows.decoded)
    return sampler.tell(state, points, jnp.zeros(len(rows))) is not state


def _told(
    search: Search, history: Sequence[Trials], weights: np.ndarray | None = None
) -> Told:
    """Return the configurations and scores of each round, for a sampler."""
    known = _known(search, history, weights)
    told = list[tuple[HparamArrays, np.ndarray]]()
    for rows in history:
        scores, known = known[: len(rows)], known[len(rows) :]
        if len(rows):
            told.append((rows.decoded, scores))
    return told


def _known(
    search: Search, history: Sequence[Trials], weights: np.ndarray | None
) -> np.ndarray:
    """Return the scores for a sampler: of each seed where all trained equally long."""
    # otherwise they are ranks, since scores after different epochs do not compare
    standing = _standing(search, history, weights)
    if not history or search.seeds == 1 or search.goals:
        return standing
    stages = np.concatenate([rows.stage for rows in history])
    means = np.concatenate([rows["score"] for rows in history])
    # ranks also where a trial violates a limit
    ranks = not np.array_equal(standing, ranking.orient(means, search.mode), True)
    if ranks or not ranking.comparable(standing, stages):
        return standing
    seeds = np.concatenate([rows.scores for rows in history])
    return ranking.orient(per_seed(seeds, search.folds), search.mode)


def _standing(
    search: Search, history: Sequence[Trials], weights: np.ndarray | None = None
) -> np.ndarray:
    """Return a number for each trial to rank by; those stopped early rank last."""
    limits, goals = search.constraints.limits, search.goals
    return told_scores(history, search.mode, limits, goals, weights)


def _refined(search: Search, end: Points, history: Sequence[Trials]) -> Space:
    """Return the space after the last of some rounds, which ended with ``end``."""
    if not end.space.searched:
        return end.space
    if getattr(search.refine, "rounds", "last") != "all":
        history = history[-1:]
    scores = _standing(search, history)
    finite = int(np.isfinite(scores).sum())
    # a refiner needs two scores: one point spans no box
    if finite < 2:
        warn(
            f"{len(scores) - finite} of {len(scores)} trials of this round failed: the "
            "space stays as it is. Search lower learning rates, or a smaller space.",
        )
        return end.space
    earlier = [encoded(end.space, rows.decoded) for rows in history[:-1]]
    points = np.concatenate([*earlier, np.asarray(end.points)])
    # jnp.asarray would compile a program for every number of points
    found = search.refine(end.space, *jax.device_put((points, scores)))
    if recipe_of(search.refine) is None:
        check_part(search.schedule.space, found, "refine: its box")
        if found.searched != end.space.searched:
            raise ValueError(
                f"refine: its box searches {', '.join(found.searched)}, and it got one "
                f"that searches {', '.join(end.space.searched)}. Fix nothing: use "
                "space.restrict(...)."
            )
    return found
