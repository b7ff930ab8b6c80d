"""The loop: ask, train, score, tell, zoom."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune import ranking
from jaxtune.population import STATUS, Outcome, Workload, evaluate, prepare, unread
from jaxtune.progress import Report, progress
from jaxtune.refine import Refiner, zoom
from jaxtune.result import Result, Setup
from jaxtune.samplers import Sampler, sobol
from jaxtune.schedule import Schedule, flat
from jaxtune.space import Space
from jaxtune.tasks import Task, check_data
from jaxtune.trials import Trials
from jaxtune.types import Array, Key, Objective
from jaxtune.versions import check_versions

SAMPLE = 0  # stream of the root key that samplers draw from

_decode = jax.jit(Space.decode)
_encode = jax.jit(Space.encode)
_active = jax.jit(Space.active)


def search(
    task: Task | Objective,
    space: Space | Schedule,
    *,
    key: Key,
    trials: int | None = None,
    rounds: int = 1,
    epochs: int | None = None,
    seeds: int = 1,
    metric: str | None = None,
    mode: str | None = None,
    sampler: Sampler | None = None,
    refine: Refiner | None = None,
    scheduler: None = None,
    directory: None = None,
    block: int | None = None,
    programs: int | None = None,
    verbose: int = 1,
) -> Result:
    """Search a space, coarse to fine, with many trials in one program.

    Every round asks the sampler for points in the present box, trains and scores them
    in blocks of lanes, and shrinks the box around the best. The same key gives the same
    table, bit for bit, on the same machine.

    Args:
      task: what to train, from :func:`classification`, :func:`regression` or
        :class:`Task`; or any function ``(key, hparams) -> scalar`` that JAX can trace.
      space: what to search; or a schedule of it, such as :func:`tiered`, which has its
        own trials and rounds.
      key: root of all randomness, from ``jax.random.key``.
      trials: configurations in the whole search, spread evenly over the rounds.
      rounds: how often to zoom in, plus one.
      epochs: how long every trial trains; not for plain functions.
      seeds: independent trainings of every configuration; its score is their mean, and
        it has failed if any of them has.
      metric: which of the task's metrics is the score; its first if not given.
      mode: ``"max"`` or ``"min"``; taken from the task's metric if not given.
      sampler: where to look inside a box; ``samplers.sobol()`` if not given.
      refine: how to shrink the box; ``zoom()`` if not given.
      scheduler: not available yet; only ``None``.
      directory: not available yet; only ``None``.
      block: lanes in a block; chosen for the device if not given. It is part of a
        trial's identity: other widths differ in the last bits.
      programs: at most so many for the shapes of a padded model; chosen from the work
        that they save if not given. ``plan`` says beforehand. Part of a trial's
        identity, as ``block`` is.
      verbose: 0 hides the progress bar, which only a terminal shows.

    Returns:
      All trials, the best one, and the space of every round.

    Raises:
      ValueError: an argument that makes no sense, saying what would.
      RuntimeError: a version of jaxlib that is known to compute wrong numbers.
    """
    check_versions()
    _not_yet("scheduler", scheduler)
    _not_yet("directory", directory)
    _check_key(key)
    _check_counts(seeds=seeds, **_given(block=block, programs=programs))
    schedule = _schedule(space, trials, rounds)
    space, rounds = schedule.space, len(schedule.stages)
    task = check_data(task) if isinstance(task, Task) else task
    metric, mode = _objective(task, space, metric, mode)
    workload = prepare(task, space, key, _budget(task, epochs), block, programs)
    _warn_about(workload, space, schedule.trials)

    sampler, refine = sampler or sobol(), refine or zoom()
    history: list[Trials] = []
    refined, boxes = None, []
    with progress(schedule.trials * seeds, rounds, verbose) as report:
        for number, (_, count) in enumerate(schedule.stages):
            box = schedule.opened(refined, number)
            boxes.append(box)
            first = sum(map(len, history))
            points = _ask(sampler, _sample_key(key, number), box, history, count, mode)
            hparams = jax.device_get(_decode(box, points))
            ids = np.arange(first, first + count)
            watch = _watch(report, metric, mode, history)
            outcome = evaluate(workload, space, ids, hparams, np.arange(seeds), watch)
            at = _coordinates(space, box, points)
            rows = _rows(space, number, ids, at, hparams, outcome, metric)
            history.append(rows)
            if number + 1 < rounds:
                refined = _refined(refine, box, points, rows["score"], mode)
    record = functools.reduce(Trials.append, history)
    return Result(record, tuple(boxes), Setup(workload, space, metric, mode))


def _sample_key(key: Key, number: int) -> Key:
    return jax.random.fold_in(jax.random.fold_in(key, SAMPLE), number)


def _ask(
    sampler: Sampler,
    key: Key,
    box: Space,
    history: list[Trials],
    count: int,
    mode: str,
) -> Array:
    """New points of this round's cube, from a sampler told all trials so far."""
    state = sampler.init(key, box)
    # round by round: arrays of one shape, so that later rounds compile nothing new
    for rows in history:
        scores = ranking.orient(rows["score"], mode)
        state = sampler.tell(state, _encode(box, dict(rows.decoded)), scores)
    return sampler.ask(state, count)[1]


def _coordinates(space: Space, box: Space, points: Array) -> np.ndarray:
    """``[n, d]`` over all of the space, NaN where this round's box has no dimension."""
    columns = dict(zip(box.searched, np.asarray(points).T, strict=True))
    closed = np.full(len(points), np.nan, np.float32)
    return np.stack([columns.get(name, closed) for name in space.searched], axis=1)


def _rows(
    space: Space,
    number: int,
    ids: np.ndarray,
    points: np.ndarray,
    hparams: dict[str, np.ndarray],
    outcome: Outcome,
    metric: str,
) -> Trials:
    scores = outcome.metrics[metric]
    means = {name: _mean(values) for name, values in outcome.metrics.items()}
    columns = {
        "trial": ids,
        "round": np.full(len(ids), number),
        "status": np.asarray(STATUS, object)[_status(outcome.status, scores)],
        "score": means[metric],
    }
    holds = jax.device_get(_active(space, hparams))
    for name in space.names:
        columns[name] = _column(space, name, hparams[name], holds[name])
    columns |= {name: mean for name, mean in means.items() if name != "value"}
    return Trials(columns, scores, points, hparams)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over seeds ``[n]``; NaN if any seed failed."""
    failed = ~np.isfinite(values).all(axis=1)
    with np.errstate(invalid="ignore"):
        mean = values.mean(axis=1, dtype=np.float64).astype(np.float32)
    return np.where(failed, np.float32(np.nan), mean)


def _status(status: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """``[n]``: diverged if any seed did, or ended in a score that is not finite."""
    return ((status > 0) | ~np.isfinite(scores)).any(axis=1).astype(int)


def _column(
    space: Space, name: str, values: np.ndarray, holds: np.ndarray
) -> np.ndarray:
    """What the user knows; ``None`` or NaN where the dimension does not matter."""
    dimension = space[name]
    if dimension.by_index:
        column = np.empty(len(values), object)
        column[:] = [
            dimension.value(v) if h else None
            for v, h in zip(values, holds, strict=True)
        ]
        return column
    if not dimension.condition:
        return values
    return np.where(holds, values, np.float32(np.nan))


def _refined(
    refine: Refiner, box: Space, points: Array, scores: np.ndarray, mode: str
) -> Space:
    oriented = ranking.orient(scores, mode)
    finite = int(jnp.isfinite(oriented).sum())
    if finite < 2:
        warnings.warn(
            f"{len(scores) - finite} of {len(scores)} trials of this round failed: the "
            "space stays as it is. Search lower learning rates, or a smaller space.",
            stacklevel=3,
        )
        return box
    return refine(box, points, oriented)


def _watch(
    report: Report,
    metric: str,
    mode: str,
    history: list[Trials],
) -> Any:
    """What to tell the progress bar after every block."""
    sign, number = ranking.direction(mode), len(history) + 1
    earlier = [rows.scores.ravel() for rows in history]
    seen = sign * np.concatenate([np.empty(0), *earlier])
    finite = seen[np.isfinite(seen)]
    best = [float(finite.max()) if finite.size else -np.inf]
    done, failed = [seen.size], [int(seen.size - finite.size)]

    def after_block(rows: np.ndarray, metrics: dict[str, np.ndarray]) -> None:
        values = metrics[metric]
        fine = sign * values[np.isfinite(values)]
        best[0] = max([best[0], *fine.tolist()])
        done[0] += len(rows)
        failed[0] += len(rows) - fine.size
        report(number, done[0], sign * best[0], failed[0])

    return after_block


def _not_yet(name: str, value: Any) -> None:
    if value is not None:
        raise NotImplementedError(
            f"{name}: got {value!r}, but this version of jaxtune has none. Use None."
        )


def _check_key(key: Any) -> None:
    if not isinstance(key, jax.Array) or not jnp.issubdtype(
        key.dtype, jax.dtypes.prng_key
    ):
        raise ValueError(f"key: got {key!r}. Use jax.random.key(0).")
    if key.shape != ():
        raise ValueError(f"key: got an array of keys {key.shape}. Use one key.")
    if "fry" not in str(key.dtype):
        raise ValueError(
            f"key: got {key.dtype}, whose numbers change under vmap. "
            "Use jax.random.key(0, impl='threefry2x32')."
        )


def _schedule(space: Space | Schedule, trials: int | None, rounds: int) -> Schedule:
    if isinstance(space, Schedule):
        if (trials or space.trials) != space.trials or rounds != 1:
            raise ValueError(
                f"trials={trials}, rounds={rounds}: the schedule has {space.trials} "
                f"trials in {len(space.stages)} rounds of its own. Leave both out."
            )
        return space
    if trials is None:
        raise ValueError("trials: say how many configurations to try.")
    _check_counts(trials=trials, rounds=rounds)
    if space.dim == 0:
        raise ValueError(f"space: nothing is searched, all is fixed in {space}.")
    if trials < rounds:
        raise ValueError(
            f"trials={trials} cannot fill rounds={rounds}. trials is the number of all "
            "trials, over all rounds."
        )
    return flat(space, trials, rounds)


def _given(**sizes: Any) -> dict[str, Any]:
    return {name: size for name, size in sizes.items() if size is not None}


def _check_counts(**sizes: Any) -> None:
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"{name}: got {size!r}. Use a whole number from 1.")


def _budget(task: Task | Objective, epochs: int | None) -> int:
    if not isinstance(task, Task):
        if epochs is not None:
            raise ValueError(f"epochs={epochs}: a plain function is not trained.")
        return 0
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"epochs: got {epochs!r}. A task needs a whole number from 1.")
    return epochs


def _objective(
    task: Task | Objective, space: Space, metric: str | None, mode: str | None
) -> tuple[str, str]:
    if not isinstance(task, Task):
        if not callable(task):
            raise ValueError(
                f"task: got {task!r}. Use a task such as classification(...), or a "
                "function (key, hparams) -> scalar."
            )
        if metric is not None:
            raise ValueError(f"metric={metric!r}: a plain function has only its value.")
        metric, known = "value", {}
    else:
        known = dict(task.metrics)
        metric = metric or next(iter(known), None)
    if metric is None or (known and metric not in known):
        names = ", ".join(known) or "whatever evaluate returns"
        raise ValueError(f"metric: got {metric!r}. Use one of: {names}.")
    mode = mode or known.get(metric)
    if mode is None:
        raise ValueError("mode: say whether scores are better when 'max' or 'min'.")
    ranking.direction(mode)
    if isinstance(task, Task):
        _check_limits(task, space)
    taken = [name for name in known if name in space.names]
    if taken:
        raise ValueError(f"space: {taken[0]!r} is a metric of the task. Rename it.")
    return metric, mode


def _check_limits(task: Task, space: Space) -> None:
    for name, (low, high) in task.limits:
        if name not in space.names:
            continue
        bounds = space[name].bounds
        if not low <= bounds[0] <= bounds[1] <= high:
            raise ValueError(
                f"dimension {name!r}: the space has {bounds}, but the model takes "
                f"{low} to {high}. Change the space, or make the model larger."
            )


def _warn_about(workload: Workload, space: Space, trials: int) -> None:
    ignored = unread(workload, space)
    if ignored:
        warnings.warn(
            f"nothing reads {', '.join(ignored)}: searching them changes no score. "
            "Check the spelling, or fix them with space.keep(...).",
            stacklevel=3,
        )
    if space.size < trials:
        warnings.warn(
            f"this space has {space.size} configurations, so that {trials} trials "
            "repeat some. samplers.grid(...) gives each of them once.",
            stacklevel=3,
        )
