"""The entry point: arguments are checked here, then the search runs."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from jaxtune import _named
from jaxtune._arguments import (
    BUDGET,
    CALLBACKS,
    VERBOSE,
    check_compared,
    check_counts,
    check_metric,
    check_random,
    check_repeatable,
    check_start,
    checked_budget,
    checked_objective,
    checked_scheduler,
    checked_subsets,
    given_sizes,
    schedule_for,
    warn_about_outputs,
    warn_about_space,
)
from jaxtune._prior import check_prior
from jaxtune.cache import compiled_once
from jaxtune.checks import as_whole, is_whole
from jaxtune.door import FLAG, guarded
from jaxtune.environment import check_process, check_transfers
from jaxtune.executors.base import Executor, ExecutorSession
from jaxtune.goals.arguments import as_constraints
from jaxtune.goals.checking import check_names, check_parts, goals_and_score
from jaxtune.hardware import hardware_of
from jaxtune.planning.batches import with_grouped_batches
from jaxtune.planning.chosen import chosen_forms
from jaxtune.planning.fitting import fit_width, warn_if_empty
from jaxtune.planning.keeping import check_keep
from jaxtune.planning.loads import Load, loads_of
from jaxtune.planning.preparation import prepare
from jaxtune.planning.scoring import check_scoring
from jaxtune.planning.subsets import EPOCHS, check_subsets
from jaxtune.planning.tracing import Traced, trace, unread
from jaxtune.planning.width import choose_width
from jaxtune.planning.workload import Workload
from jaxtune.random import check_key
from jaxtune.results.given import UserChoices
from jaxtune.results.names import check_metrics, check_repeat_column
from jaxtune.results.result import Result
from jaxtune.rounds.aimed import check_known, check_reachable, warn_if_infeasible
from jaxtune.rounds.arguments import Search
from jaxtune.rounds.callbacks import Callback, Callbacks, notify_start_and_end
from jaxtune.rounds.confirm import usual_confirm
from jaxtune.rounds.known import check_first
from jaxtune.rounds.loop import plan_rounds, run_rounds, trainings, turns
from jaxtune.rounds.pace import paced, usual_sampler
from jaxtune.rounds.progress import progress_bar, show_line
from jaxtune.rounds.race import with_race
from jaxtune.rounds.refine import Refiner
from jaxtune.rounds.schedule import Schedule
from jaxtune.rounds.so_far import UNLIMITED, Limits
from jaxtune.samplers import Sampler
from jaxtune.schedulers import Scheduler
from jaxtune.scripts import check_not_reading
from jaxtune.signals import GRACE, check_grace, ending
from jaxtune.space import (
    Dimension,
    Space,
)
from jaxtune.stop import Stop, check_stop, reason_of
from jaxtune.storage.directory import begun, check_directory
from jaxtune.storage.mirror import own_directory
from jaxtune.storage.read import Times, times_of
from jaxtune.storage.recording import open_journal
from jaxtune.storage.settings import (
    arguments_document,
    defaults_of,
)
from jaxtune.tasks import GroupedFolds, Task
from jaxtune.tasks._folds import with_folds
from jaxtune.tasks.function import as_task
from jaxtune.tasks.task import repeats_of
from jaxtune.training.journal import Journal
from jaxtune.training.state_store import MissingStates
from jaxtune.training.stopping import INTERRUPTED
from jaxtune.types import Key, Objective
from jaxtune.versions import check_versions

PriorLike = (
    Result | str | os.PathLike[str] | Sequence[Result | str | os.PathLike[str]] | None
)
StopLike = Stop | Callable[[Result], Any] | Sequence[Callable[[Result], Any]] | None


@guarded(
    budget=BUDGET,
    rewrite=FLAG,
    verbose=VERBOSE,
    callbacks=CALLBACKS,
)
def search(
    task: Task | Objective,
    space: Space | Schedule | Mapping[str, Dimension],
    *,
    key: Key,
    trials: int | None = None,
    rounds: int | None = None,
    start: Space | None = None,
    epochs: int | None = None,
    seeds: int = 1,
    metric: str | None = None,
    mode: str | None = None,
    sampler: Sampler | str | None = None,
    refine: Refiner | str | None = None,
    scheduler: Scheduler | str | None = None,
    budget: str = EPOCHS,
    first: Sequence[Mapping[str, Any]] | str | None = None,
    prior: PriorLike = None,
    folds: int | GroupedFolds | Iterable[Any] | None = None,
    score: str | int = "last",
    history: bool = False,
    stop: StopLike = None,
    constraints: Any = None,
    goals: Sequence[str | tuple[str, str]] | None = None,
    keep: str | None = None,
    confirm: int | float | None = None,
    directory: str | os.PathLike[str] | None = None,
    block: int | None = None,
    programs: int | None = None,
    rewrite: bool = True,
    callbacks: Sequence[Callback] = (),
    executor: Executor | str | None = None,
    grace: float = GRACE,
    verbose: int = 1,
) -> Result:
    """Search a space, coarse to fine, with many trials in one program.

    The sampler is asked for points, which are trained and scored in blocks of lanes. A
    sampler that learns, such as the one used if none is given, gets them in batches and
    is told the scores of each before the next, see `plan`. With ``rounds``, each round
    searches a box around the best trials of those before. The same key gives the same
    table, bit for bit, on the same machine.

    >>> import jax, jax.numpy as jnp, jaxtune as jt
    >>> def objective(key, hparams):
    ...     return (jnp.log10(hparams["rate"]) + 2) ** 2
    >>> space = jt.Space(rate=jt.log_uniform(1e-4, 1.0))
    >>> result = jt.search(
    ...     objective, space, key=jax.random.key(0), trials=32, mode="min"
    ... )
    >>> round(result.best.hparams["rate"], 3)
    0.01
    >>> boxes = jt.search(
    ...     objective,
    ...     space,
    ...     key=jax.random.key(0),
    ...     trials=32,
    ...     rounds=4,
    ...     mode="min",
    ...     sampler=jt.samplers.sobol(),
    ...     refine=jt.zoom(),
    ... )
    >>> round(boxes.best.hparams["rate"], 2), len(boxes.spaces)
    (0.01, 4)

    Args:
      task: a task, from `classification`, `regression` or `Task`; or any function
        ``(key, hparams) -> scalar`` that JAX can trace.
      space: the search space, or a dict of its dimensions; or a schedule of it, such
        as `tiered`, which has trials and rounds of its own.
      key: root of all randomness, from ``jax.random.key``.
      trials: number of configurations in the whole search, spread evenly over the
        rounds.
      rounds: number of search rounds; the space is refined after each but the last. One
        if not given, in which a sampler that learns is told its trials batch by batch.
      start: the box to begin in, from ``space.restrict(...)``; the whole space if not
        given. ``refine=zoom(within=space)`` lets it grow from there.
      epochs: number of epochs of every trial; not for plain functions.
      seeds: independent trainings of every configuration. Its score is their mean; it
        has failed if any of them has.
      metric: the metric of the task that is the score; its first if not given.
      mode: ``"max"`` or ``"min"``; the mode of the task's metric if not given.
      sampler: proposes points inside a box; ``samplers.gaussian_process()`` if not
        given. As for ``refine``, ``scheduler`` and ``executor``, a name such as
        ``"tpe"`` stands for the part with its usual arguments. It is told the trials of
        its own round batch by batch, unless it is your own: then round by round.
      refine: shrinks the box; ``zoom()`` if not given.
      scheduler: decides within each round which trial trains how long, such as
        ``schedulers.hyperband()``; all trials train in full if not given. Not for
        plain functions, but for ``schedulers.race()``, which measures the best again
        after the ``trials`` of the search.
      budget: what the scheduler gives to trials: ``"epochs"`` on all training data, or
        ``"examples"``: at each rung a subset of the data, on which they train anew for
        all ``epochs``. A rung at 2 of 20 epochs is then a tenth of the examples, and
        sees as many of them. Each subset holds the smaller ones.
      first: known settings, which are trials 0, 1, ...: a list of dicts, or
        ``"defaults"``. What a dict leaves out has its default. The other trials are as
        without them, until a sampler has learned from them.
      prior: a result or a run directory of an earlier search, or a list of them, for a
        sampler that learns. Its space may be another one: what cannot be mapped is
        told. The less it agrees with this search, the fewer points it decides over.
      folds: cuts ``train`` into so many folds: every configuration trains once for each
        of them on the rows of the others, and is scored on its rows; its score is the
        mean. Stratified in a classification, and shuffled by ``key``. Or
        ``folds(5, groups=...)``, or pairs of the rows to train and to score on, as
        scikit-learn's splitters give them. The task then needs no ``valid``.
      score: the epoch that a trial is judged by: ``"last"``; ``"best"``, of those so
        far; or a number of last epochs, of which it is the mean. All metrics of the
        table are of the same epochs. But for ``"last"``, lanes are scored after every
        epoch.
      history: whether the result keeps every metric after every epoch, as
        ``result.history``.
      stop: ends the search before its time, such as ``stop.at(0.97)``,
        ``stop.after("2h")`` or ``stop.stalled(rounds=3)``; any function of the result
        so far that returns a reason, asked after every block; or a list of them. What
        there is, is kept: ``result.finished`` is false, ``result.stopped`` says why.
      keep: ``"predictions"`` keeps the outputs of every trial that trains in full for
        the validation split, as ``result.predictions``; ``result.ensemble()`` chooses
        by them, and trains no candidates.
      confirm: measures the best configurations again, with fresh randomness, in the
        last of the ``trials``: so many of them three times each, as with ``confirm=5``;
        or a share of the trials, such as ``0.15``. They train in full. The best is
        chosen by these measurements alone, and `Result.confirmed` says how likely it
        is the best. If not given, five of a search of 100 trainings or more, with one
        seed, that leaves sampler, rounds and the like to decide; 0 is none.
      constraints: bounds of metrics and of a trial's true sizes, such as
        ``{"parameters": ("<=", 20_000)}``, by which trials rank; or a `require`, which
        all trials meet; or a list of these. The sizes are ``parameters`` and ``flops``:
        operations of one example's loss.
      goals: several goals in place of ``metric`` and ``mode``: names of metrics and
        sizes, such as ``["accuracy", "parameters"]``, or pairs such as
        ``("loss", "min")``. See `Result.front`.
      directory: a folder for the run, so that it can be resumed after an interruption,
        looked at, and any trial trained again. If it holds an unfinished run of this
        very search, that is resumed; the result of a finished one is returned.
      block: lanes in a block. Part of a trial's identity: other widths differ in the
        last bits. If not given, no more than train together, by the trials of a round,
        the scheduler's rungs, the memory of a lane and the kind of device; in a search
        of more than about a minute no more than the fastest by measurement, which is
        remembered for the task and the machine. ``result.setup.workload`` reports it.
      programs: largest number of programs for the shapes of a padded model; chosen by
        the work that they save if not given, see `plan`. Part of a trial's identity,
        as ``block`` is.
      rewrite: whether operations that are slow in loops or on lanes, such as
        convolutions on a CPU, are computed in other forms with the same meaning. Part
        of a trial's identity, as ``block`` is. `plan` and ``verbose=2`` show the forms.
      callbacks: called with blocks, rungs and rounds while the search runs, see
        `Callback`; ``integrations.live`` has some.
      executor: runs the blocks, such as ``executors.ray()``; ``executors.local()`` if
        not given. On one kind of device it changes no bit.
      grace: seconds that blocks in flight get to end, after SIGTERM or SIGHUP has asked
        the process to. What has ended is kept.
      verbose: 0 hides the progress, which is a bar on a terminal, and elsewhere a line
        now and then; 2 also shows the forms of ``rewrite``.

    Returns:
      All trials, the best one, and the space of every round. After Ctrl-C what there
      is, unless a run directory keeps it.

    Raises:
      ValueError: an argument that makes no sense, with one that does.
      RunError: a directory that cannot be used, or that holds another run.
      RuntimeError: a version of jaxlib that is known to fail on a CPU.
      MemoryError: a single lane that does not fit on the device.
      SystemExit: after SIGTERM (143) or SIGHUP (129), when all is saved.
    """
    check_versions()
    check_process()
    check_not_reading()
    check_transfers()
    check_key(key)
    trials, rounds, epochs = as_whole(trials), as_whole(rounds), as_whole(epochs)
    seeds, block, programs = as_whole(seeds), as_whole(block), as_whole(programs)
    cut = int(folds) if is_whole(folds, 1) else None
    choices, stops = UserChoices(block, programs, rewrite, cut), check_stop(stop)
    directory = None if directory is None else check_directory(directory)
    check_counts(seeds=seeds, **given_sizes(block=block, programs=programs))
    # from here on a plain function is a Task with trains=False
    made = with_folds(as_task(task), folds, key)
    own = space if isinstance(space, Schedule) else rounds
    given = own, sampler, refine, scheduler, goals, constraints
    usual = usual_confirm(trials, seeds, made, given)
    default = defaults_of(directory, usual)
    confirm = default.confirm if confirm is None else confirm
    schedule = schedule_for(space, trials, rounds, confirm)
    if start is not None:
        schedule = schedule._replace(start=start)
    check_start(schedule)
    limited = as_constraints(constraints)
    found, metric, mode = goals_and_score(goals, dict(made.metrics), metric, mode)
    metric, mode = checked_objective(made, schedule.space, metric, mode)
    epochs = checked_budget(made, epochs)
    scheduler = checked_scheduler(made, scheduler)
    check_compared(schedule, scheduler, limited, found, (first, prior, start))
    schedule = with_race(schedule, scheduler.race, repeats_of(made, seeds), block)
    check_parts(scheduler, prior, found)
    check_repeatable(schedule, scheduler, found)
    if sampler is None:
        sampler = default.sampler or usual_sampler(schedule.trials)
    sampler = _named.sampler(sampler)
    refiner = _named.refiner(default.refine if refine is None else refine)
    schedule = paced(schedule, sampler, scheduler, made, seeds, block)
    scoring = check_scoring(score, history, epochs)
    scoring = scoring._replace(metric=metric, mode=mode)
    rows = checked_subsets(made, budget, scheduler, schedule, scoring)
    with open_executor(executor, grace) as session:
        platform = session.device["platform"]
        workload = prepare(
            made, schedule.space, key, epochs, block, programs, platform, rewrite
        )
        workload = workload._replace(
            scoring=scoring, keep=keep, shared=schedule.combinations, budget_rows=rows
        )
        wanted = Search(
            workload=with_shared_width(workload, block, session),
            schedule=schedule,
            seeds=seeds,
            metric=metric,
            mode=mode,
            sampler=sampler,
            refine=refiner,
            scheduler=scheduler,
            # in a study, points are the same for all compared values
            distinct=not schedule.compared,
            first=check_first(first, schedule),
            prior=check_prior(prior, schedule.space, sampler, metric, mode),
            constraints=limited,
            goals=found,
            choices=choices,
        )
        return run_search(
            wanted,
            choices,
            session,
            directory,
            stops=stops,
            verbose=verbose,
            callbacks=callbacks,
        )


def with_shared_width(
    workload: Workload, block: int | None, session: ExecutorSession
) -> Workload:
    """Return the workload of the devices that share the lanes of a block.

    Raises:
      ValueError: a width that was given, and that they cannot share.
    """
    across = session.across
    if block is not None and block % across:
        raise ValueError(
            f"block={block}: {across} devices share the lanes of a block. Use a "
            f"multiple of {across}."
        )
    return workload._replace(across=across)


@contextmanager
def open_executor(
    executor: Executor | str | None, grace: float
) -> Iterator[ExecutorSession]:
    """Open the session of a search, which ends when the process is asked to end.

    Args:
      executor: the user's.
      grace: seconds for blocks in flight.

    Raises:
      ValueError: what is no executor, or no number of seconds.
      SystemExit: after a signal.
    """
    session, seconds = _named.executor(executor)(), check_grace(grace)
    if not isinstance(session, AbstractContextManager):
        raise ValueError(
            f"executor: got {executor!r}. Use what one of jaxtune.executors returns, "
            "such as executors.ray()."
        )
    with session as opened, ending(seconds):
        yield opened


@compiled_once()
def run_search(
    wanted: Search,
    choices: UserChoices,
    session: ExecutorSession,
    directory: Any,
    *,
    allow: Sequence[str] = (),
    stops: tuple[Stop, ...] = (),
    before: list[Any] | None = None,
    verbose: int,
    callbacks: Sequence[Callback],
) -> Result:
    """Run a search that has been checked, in a directory or without one."""
    callback = Callbacks(callbacks if session.leads else ())
    # whatever is wrong with the scheduler or the user's functions shows before training
    plans = plan_rounds(wanted)
    workload, space = wanted.workload, wanted.schedule.space
    check_subsets(workload, space, plans)
    traced = trace(workload, space, anew=True)
    metrics = [name for one in traced for name in one.metrics]
    names, aims = space.names, wanted.constraints
    check_names(metrics, names, workload.trains, aims, wanted.goals)
    for number in range(len(wanted.schedule.stages)):
        check_known(wanted.first_of(number), aims.rules)
    check_metric(traced, wanted.metric, workload.trains)
    if wanted.schedule.confirms:
        check_random(traced, workload.trains, wanted.schedule)
        check_repeat_column(metrics, names)
    if not begun(directory):  # earlier versions began runs with any names
        check_metrics(metrics, names, workload.added, wanted.folds)
        check_reachable(workload, wanted.schedule, aims, wanted.goals)
    lanes = wanted.schedule.trials * wanted.repeats
    own_pace = any(p.own_pace for p in plans)
    check_keep(workload, space, lanes, own_pace)
    ignored = unread(traced, workload, space)
    warn_about_space(ignored, workload.task, wanted.schedule)
    warn_about_outputs(workload.task, traced)
    size = trainings(wanted, plans)
    shown = verbose if session.leads else 0
    if shown > 1:
        show_line(_shown_forms(workload, traced))
    bar = progress_bar(turns(wanted, plans), workload.trains, len(plans), shown)
    with own_directory(directory, session) as directory, bar as report:
        if not begun(directory):
            batches = [stage.batches for stage in wanted.schedule.stages]
            loads = loads_of(plans, wanted.repeats, batches)
            device = hardware_of(session.device["platform"])
            explores = wanted.scheduler.explore is not None
            workload = with_grouped_batches(workload, space, loads, device, explores)
            wanted = wanted._replace(workload=workload)
            if choices.block is None:
                workload = _with_width(workload, space, traced, loads, size, session)
                wanted = wanted._replace(workload=workload)
            else:
                warn_if_empty(loads, choices.block)
        # the width is part of every trial's identity, so it is chosen before the record
        begin = time.perf_counter()
        limits = _limits(stops, directory, session, begin)
        record = open_journal(
            directory, wanted, traced, choices, session.device, allow, before
        )
        with record as (journal, wanted), notify_start_and_end(callback, wanted.setup):
            make_pool = session.make_pool
            run = partial(
                run_rounds, wanted, plans, journal, report, callback, make_pool, limits
            )
            result = _run_rounds(journal, run)
        times = Times(time.perf_counter() - begin, None)
        if directory is not None:  # with the sessions before this one
            times = times_of(directory)
    warn_if_infeasible(result)
    if result.stopped == INTERRUPTED:
        show_line(f"interrupted: {result.counts}. What there is, is returned")
    settings = arguments_document(wanted)
    return dataclasses.replace(result, settings=settings, **times._asdict())


def _run_rounds(journal: Journal, run: Callable[[], Result]) -> Result:
    """Run all rounds; a block whose states a repaired record lacks is trained again."""
    while True:
        try:
            return run()
        except MissingStates as missing:
            journal.forget(missing.block)


def _limits(
    stops: tuple[Stop, ...],
    directory: Any,
    session: ExecutorSession,
    begin: float,
) -> Limits:
    """Return what may end a search: reasons, and Ctrl-C where nothing is recorded."""
    keeps, drains = directory is None, any(stop.by_clock for stop in stops)
    if not stops:
        return UNLIMITED._replace(keeps=keeps)
    before = times_of(directory).seconds if begun(directory) else 0.0
    before = 0.0 if math.isnan(before) else before

    def judge(result: Result) -> str:
        seconds = before + time.perf_counter() - begin
        timed = dataclasses.replace(result, seconds=seconds)
        # clocks differ, and all processes have to stop after the same block
        return session.agree(partial(reason_of, stops, timed))

    return Limits(judge, drains, keeps)


def _with_width(
    workload: Workload,
    space: Space,
    traced: tuple[Traced, ...],
    loads: tuple[Load, ...],
    size: int,
    session: ExecutorSession,
) -> Workload:
    """Return the workload with the width of a search, measured if that pays."""
    if session.measures:
        most = max(load.lanes for load in loads)
        measure = partial(choose_width, workload, space, traced, size, most)
        # one process measures: another might find another width the fastest
        width, rates = session.agree(measure)
        workload = workload._replace(width=width, rates=rates)
    platform = session.device["platform"]
    fitted = fit_width(workload, space, traced, loads, session.across, platform)
    return workload._replace(width=fitted.width)


def _shown_forms(workload: Workload, traced: tuple[Traced, ...]) -> str:
    forms = chosen_forms(traced, workload.layout.forms)
    return f"forms: {str(forms) or 'all operations run as written'}"
